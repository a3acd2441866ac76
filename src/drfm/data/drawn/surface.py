"""Shaded round surfaces on a canvas: tubes and balls, textured by where a point lies on the body."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.floating[Any]]
"""float32 in all that is kept; numpy may widen what is passed on."""
Colour = tuple[float, float, float]
"""Red, green and blue, 0..1."""
Point = tuple[float, float]
"""Pixels right and down of the canvas's corner."""
TubeTexture = Callable[[Floats, Floats], Floats]
"""(azimuth in radians, 0 at the front of the body; position along the tube) -> ``(h, w, 3)`` colours."""
BallTexture = Callable[[Floats, Floats, Floats], Floats]
"""(left, up, front), the unit normal in the frame of the body -> ``(h, w, 3)`` colours."""

_TILE = 1024


@dataclass(frozen=True)
class Light:
    """One distant lamp and the sky.

    Attributes:
        direction: unit vector towards the lamp: right, down, towards the viewer.
        ambient: brightness of a surface that the lamp does not reach, 0..1.
        diffuse: what the lamp adds where it falls straight on the surface.
    """

    direction: tuple[float, float, float]
    ambient: float
    diffuse: float


@dataclass
class Canvas:
    """A picture in the making.

    Attributes:
        rgb: ``(H, W, 3)`` float32, 0..1.
        light: what the surfaces are lit by.
        grain: magnification of cloth folds; about the figure's height in pixels over 256.
        shift: where the folds are taken from; differs from shot to shot.
    """

    rgb: Floats
    light: Light
    grain: float = 1.0
    shift: tuple[int, int] = (0, 0)


@lru_cache(maxsize=8)
def noise_tile(blur: float, seed: int = 0, size: int = _TILE) -> Floats:
    """Smooth noise of zero mean and unit spread, ``(size, size)``; ``blur`` is its grain in pixels."""
    raw = np.random.default_rng([seed, 77]).integers(0, 256, (size, size), dtype=np.uint8)
    tile = Image.fromarray(raw).convert("F")
    if blur > 0:
        small = max(8, int(size / max(1.0, blur)))
        tile = tile.resize((small, small), Image.Resampling.BOX).resize(
            (size, size), Image.Resampling.BICUBIC
        )
    values = np.asarray(tile, dtype=np.float32)
    spread: Floats = (values - values.mean()) / values.std()
    return spread


