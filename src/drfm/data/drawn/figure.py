"""A person put together on a canvas, far parts first."""

from collections.abc import Callable
from functools import partial

from drfm.data.drawn.heads import draw_head
from drfm.data.drawn.limbs import draw_arm, draw_leg
from drfm.data.drawn.stage import SHADE, Stage
from drfm.data.drawn.surface import tube
from drfm.data.drawn.trunk import draw_seat, draw_trunk, place_bag


def draw_figure(stage: Stage) -> None:
    """Draw the person on the stage's canvas."""
    view, pose = stage.view, stage.pose
    _ground_shadow(stage)
    if stage.person.bottom.kind != "skirt":
        draw_seat(stage)
    parts: list[tuple[float, Callable[[], None]]] = [
        (0.0, partial(draw_trunk, stage)),
        (0.004, partial(draw_head, stage)),
    ]
    for side in (0, 1):
        # legs come before everything else: the trunk's garment hangs over them
        leg = view.depth(pose.hips[side]) + 0.5 * view.depth(pose.ankles[side]) - 1
        parts.append((leg, partial(draw_leg, stage, side)))
        arm = view.depth(pose.shoulders[side]) + 0.3 * view.depth(pose.wrists[side]) + 0.025
        parts.append((arm if abs(arm) > 0.02 else 0.03, partial(draw_arm, stage, side)))
    if stage.person.bag.kind != "none":
        parts.append(place_bag(stage))
    for _, draw in sorted(parts, key=lambda part: part[0]):
        draw()


def _ground_shadow(stage: Stage) -> None:
    x, y = stage.view.foot
    x -= stage.canvas.light.direction[0] * stage.px(0.08)
    wide, high = stage.px(0.15), stage.px(0.03)
    knots = [(0, wide * 0.5), (0.3, wide), (0.7, wide), (1, wide * 0.5)]
    tube(
        stage.canvas, (x, y - high), (x, y + high), knots, SHADE, opacity=0.4, soft=stage.px(0.09), lit=False
    )
