"""Head, hair and hats."""

import numpy as np

from drfm.data.drawn import cloth
from drfm.data.drawn.stage import Stage, dim
from drfm.data.drawn.surface import Point, ball, tube

_EARS = ("bald", "short", "crop", "side", "tail", "bun")


def draw_neck(stage: Stage) -> None:
    """The neck, in the shade of the head."""
    px, skin = stage.px, stage.person.head.skin
    top, low = stage.view(stage.pose.head), stage.view(stage.pose.neck)
    wide = px(0.028 * stage.thick + 0.002)
    end = (low[0], low[1] + px(0.02))
    tube(stage.canvas, top, end, [(0, wide), (0.7, wide), (1, wide * 1.3)], dim(skin, 0.8))


def draw_head(stage: Stage) -> None:
    """Scarf, hair behind, head, hair in front, hat."""
    person, px = stage.person, stage.px
    look = person.head
    yaw = stage.view.yaw + stage.pose.head_turn
    centre = stage.view(stage.pose.head)
    size = (px(0.060 * look.size), px(0.079 * look.size))
    wrapped = look.hat in ("hood", "scarf")
    if person.scarf:
        x, y = stage.view(stage.pose.neck)
        ball(stage.canvas, (x, y - px(0.004)), (px(0.056), px(0.030)), person.scarf, folds=0.12)
    if not wrapped:
        _loose_hair(stage, centre, size, yaw, over=False)
    _profile(stage, centre, size, yaw)
    grow = 1.12 if wrapped else 1.0
    ball(stage.canvas, centre, (size[0] * grow, size[1] * grow), cloth.head(person), yaw=yaw)
    if not wrapped:
        _ears(stage, centre, size, yaw)
        if np.cos(yaw) < 0:
            _loose_hair(stage, centre, size, yaw, over=True)
    _hat(stage, centre, size, yaw)


def _profile(stage: Stage, centre: Point, size: tuple[float, float], yaw: float) -> None:
    """The nose, where it stands out from the outline."""
    (x, y), (wide, high) = centre, size
    ahead = float(np.sin(yaw))
    if abs(ahead) > 0.5 and np.cos(yaw) > -0.45:
        ball(stage.canvas, (x + ahead * wide * 1.0, y + high * 0.16), (wide * 0.15, high * 0.12),
             dim(stage.person.head.skin, 0.95))  # fmt: skip


def _ears(stage: Stage, centre: Point, size: tuple[float, float], yaw: float) -> None:
    look = stage.person.head
    if look.style not in _EARS or look.hat == "beanie":
        return
    (x, y), (wide, high) = centre, size
    for side in (-1, 1):
        across, depth = side * float(np.cos(yaw)), -side * float(np.sin(yaw))
        if depth > -0.25:
            turned = 0.1 + 0.08 * max(0.0, depth)
            ball(stage.canvas, (x + across * wide * 0.98, y + high * 0.08), (wide * turned, high * 0.15),
                 dim(look.skin, 0.9))  # fmt: skip


def _loose_hair(stage: Stage, centre: Point, size: tuple[float, float], yaw: float, *, over: bool) -> None:
    """Hair that leaves the head: drawn before the face, or over the head when it is seen from behind."""
    look, canvas = stage.person.head, stage.canvas
    (x, y), (wide, high) = centre, size
    back, behind = -float(np.sin(yaw)) * wide, bool(np.cos(yaw) < 0)
    if look.style in ("long", "bob"):
        fall = 2.0 if look.style == "long" else 0.98
        middle = wide * (1.08 if behind else 1.16)
        knots = [(0.0, wide * 1.02), (0.3, wide * 1.12), (0.8, middle), (0.95, wide * 0.9), (1.0, wide * 0.7)]
        start, end = (x + back * 0.35, y - high * 0.2), (x + back * 0.35, y + high * fall)
        tube(canvas, start, end, knots, look.hair, folds=0.1)
    elif look.style == "curls" and not over:
        ball(canvas, (x + back * 0.2, y - high * 0.2), (wide * 1.38, high * 1.12), look.hair, folds=0.25)
    elif look.style == "tail" and over == behind:
        knots = [(0, wide * 0.2), (0.15, wide * 0.42), (0.6, wide * 0.36), (1, wide * 0.1)]
        start, end = (x + back * 0.95, y - high * 0.35), (x + back * 1.35, y + high * 1.25)
        tube(canvas, start, end, knots, look.hair, folds=0.1)
    elif look.style == "bun" and look.hat == "none" and over == behind:
        ball(canvas, (x + back * 0.8, y - high * 0.8), (wide * 0.5, wide * 0.46), look.hair, folds=0.1)


def _hat(stage: Stage, centre: Point, size: tuple[float, float], yaw: float) -> None:
    """The parts of a hat that stand off the head."""
    look, canvas = stage.person.head, stage.canvas
    (x, y), (wide, high) = centre, size
    ahead, facing = float(np.sin(yaw)), float(np.cos(yaw))
    dark = dim(look.hat_colour, 0.8)
    if look.hat == "cap" and facing > -0.4:
        peak = (wide * (0.45 + 0.4 * abs(facing) + 0.25 * abs(ahead)), high * 0.13)
        ball(canvas, (x + ahead * wide * 0.95, y - high * (0.34 - 0.08 * facing)), peak, dark)
    elif look.hat == "beanie":
        ball(canvas, (x, y - high * 1.0), (wide * 0.26, wide * 0.24), dark, folds=0.2)
    elif look.hat == "brim":
        ball(canvas, (x, y - high * 0.42), (wide * 1.75, high * 0.2), dark)
        knots = [(0, wide * 0.75), (0.1, wide * 0.85), (1, wide * 1.0)]
        tube(canvas, (x, y - high * 1.12), (x, y - high * 0.42), knots, look.hat_colour)
