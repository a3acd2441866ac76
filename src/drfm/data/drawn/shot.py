"""One capture: pose, viewpoint, light and street of a shot, then lens, sensor and JPEG."""

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from PIL import Image, ImageFilter

from drfm.data.drawn.figure import draw_figure
from drfm.data.drawn.looks import make_person
from drfm.data.drawn.pose import View, draw_pose
from drfm.data.drawn.stage import Stage
from drfm.data.drawn.street import paint_obstacle, paint_street
from drfm.data.drawn.surface import Canvas, Floats, Light
from drfm.errors import DrfmError

Camera = Literal[0, 1]
_FACING = ((0.0, 0.5), (np.pi, 0.5), (np.pi / 2, 0.35), (-np.pi / 2, 0.35))
"""Middle and spread of the turns: towards the camera, away, to the right, to the left."""
_FACING_WEIGHTS = ((0.46, 0.22, 0.16, 0.16), (0.32, 0.32, 0.18, 0.18))


_LEVELS = 2048
"""Steps of the tone curve; finer than the noise of any sensor here."""


@dataclass(frozen=True)
class Frame:
    """Where the person stands in a picture of ``width`` x ``height`` pixels."""

    width: int
    height: int
    unit: float
    foot: tuple[float, float]


def _rng(person: int, camera: int, shot: int, seed: int) -> np.random.Generator:
    for name, value in (("person", person), ("shot", shot), ("seed", seed)):
        if value < 0:
            raise DrfmError(f"{name} = {value}: give 0 or more")
    if camera not in (0, 1):
        raise DrfmError(f"camera = {camera}: give 0 (near) or 1 (far)")
    return np.random.default_rng([seed, 2, person, camera, shot])


def _frame(rng: np.random.Generator, height: int) -> Frame:
    """A detector's box: rarely tight, sometimes cutting feet or head."""
    width = round(height * float(rng.uniform(0.39, 0.50)))
    unit = height * float(np.clip(rng.normal(0.90, 0.05), 0.76, 1.02))
    spare = height - unit
    x = width * (0.5 + float(np.clip(rng.normal(0, 0.05), -0.12, 0.12)))
    y = height - spare * float(rng.uniform(0.25, 0.75)) - unit * 0.015
    return Frame(width, height, unit, (x, y))


def _light(rng: np.random.Generator, camera: int) -> Light:
    side = float(rng.uniform(-0.9, 0.9))
    sunny = rng.random() < (0.55, 0.35)[camera]
    direction = np.array([side, -0.55, 0.75 if not sunny else 0.45])
    direction /= np.linalg.norm(direction)
    ambient = float(rng.uniform(0.38, 0.5) if sunny else rng.uniform(0.6, 0.72))
    diffuse = float(rng.uniform(0.72, 0.9) if sunny else rng.uniform(0.38, 0.48))
    return Light((float(direction[0]), float(direction[1]), float(direction[2])), ambient, diffuse)


def render(person: int, camera: Camera, rng: np.random.Generator, seed: int, height: int) -> Floats:
    """The scene before it is captured, ``(height, W, 3)`` float32, 0..1.

    Args:
        person: number of the person.
        camera: 0 near, 1 far.
        rng: generator of the shot.
        seed: seed of the data set.
        height: rows of the picture.
    """
    looks = make_person(person, seed)
    frame = _frame(rng, height)
    facing = int(rng.choice(4, p=_FACING_WEIGHTS[camera]))
    yaw = _FACING[facing][0] + _FACING[facing][1] * float(rng.standard_normal())
    view = View(yaw, float(rng.uniform(0.04, 0.16)), frame.unit, frame.foot)
    pose = draw_pose(looks, rng)
    light = _light(rng, camera)
    street = paint_street(rng, seed, camera, (frame.width, frame.height), foot=frame.foot[1], unit=frame.unit)
    shift = (int(rng.integers(500)), int(rng.integers(500)))
    canvas = Canvas(street, light, frame.height / 256, shift)
    draw_figure(Stage(canvas, looks, pose, view))
    if rng.random() < (0.08, 0.12)[camera]:
        paint_obstacle(canvas, rng, frame.foot, frame.unit)
    return canvas.rgb


