"""Legs with shoes, and arms with hands."""

import numpy as np

from drfm.data.drawn import cloth
from drfm.data.drawn.pose import Joint
from drfm.data.drawn.stage import SHADE, Stage, between
from drfm.data.drawn.surface import ball, tube

Knots = list[tuple[float, float]]


def draw_leg(stage: Stage, side: int) -> None:
    """Shoe, shin and thigh of one side; 0 is the person's right."""
    person, pose, view, px = stage.person, stage.pose, stage.view, stage.px
    bottom = person.bottom
    bare = bottom.kind != "trousers"
    cut = 0.0 if bare else bottom.wide
    thigh, knee = 0.058 * stage.thick + cut * 0.6, 0.038 * stage.thick + cut
    ankle = 0.026 * stage.thick + cut + (0.0 if bare else bottom.flare)
    if person.boot and not bare:
        ankle = max(0.032, ankle * 0.85)
    calf = max(0.034 * stage.thick if bare else 0.0, knee + 0.6 * (ankle - knee))
    lower = [(-0.06, knee * 0.9), (0.0, knee), (0.35, calf), (0.9, ankle), (1.02, ankle)]
    upper = [(-0.22, thigh * 0.8), (-0.1, thigh * 0.93), (0.25, thigh), (1.0, knee), (1.05, knee * 0.9)]
    hip, mid, low = (view(joints[side]) for joints in (pose.hips, pose.knees, pose.ankles))
    _draw_shoe(stage, side)
    folds, sign = 0.02 if bare else 0.06, (-1, 1)[side]
    for start, end, knots, first, last in ((mid, low, lower, 0.5, 1.0), (hip, mid, upper, 0.0, 0.5)):
        texture = cloth.leg(person, first, last, sign)
        tube(stage.canvas, start, end, _scaled(stage, knots), texture, offset=view.yaw, folds=folds)
    if bottom.kind == "shorts":
        wide = px(thigh + 0.006)
        end = between(hip, mid, bottom.length * 2)
        texture = cloth.leg(person, 0.0, bottom.length, sign)
        cloth_knots = [(-0.1, wide * 0.93), (0.3, wide), (1.0, wide)]
        tube(stage.canvas, hip, end, cloth_knots, texture, offset=view.yaw, folds=0.05)


def _scaled(stage: Stage, knots: Knots) -> Knots:
    return [(place, stage.px(width)) for place, width in knots]


def _draw_shoe(stage: Stage, side: int) -> None:
    person, view, px = stage.person, stage.view, stage.px
    x, y, z = stage.pose.ankles[side]
    lift = stage.pose.lift[side]
    heel: Joint = (x, y - 0.012 + lift * 0.02, z - 0.022)
    toe: Joint = (x * 1.15, y - 0.016 - lift * 0.05, z + 0.075)
    a, b = view(heel), view(toe)
    long = float(np.hypot(b[0] - a[0], b[1] - a[1])) / 2 + px(0.024)
    seen_along = abs(b[0] - a[0]) > px(0.03)
    tilt = float(np.arctan((b[1] - a[1]) / (b[0] - a[0]))) if seen_along else 0.0
    high = px(0.022) + abs(b[1] - a[1]) / 2 * (0.2 if seen_along else 1.0)
    x_px, y_px = between(a, b, 0.5)
    ball(stage.canvas, (x_px, y_px + px(0.008)), (long, high), person.sole, tilt=tilt)
    ball(stage.canvas, (x_px, y_px - px(0.001)), (long * 0.97, high), person.shoe, tilt=tilt)


def draw_arm(stage: Stage, side: int) -> None:
    """Shadow on the body, hand, forearm and upper arm of one side; 0 is the person's right."""
    person, pose, view, px = stage.person, stage.pose, stage.view, stage.px
    top = person.top
    a, b, c = view(pose.shoulders[side]), view(pose.elbows[side]), view(pose.wrists[side])
    covered = top.sleeve > 0.8
    loose = top.loose * 0.7
    upper = 0.031 * stage.thick + loose
    elbow = 0.028 * stage.thick + loose * 0.8 if covered else 0.025 * stage.thick
    wrist = 0.020 * stage.thick + loose * 0.6 if covered else 0.018 * stage.thick
    slip = px(0.012)
    shadow = [(0.0, px(upper)), (1.0, px(elbow))]
    tube(stage.canvas, (a[0] + slip, a[1] + px(0.03)), (b[0] + slip, b[1] + slip), shadow, SHADE,
         opacity=0.2, soft=px(0.025), lit=False)  # fmt: skip
    hand = between(b, c, 1.1 if covered else 1.04)
    ball(stage.canvas, hand, (px(0.021), px(0.025)), person.head.skin)
    fore = [(-0.1, elbow * 0.85), (0.0, elbow), (0.3, elbow), (1.0, wrist), (1.03, wrist * 0.9)]
    over = [
        (-0.13, upper * 0.4),
        (-0.08, upper * 0.75),
        (0.0, upper * 0.95),
        (0.15, upper),
        (0.45, upper * 0.95),
    ]
    if covered:
        over += [(1.0, elbow), (1.08, elbow * 0.85)]
    else:
        end = max(0.5, top.sleeve * 2)
        over += [(end + 0.01, upper * 0.97), (end + 0.03, elbow)]
        over += [(1.08, elbow * 0.9)] if end < 1.0 else []
    parts = [(b, c, fore, 0.5, 1.0), (a, b, over, 0.0, 0.5)]
    if pose.wrists[side][1] > pose.elbows[side][1]:
        parts.reverse()
    for start, stop, knots, first, last in parts:
        texture = cloth.sleeve(person, first, last)
        folds = top.folds if covered else 0.02
        tube(stage.canvas, start, stop, _scaled(stage, knots), texture, offset=view.yaw, folds=folds)
