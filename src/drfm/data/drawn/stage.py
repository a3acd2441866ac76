"""What every part of a figure is drawn with."""

from dataclasses import dataclass

from drfm.data.drawn.looks import Person
from drfm.data.drawn.pose import Pose, View
from drfm.data.drawn.surface import Canvas, Colour, Point

SHADE: Colour = (0.05, 0.05, 0.07)
"""Colour of a shadow."""


@dataclass(frozen=True)
class Stage:
    """One person in one pose, seen in one view, on one canvas."""

    canvas: Canvas
    person: Person
    pose: Pose
    view: View

    @property
    def thick(self) -> float:
        """Factor on the radius of limbs."""
        return 0.55 + 0.45 * self.person.girth

    def px(self, share: float) -> float:
        """Pixels of a length in body heights."""
        return share * self.view.scale


def dim(colour: Colour, by: float) -> Colour:
    """``colour`` times ``by``."""
    return colour[0] * by, colour[1] * by, colour[2] * by


def between(a: Point, b: Point, share: float) -> Point:
    """The point at ``share`` of the way from ``a`` to ``b``."""
    return a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])