def _develop(rgb: Floats, rng: np.random.Generator, camera: int) -> Floats:
    """Exposure, contrast, haze and the camera's colour cast."""
    cast = ((1.03, 1.0, 0.95), (0.96, 1.0, 1.05))[camera]
    warm = float(rng.normal(0, 0.05))
    gain = (
        np.array(cast) * np.array([1 + warm, 1.0, 1 - warm]) * np.exp(rng.normal((0.0, -0.12)[camera], 0.17))
    )
    haze = float(rng.uniform(0.0, (0.05, 0.10)[camera]))
    gamma = float(np.exp(rng.normal(0, 0.12)))
    curve = (np.linspace(0, 1, _LEVELS) ** gamma * (1 - haze) + 0.62 * haze).astype(np.float32)
    level = rgb * (gain * (_LEVELS - 1)).astype(np.float32)
    developed: Floats = curve[np.clip(level, 0, _LEVELS - 1).astype(np.uint16)]
    return developed


@lru_cache(maxsize=1)
def _grain() -> Floats:
    return np.random.default_rng(5).standard_normal((640, 480, 3), dtype=np.float32)


def _sensor(rgb: Floats, rng: np.random.Generator, noise: float) -> Image.Image:
    """Eight bits per channel, with a random piece of a fixed grain."""
    height, width = rgb.shape[:2]
    top, left = (int(value) for value in rng.integers(0, 300, 2))
    grain = _grain()[top : top + height, left : left + width]
    level = (rgb + grain * np.float32(noise)) * np.float32(255) + np.float32(0.5)
    return Image.fromarray(np.minimum(np.maximum(level, 0), 255).astype(np.uint8))


def capture(person: int, camera: Camera, shot: int, seed: int) -> bytes:
    """The JPEG file of one shot; equal bytes for equal arguments.

    Raises:
        DrfmError: a negative number, or a camera that is neither 0 nor 1.
    """
    rng = _rng(person, camera, shot, seed)
    if camera == 0:
        rgb = _develop(render(person, 0, rng, seed, int(rng.integers(216, 281))), rng, 0)
        image = _sensor(rgb, rng, float(rng.uniform(0.006, 0.02)))
        if rng.random() < 0.3:
            image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.4, 0.9))))
        quality = int(rng.integers(82, 95))
    else:
        height, rate = int(rng.integers(44, 93)), float(rng.uniform(2, 4))
        large = min(256, round(height * rate))
        rgb = _develop(render(person, 1, rng, seed, large), rng, 1)
        sharp = Image.fromarray((np.clip(rgb, 0, 1) * 255).astype(np.uint8))
        soft = sharp.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.2, 0.5)) * large / height))
        small = soft.resize((max(12, round(sharp.width * height / large)), height), Image.Resampling.BICUBIC)
        values = np.asarray(small, dtype=np.float32) / np.float32(255)
        image = _sensor(values, rng, float(rng.uniform(0.008, 0.022)))
        quality = int(rng.integers(72, 91))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def draw_person_image(
    person: int, camera: Camera, shot: int, seed: int
) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """One picture of one drawn person, ``(H, W, 3)`` uint8 RGB.

    A person's looks depend on ``seed`` and ``person`` alone; pose, viewpoint, light,
    street, box and noise on all four arguments. Nothing else has an influence.

    Args:
        person: number of the person, 0 or more.
        camera: 0, near: 216 to 280 pixels high and sharp; 1, far: 44 to 92 pixels high.
        shot: number of the shot, 0 or more.
        seed: seed of the data set, 0 or more.

    Raises:
        DrfmError: a negative number, or a camera that is neither 0 nor 1.
    """
    with Image.open(io.BytesIO(capture(person, camera, shot, seed))) as image:
        return np.asarray(image.convert("RGB"))