@lru_cache(maxsize=8)
def _fold_tile(grain: int) -> Floats:
    """Slopes of a crumpled cloth as seen from the upper left, zero mean, unit spread."""
    relief = noise_tile(14.0 * grain / 2, 1) + 0.3 * noise_tile(6.0 * grain / 2, 2)
    slope = relief - np.roll(relief, (grain, grain // 2), axis=(0, 1))
    spread: Floats = slope / slope.std()
    return spread


def patch(tile: Floats, height: int, width: int, top: int, left: int) -> Floats:
    """A ``(height, width)`` window of a tile, placed so that it never leaves the tile."""
    top %= max(1, tile.shape[0] - height)
    left %= max(1, tile.shape[1] - width)
    return tile[top : top + height, left : left + width]


def ellipse_view(across: float, deep: float, yaw: float) -> tuple[float, float]:
    """Half the width and the azimuth offset of an elliptic cross-section turned by ``yaw``.

    Args:
        across: half axis from side to side.
        deep: half axis from back to front.
        yaw: turn of the body in radians, 0 when it faces the viewer.
    """
    x, z = across * np.cos(yaw), deep * np.sin(yaw)
    return float(np.hypot(x, z)), float(np.arctan2(z, x))


def _blend(canvas: Canvas, box: tuple[int, int, int, int], colour: Floats, alpha: Floats) -> None:
    top, bottom, left, right = box
    region = canvas.rgb[top:bottom, left:right]
    region += alpha[:, :, None] * (colour - region)


def _window(canvas: Canvas, x0: float, x1: float, y0: float, y1: float) -> tuple[int, int, int, int]:
    height, width = canvas.rgb.shape[:2]
    return max(0, int(y0)), min(height, int(y1) + 2), max(0, int(x0)), min(width, int(x1) + 2)


def _lit(
    canvas: Canvas, box: tuple[int, int, int, int], colour: Floats, shade: Floats, folds: float
) -> Floats:
    if folds:
        tile = _fold_tile(max(1, round(2 * canvas.grain)))
        top, left = box[0] + canvas.shift[0], box[2] + canvas.shift[1]
        shade = shade * (1 + folds * patch(tile, box[1] - box[0], box[3] - box[2], top, left))
    return colour * shade[:, :, None]


def tube(
    canvas: Canvas,
    start: Point,
    end: Point,
    knots: list[tuple[float, float]],
    texture: TubeTexture | Colour,
    *,
    offset: float = 0.0,
    folds: float = 0.0,
    soft: float = 1.0,
    opacity: float = 1.0,
    flat: float = 1.0,
    lit: bool = True,
) -> None:
    """Draw a tube around the line from ``start`` to ``end``.

    Args:
        canvas: changed in place.
        start: where position 0 lies.
        end: where position 1 lies.
        knots: (position, half width in pixels), positions rising; they may lie outside 0..1.
        texture: one colour, or colours by azimuth and position.
        offset: azimuth offset from :func:`ellipse_view`.
        folds: strength of cloth folds.
        soft: width of the edge in pixels.
        opacity: of the whole tube.
        flat: 1 for a round cross-section; larger values flatten the side that faces the viewer.
        lit: whether the light is applied.
    """
    length = max(1e-3, float(np.hypot(end[0] - start[0], end[1] - start[1])))
    dx, dy = (end[0] - start[0]) / length, (end[1] - start[1]) / length
    reach = max(width for _, width in knots) + soft + 1
    first, last = knots[0][0], knots[-1][0]
    xs = [start[0] + dx * length * t for t in (first, last)]
    ys = [start[1] + dy * length * t for t in (first, last)]
    box = _window(canvas, min(xs) - reach, max(xs) + reach, min(ys) - reach, max(ys) + reach)
    if box[0] >= box[1] or box[2] >= box[3]:
        return
    x = np.arange(box[2], box[3], dtype=np.float32)[None, :] + np.float32(0.5 - start[0])
    y = np.arange(box[0], box[1], dtype=np.float32)[:, None] + np.float32(0.5 - start[1])
    along = (x * np.float32(dx) + y * np.float32(dy)) / np.float32(length)
    side = x * np.float32(dy) - y * np.float32(dx)
    width = np.interp(along, [k[0] for k in knots], [k[1] for k in knots]).astype(np.float32)
    ends = np.minimum((along - first), (last - along)) * length + 0.5
    alpha = np.minimum(np.maximum((width - np.abs(side)) / soft + 0.5, 0), 1)
    alpha *= np.minimum(np.maximum(ends, 0), 1) * opacity
    u = np.minimum(np.maximum(side / np.maximum(width, 0.5), -1), 1)
    if callable(texture):
        azimuth = np.arcsin(u) - np.float32(offset)
        azimuth -= np.float32(2 * np.pi) * np.round(azimuth / np.float32(2 * np.pi))
        colour = texture(azimuth, along)
    else:
        colour = np.broadcast_to(np.array(texture, dtype=np.float32), (*u.shape, 3))
    if lit:
        bend = u if flat == 1.0 else np.sign(u) * np.abs(u) ** np.float32(flat)
        squared = bend * bend
        lx, ly, lz = canvas.light.direction
        fall = bend * np.float32(lx * dy - ly * dx) + np.sqrt(1 - squared) * np.float32(lz)
        shade = canvas.light.ambient + canvas.light.diffuse * np.maximum(fall, 0)
        shade *= 1 - np.float32(0.22) * squared * squared
        colour = _lit(canvas, box, colour, shade.astype(np.float32), folds)
    _blend(canvas, box, colour, alpha.astype(np.float32))


def ball(
    canvas: Canvas,
    centre: Point,
    radii: tuple[float, float],
    texture: BallTexture | Colour,
    *,
    yaw: float = 0.0,
    tilt: float = 0.0,
    folds: float = 0.0,
) -> None:
    """Draw an ellipsoid.

    Args:
        canvas: changed in place.
        centre: its centre.
        radii: half axes in pixels, to the right and down before the tilt.
        texture: one colour, or colours by the normal in the frame of the body.
        yaw: turn of the body in radians.
        tilt: turn in the plane of the picture, radians clockwise.
        folds: strength of cloth folds.
    """
    reach = max(radii) + 1
    box = _window(canvas, centre[0] - reach, centre[0] + reach, centre[1] - reach, centre[1] + reach)
    if box[0] >= box[1] or box[2] >= box[3]:
        return
    x = np.arange(box[2], box[3], dtype=np.float32)[None, :] + np.float32(0.5 - centre[0])
    y = np.arange(box[0], box[1], dtype=np.float32)[:, None] + np.float32(0.5 - centre[1])
    c, s = np.float32(np.cos(tilt)), np.float32(np.sin(tilt))
    nx = (x * c + y * s) / np.float32(max(radii[0], 0.5))
    ny = (y * c - x * s) / np.float32(max(radii[1], 0.5))
    radius = np.sqrt(nx * nx + ny * ny)
    alpha = np.clip((1 - radius) * np.float32(min(radii)) + 0.5, 0, 1)
    over = np.maximum(radius, 1)
    nx, ny = nx / over, ny / over
    nz = np.sqrt(np.maximum(0, 1 - nx * nx - ny * ny))
    if callable(texture):
        cy, sy = np.float32(np.cos(yaw)), np.float32(np.sin(yaw))
        colour = texture(nx * cy - nz * sy, -ny, nx * sy + nz * cy)
    else:
        colour = np.broadcast_to(np.array(texture, dtype=np.float32), (*nx.shape, 3))
    lx, ly, lz = (np.float32(part) for part in canvas.light.direction)
    fall = np.maximum(0, (nx * c - ny * s) * lx + (nx * s + ny * c) * ly + nz * lz)
    edge = np.minimum(radius, 1) ** 4
    shade = (canvas.light.ambient + canvas.light.diffuse * fall) * (1 - np.float32(0.25) * edge)
    _blend(canvas, box, _lit(canvas, box, colour, shade.astype(np.float32), folds), alpha.astype(np.float32))
