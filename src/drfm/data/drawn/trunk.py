"""Trunk with what is worn on it, and bags."""

from collections.abc import Callable

import numpy as np

from drfm.data.drawn import cloth
from drfm.data.drawn.heads import draw_neck
from drfm.data.drawn.pose import Joint
from drfm.data.drawn.stage import Stage, between, dim
from drfm.data.drawn.surface import ball, ellipse_view, tube

_SHAPE = (
    (-0.02, 0.30), (0.02, 0.42), (0.055, 0.72), (0.095, 0.92), (0.15, 1.0), (0.32, 1.0),
    (0.58, 0.82), (0.84, 0.92), (1.0, 0.93),
)  # fmt: skip
"""Position along the torso, and half its width there as a part of the widest."""


def _widths(stage: Stage) -> tuple[float, float, float]:
    """Half width of the chest and of the hips in pixels, and the azimuth offset."""
    person = stage.person
    across = 0.112 * person.shoulders * stage.thick + person.top.loose
    half, offset = ellipse_view(across, 0.072 * person.girth + person.top.loose, stage.view.yaw)
    return stage.px(half), stage.px(half * (0.9 + 0.1 * person.hips)), offset


def draw_seat(stage: Stage) -> None:
    """What lies between the legs; drawn before them."""
    _, hips, offset = _widths(stage)
    neck, crotch = stage.view(stage.pose.neck), stage.view(stage.pose.crotch)
    knots = [
        (0.5, hips * 0.8),
        (0.7, hips * 0.92),
        (0.88, hips * 0.96),
        (1.0, hips * 0.7),
        (1.06, hips * 0.4),
    ]
    tube(stage.canvas, neck, crotch, knots, stage.person.bottom.colour, offset=offset, folds=0.05)


def draw_trunk(stage: Stage) -> None:
    """Skirt, neck, and the garment over them."""
    person, view, px = stage.person, stage.view, stage.px
    top = person.top
    chest, hips, offset = _widths(stage)
    neck, crotch = view(stage.pose.neck), view(stage.pose.crotch)
    if person.bottom.kind == "skirt" and top.kind != "dress":
        waist = between(neck, crotch, 0.58)
        hem = (crotch[0], waist[1] + px(0.16 + 0.42 * person.bottom.length))
        skirt = [(0.0, hips * 0.8), (0.3, hips), (1.0, hips * 1.02 + px(person.bottom.flare))]
        tube(stage.canvas, waist, hem, skirt, cloth.skirt(person.bottom), offset=offset, folds=0.05)
    knots = {v: chest * share for v, share in _SHAPE if v < min(top.hem, 0.95) - 0.02}
    if top.hem > 1.0:
        flare = px(top.flare)
        knots |= {0.84: hips * 0.98, 1.0: hips + 0.25 * flare, top.hem: hips + flare}
    else:
        knots[top.hem] = max(hips * 0.96, chest * 0.9)
    draw_neck(stage)
    texture = cloth.torso(person)
    tube(stage.canvas, neck, crotch, sorted(knots.items()), texture, offset=offset, folds=top.folds, flat=1.3)
    if top.hood and person.head.hat != "hood" and np.cos(view.yaw) < 0.75:
        x, up, z = stage.pose.neck
        ball(
            stage.canvas,
            view((x, up - 0.005, z - 0.05)),
            (px(0.06), px(0.035)),
            dim(top.colour, 0.85),
            folds=0.06,
        )


def place_bag(stage: Stage) -> tuple[float, Callable[[], None]]:
    """Depth of the bag among the parts of the figure, and what draws it."""
    person, pose, view = stage.person, stage.pose, stage.view
    bag = person.bag
    if bag.kind == "backpack":
        deep = 0.072 * person.girth + person.top.loose + 0.025
        high: Joint = (0.0, pose.neck[1] - 0.035, pose.neck[2] - deep)
        return 0.09 if view.depth(high) > 0 else -0.2, lambda: _draw_backpack(stage, high)
    if bag.kind == "cross":
        out = 0.118 * stage.thick + person.top.loose + 0.012
        at: Joint = (bag.side * out, pose.crotch[1] + 0.075, 0.01)
        long, tall, deep = 0.062, 0.075, 0.03
    else:
        x, y, z = pose.wrists[(bag.side + 1) // 2]
        at = (x + bag.side * 0.012, y - 0.13 * bag.size, z)
        long, tall, deep = (0.075, 0.15, 0.025) if bag.kind == "tote" else (0.066, 0.085, 0.035)
    depth = view.depth(at)
    size = (long * bag.size, tall * bag.size, deep)
    return depth + 0.03 if depth > -0.05 else -0.3, lambda: _draw_side_bag(stage, at, size)


def _draw_backpack(stage: Stage, high: Joint) -> None:
    bag, view = stage.person.bag, stage.view
    low: Joint = (high[0], high[1] - 0.25 * bag.size, high[2] - 0.005)
    half, offset = ellipse_view(0.092 * bag.size, 0.055 * bag.size, view.yaw)
    shape = ((0.0, 0.55), (0.06, 0.85), (0.2, 0.97), (0.9, 1.0), (0.97, 0.9), (1.0, 0.7))
    knots = [(v, stage.px(half * share)) for v, share in shape]
    texture = cloth.backpack(stage.person)
    tube(stage.canvas, view(high), view(low), knots, texture, offset=offset, folds=0.04, flat=2.5)


def _draw_side_bag(stage: Stage, at: Joint, size: tuple[float, float, float]) -> None:
    bag, px, canvas = stage.person.bag, stage.px, stage.canvas
    share, offset = ellipse_view(size[2], size[0], stage.view.yaw)
    half, high = px(share), px(size[1])
    x, y = stage.view(at)
    if bag.kind != "cross":
        hand = stage.view(stage.pose.wrists[(bag.side + 1) // 2])
        for shift in (-0.5, 0.5):
            corner, thin = (x + shift * half, y - high * 0.45), px(0.005)
            tube(canvas, hand, corner, [(0, thin), (1, thin)], dim(bag.colour, 0.7))
    knots = [(0.0, half * 0.9), (0.08, half * 0.98), (0.9, half), (1.0, half * 0.85)]
    top, low = (x, y - high / 2), (x, y + high / 2)
    tube(canvas, top, low, knots, bag.colour, offset=offset, folds=0.05, flat=3.0)
    band = [(0.38, half * 0.98), (0.46, half * 0.98)]
    tube(canvas, top, low, band, bag.second, opacity=0.5, flat=3.0)
