"""Streets behind the persons: each camera has its own few places, and a shot sees a part of one."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from drfm.data.drawn.surface import Canvas, Colour, Floats, noise_tile, patch, tube

Ink = tuple[int, int, int]
_PLACES = 5
"""Places per camera."""


def _ink(colour: Colour, by: float = 1.0) -> Ink:
    red, green, blue = (max(0, min(255, int(255 * c * by))) for c in colour)
    return red, green, blue


def _pick(rng: np.random.Generator, *colours: Colour) -> Colour:
    red, green, blue = colours[int(rng.integers(len(colours)))]
    by = float(rng.uniform(0.85, 1.12))
    return red * by, green * by, blue * by


@dataclass(frozen=True)
class _Wall:
    """What a painter of walls is given.

    Attributes:
        pen: draws on the picture.
        rng: generator of the place, the same for each shot of it.
        left: where along the wall the picture begins, in pixels.
        width: of the picture in pixels.
        low: row where the wall meets the ground.
        unit: height of a body in pixels.
    """

    pen: ImageDraw.ImageDraw
    rng: np.random.Generator
    left: float
    width: float
    low: float
    unit: float

    def parts(self) -> tuple[ImageDraw.ImageDraw, np.random.Generator, float, float, float, float]:
        """All six."""
        return self.pen, self.rng, self.left, self.width, self.low, self.unit


Painter = Callable[[_Wall], None]


def _bricks(wall: _Wall) -> None:
    pen, rng, left, width, low, unit = wall.parts()
    base = _pick(rng, (0.52, 0.33, 0.27), (0.60, 0.52, 0.44), (0.45, 0.42, 0.40))
    pen.rectangle((0, 0, width, low), fill=_ink(base, 0.8))
    high, long = unit * 0.042, unit * 0.13
    shades = rng.uniform(0.85, 1.12, 64)
    for row in range(int(low / high) + 1):
        start = -((left + (row % 2) * long / 2) % long)
        for column in range(int(width / long) + 2):
            x, y = start + column * long, low - (row + 1) * high
            shade = shades[(row * 7 + int(left / long + column) * 3) % 64]
            pen.rectangle((x + 1, y + 1, x + long - 1, y + high - 1), fill=_ink(base, float(shade)))


def _shops(wall: _Wall) -> None:
    pen, rng, left, width, low, unit = wall.parts()
    front = _pick(rng, (0.72, 0.68, 0.60), (0.45, 0.47, 0.5), (0.62, 0.55, 0.5))
    pen.rectangle((0, 0, width, low), fill=_ink(front))
    step = unit * 0.75
    street = int(rng.integers(1 << 30))
    for cell in range(int(left / step) - 1, int((left + width) / step) + 2):
        own = np.random.default_rng([street, cell + 64])
        x = cell * step - left
        glass = _pick(own, (0.25, 0.30, 0.34), (0.42, 0.45, 0.44), (0.55, 0.50, 0.40), (0.16, 0.17, 0.2))
        pen.rectangle((x + unit * 0.06, low - unit * 0.95, x + step, low - unit * 0.14), fill=_ink(glass))
        for _ in range(5):
            at, top = x + own.uniform(0.08, 0.6) * unit, low - own.uniform(0.25, 0.8) * unit
            goods = _pick(own, (0.55, 0.33, 0.28), (0.7, 0.66, 0.55), (0.3, 0.4, 0.5), (0.5, 0.5, 0.5))
            box = (at, top, at + own.uniform(0.04, 0.14) * unit, low - unit * 0.16)
            pen.rectangle(box, fill=_ink(goods))
        awning = _pick(own, (0.55, 0.18, 0.17), (0.2, 0.35, 0.3), (0.75, 0.7, 0.62), (0.25, 0.28, 0.4))
        pen.rectangle((x, low - unit * 1.12, x + step, low - unit * 0.95), fill=_ink(awning))


def _hedge(wall: _Wall) -> None:
    pen, rng, left, width, low, unit = wall.parts()
    leaf = _pick(rng, (0.25, 0.33, 0.20), (0.30, 0.35, 0.24), (0.40, 0.40, 0.26))
    pen.rectangle((0, 0, width, low), fill=_ink(leaf, 0.7))
    spots = rng.random((420, 4))
    span = unit * 4
    for sx, sy, size, shade in spots:
        x = (sx * span - left) % span - unit * 0.2
        if x > width + unit * 0.1:
            continue
        y, radius = low - sy * unit * 1.25, unit * (0.015 + 0.05 * size)
        pen.ellipse(
            (x - radius, y - radius, x + radius, y + radius), fill=_ink(leaf, 0.6 + 0.7 * float(shade))
        )


def _panels(wall: _Wall) -> None:
    pen, rng, left, width, low, unit = wall.parts()
    base = _pick(rng, (0.62, 0.62, 0.60), (0.74, 0.72, 0.67), (0.42, 0.44, 0.47))
    pen.rectangle((0, 0, width, low), fill=_ink(base))
    step = unit * float(rng.uniform(0.3, 0.6))
    for cell in range(int(left / step), int((left + width) / step) + 2):
        x = cell * step - left
        pen.rectangle((x, 0, x + step * 0.96, low), fill=_ink(base, 0.9 + 0.2 * ((cell * 37) % 11) / 11))
        pen.line((x, 0, x, low), fill=_ink(base, 0.6), width=max(1, int(unit * 0.012)))
    pen.line(
        (0, low - unit * 0.55, width, low - unit * 0.55), fill=_ink(base, 0.7), width=max(1, int(unit * 0.01))
    )


def _fence(wall: _Wall) -> None:
    pen, rng, left, width, low, unit = wall.parts()
    _hedge(wall)
    rail = _ink(_pick(rng, (0.25, 0.27, 0.28), (0.65, 0.66, 0.66), (0.2, 0.3, 0.27)))
    step, thick = unit * 0.07, max(1, int(unit * 0.012))
    for bar in range(int(width / step) + 2):
        x = bar * step - left % step
        pen.line((x, low - unit * 0.62, x, low), fill=rail, width=thick)
    for y in (0.58, 0.1):
        pen.line((0, low - unit * y, width, low - unit * y), fill=rail, width=thick * 2)


def _tiles(wall: _Wall) -> None:
    pen, rng, left, width, low, unit = wall.parts()
    base = _pick(rng, (0.75, 0.77, 0.74), (0.62, 0.68, 0.66), (0.70, 0.64, 0.5))
    pen.rectangle((0, 0, width, low), fill=_ink(base))
    step = unit * 0.11
    for column in range(int(width / step) + 2):
        x = column * step - left % step
        pen.line((x, 0, x, low), fill=_ink(base, 0.82))
    for row in range(int(low / step) + 1):
        pen.line((0, low - row * step, width, low - row * step), fill=_ink(base, 0.82))
    band = _ink(_pick(rng, (0.2, 0.35, 0.5), (0.55, 0.2, 0.18), (0.25, 0.4, 0.3)))
    pen.rectangle((0, low - unit * 0.62, width, low - unit * 0.5), fill=band)


def _cars(wall: _Wall) -> None:
    pen, rng, left, width, low, unit = wall.parts()
    _panels(replace(wall, left=left * 0.6))
    span = unit * 1.9
    street = int(rng.integers(1 << 30))
    for cell in range(int(left / span) - 1, int((left + width) / span) + 2):
        own = np.random.default_rng([street, cell + 64])
        x = cell * span - left + own.uniform(0, 0.3) * unit
        paint = _pick(
            own,
            (0.75, 0.75, 0.75),
            (0.15, 0.16, 0.18),
            (0.45, 0.13, 0.13),
            (0.2, 0.28, 0.42),
            (0.5, 0.5, 0.5),
        )
        u = unit
        pen.rounded_rectangle(
            (x, low - u * 0.36, x + u * 1.5, low - u * 0.06), radius=int(u * 0.08), fill=_ink(paint)
        )
        for outline, fill in (((0.25, 0.34, 0.45, 0.56, 1.05, 1.3), _ink(paint, 0.9)),
                              ((0.33, 0.35, 0.48, 0.52, 1.02, 1.2), (70, 80, 90))):  # fmt: skip
            a, sill, b, roof, c, d = (value * u for value in outline)
            pen.polygon(
                [(x + a, low - sill), (x + b, low - roof), (x + c, low - roof), (x + d, low - sill)], fill
            )
        for wheel in (0.3, 1.2):
            at = x + wheel * u
            pen.ellipse((at - u * 0.12, low - u * 0.2, at + u * 0.12, low + u * 0.04), fill=(28, 28, 30))


_WALLS: tuple[tuple[Painter, ...], tuple[Painter, ...]] = (
    (_shops, _hedge, _panels, _bricks, _shops),
    (_cars, _fence, _tiles, _cars, _bricks),
)


def _ground(wall: _Wall, camera: int, height: int) -> None:
    pen, rng, left, width, low, _ = wall.parts()
    warm = ((0.60, 0.57, 0.53), (0.68, 0.63, 0.56), (0.54, 0.53, 0.52))
    cold = ((0.36, 0.37, 0.39), (0.44, 0.45, 0.46), (0.50, 0.50, 0.47))
    base = _pick(rng, *(warm if camera == 0 else cold))
    pen.rectangle((0, low, width, height), fill=_ink(base))
    kind = int(rng.integers(3))
    line = _ink(base, 0.82)
    if kind == 0:
        for row in range(14):
            y = low + (height - low) * (row / 13) ** 1.7
            pen.line((0, y, width, y), fill=line)
        vanish = width / 2
        for ray in range(-14, 15):
            foot = ray * width * 0.28 - left % (width * 0.28)
            pen.line((vanish + (foot - vanish) * 0.4, low, vanish + (foot - vanish) * 1.6, height), fill=line)
    elif kind == 1:
        step = width * 0.55
        for bar in range(-2, 5):
            x = bar * step - left % step
            near, far = (x - step * 0.3, x + step * 0.25), (x, x + step * 0.45)
            corners = [(far[0], low + 6), (far[1], low + 6), (near[1], height), (near[0], height)]
            pen.polygon(corners, fill=_ink((0.8, 0.8, 0.78) if camera else base, 0.97))
    kerb = low + (height - low) * float(rng.uniform(0.0, 0.15))
    pen.rectangle((0, low, width, kerb), fill=_ink(base, 0.75))


def _props(
    pen: ImageDraw.ImageDraw, rng: np.random.Generator, size: tuple[int, int], low: float, unit: float
) -> None:
    """Things and passers-by that differ from shot to shot."""
    width, _ = size
    for _ in range(int(rng.integers(0, 3))):
        x = float(rng.uniform(-0.1, 1.1)) * width
        foot = low + unit * float(rng.uniform(0.0, 0.12))
        kind = rng.random()
        shade = _pick(rng, (0.2, 0.21, 0.22), (0.5, 0.52, 0.53), (0.3, 0.24, 0.18), (0.2, 0.3, 0.25))
        if kind < 0.35:
            thick = unit * float(rng.uniform(0.012, 0.05))
            pen.rectangle((x - thick, 0, x + thick, foot), fill=_ink(shade))
        elif kind < 0.6:
            wide, high = unit * float(rng.uniform(0.07, 0.14)), unit * float(rng.uniform(0.18, 0.4))
            pen.rectangle((x - wide, foot - high, x + wide, foot), fill=_ink(shade))
            pen.rectangle((x - wide, foot - high, x + wide, foot - high * 0.85), fill=_ink(shade, 1.3))
        else:
            tall = unit * float(rng.uniform(0.5, 0.75))
            cloth = _pick(
                rng,
                (0.15, 0.16, 0.2),
                (0.5, 0.5, 0.5),
                (0.5, 0.25, 0.22),
                (0.75, 0.72, 0.68),
                (0.3, 0.4, 0.5),
            )
            legs = _pick(rng, (0.15, 0.15, 0.17), (0.28, 0.35, 0.48), (0.55, 0.5, 0.42))
            half = tall * 0.13
            pen.rectangle((x - half * 0.7, foot - tall * 0.5, x + half * 0.7, foot), fill=_ink(legs))
            pen.rounded_rectangle(
                (x - half, foot - tall * 0.86, x + half, foot - tall * 0.42),
                radius=int(half * 0.7),
                fill=_ink(cloth),
            )
            pen.ellipse(
                (x - half * 0.5, foot - tall, x + half * 0.5, foot - tall * 0.84), fill=(150, 112, 92)
            )


def paint_street(
    rng: np.random.Generator,
    seed: int,
    camera: int,
    size: tuple[int, int],
    *,
    foot: float,
    unit: float,
) -> Floats:
    """A street without the person, ``(H, W, 3)`` float32, 0..1.

    Args:
        rng: generator of the shot.
        seed: seed of the data set; places belong to it.
        camera: 0 near, 1 far.
        size: width and height in pixels.
        foot: row of the person's feet.
        unit: height of a body in pixels.
    """
    width, height = size
    place = int(rng.integers(_PLACES))
    own = np.random.default_rng([seed, 3, camera, place])
    low = foot - unit * float(rng.uniform(0.06, 0.45))
    left = float(rng.uniform(0, 6)) * unit
    image = Image.new("RGB", size)
    pen = ImageDraw.Draw(image)
    wall = _Wall(pen, own, left, width, low, unit)
    _WALLS[camera][place](wall)
    _ground(wall, camera, height)
    _props(pen, rng, size, low, unit)
    blur = unit * float(rng.uniform(0.004, 0.016))
    rgb = np.asarray(image.filter(ImageFilter.BoxBlur(blur)), dtype=np.float32) / np.float32(255)
    top, start = (int(v) for v in rng.integers(0, 700, 2))
    grain = patch(noise_tile(2.0), height, width, top, start) * 0.03
    cloud = patch(noise_tile(40.0, 3), height, width, top, start) * 0.06
    street: Floats = np.clip(rgb * (1 + grain + cloud)[:, :, None], 0, 1).astype(np.float32)
    return street


def paint_obstacle(canvas: Canvas, rng: np.random.Generator, foot: tuple[float, float], unit: float) -> None:
    """Something between camera and person: a post, a bin or wall, another passer-by's shoulder."""
    height = canvas.rgb.shape[0]
    colour = _pick(
        rng, (0.25, 0.26, 0.28), (0.55, 0.55, 0.53), (0.36, 0.26, 0.2), (0.2, 0.24, 0.33), (0.5, 0.22, 0.2)
    )
    kind, side = int(rng.integers(3)), float(rng.choice([-1.0, 1.0]))
    if kind == 0:
        x = foot[0] + unit * float(rng.uniform(-0.16, 0.16))
        wide = unit * float(rng.uniform(0.012, 0.035))
        tube(canvas, (x, 0), (x, height), [(-0.1, wide), (1.1, wide)], colour)
    elif kind == 1:
        top = foot[1] - unit * float(rng.uniform(0.12, 0.38))
        x = foot[0] + side * unit * float(rng.uniform(0.05, 0.25))
        wide = unit * float(rng.uniform(0.12, 0.24))
        tube(
            canvas,
            (x, top),
            (x, height + 5),
            [(0, wide * 0.97), (0.03, wide), (1, wide)],
            colour,
            folds=0.02,
            flat=3,
        )
    else:
        x = foot[0] + side * unit * float(rng.uniform(0.17, 0.27))
        top = foot[1] - unit * float(rng.uniform(0.72, 0.86))
        wide = unit * 0.13
        knots = [(0.0, wide * 0.35), (0.05, wide * 0.8), (0.12, wide), (1.1, wide)]
        tube(canvas, (x, top), (x + side * wide * 0.3, height), knots, colour, folds=0.08, soft=unit * 0.03)
