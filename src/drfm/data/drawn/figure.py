"""A person put together on a canvas, far parts first."""

from collections.abc import Callable

import numpy as np

from drfm.data.drawn import cloth
from drfm.data.drawn.looks import Person
from drfm.data.drawn.pose import Joint, Pose, View
from drfm.data.drawn.surface import Canvas, Colour, Point, ball, ellipse_view, tube

_TORSO_SHAPE = (
    (-0.02, 0.30),
    (0.02, 0.42),
    (0.06, 0.80),
    (0.11, 1.0),
    (0.30, 1.0),
    (0.58, 0.82),
    (0.84, 0.93),
    (1.0, 0.93),
)
"""Half width of the trunk along the torso, as a part of the widest."""
_SHADE: Colour = (0.05, 0.05, 0.07)


class Figure:
    """One person in one pose seen in one view; :meth:`draw` puts it on a canvas."""

    def __init__(self, canvas: Canvas, person: Person, pose: Pose, view: View) -> None:
        self.canvas, self.person, self.pose, self.view = canvas, person, pose, view
        self.thick = 0.55 + 0.45 * person.girth

    def draw(self) -> None:
        """Draw the parts sorted by their distance."""
        view, pose = self.view, self.pose
        self._ground_shadow()
        parts: list[tuple[float, Callable[[], None]]] = [(0.0, self._trunk), (0.004, self._head)]
        for side in (0, 1):
            arm_depth = view.depth(pose.shoulders[side]) + 0.3 * view.depth(pose.wrists[side]) + 0.025
            arm_depth = arm_depth if abs(arm_depth) > 0.02 else 0.03
            parts.append((arm_depth, lambda side=side: self._arm(side)))  # type: ignore[misc]
            leg_depth = view.depth(pose.hips[side]) + 0.5 * view.depth(pose.ankles[side])
            parts.append((-1 + leg_depth, lambda side=side: self._leg(side)))  # type: ignore[misc]
        if self.person.bag.kind != "none":
            parts.append(self._bag())
        for _, part in sorted(parts, key=lambda item: item[0]):
            part()

    def _px(self, share: float) -> float:
        return share * self.view.scale

    def _ground_shadow(self) -> None:
        x, y = self.view.foot
        lean = -self.canvas.light.direction[0] * self._px(0.16)
        wide, high = self._px(0.13), self._px(0.022)
        for grow in (1.5, 1.15, 0.8):
            tube(self.canvas, (x + lean * 0.5, y - high * grow), (x + lean * 0.5, y + high * grow),
                 [(0, wide * grow * 0.6), (0.3, wide * grow), (0.7, wide * grow), (1, wide * grow * 0.6)],
                 _SHADE, opacity=0.16, soft=self._px(0.05), lit=False)  # fmt: skip

    def _leg(self, side: int) -> None:
        person, pose, view = self.person, self.pose, self.view
        bottom = person.bottom
        bare = bottom.kind != "trousers"
        wide = 0.0 if bare else bottom.wide
        thigh, knee, ankle = (
            0.056 * self.thick + wide * 0.6,
            0.038 * self.thick + wide,
            0.026 * self.thick + wide,
        )
        ankle += bottom.flare if not bare else 0.0
        if person.boot and not bare:
            ankle = max(0.032, ankle * 0.85)
        px, sign = self._px, (-1, 1)[side]
        hip, mid, low = (view(j[side]) for j in (pose.hips, pose.knees, pose.ankles))
        self._shoe(side)
        calf = 0.034 * self.thick if bare else 0.0
        lower = [(-0.06, px(knee * 0.9)), (0.0, px(knee)), (0.35, px(max(calf, knee + 0.6 * (ankle - knee)))),
                 (0.9, px(ankle)), (1.02, px(ankle))]  # fmt: skip
        upper = [(0.0, px(thigh * 0.95)), (0.3, px(thigh)), (1.0, px(knee)), (1.05, px(knee * 0.9))]
        folds = 0.02 if bare else 0.09
        tube(self.canvas, mid, low, lower, cloth.leg(person, 0.5, 1.0, sign), offset=view.yaw, folds=folds)
        tube(self.canvas, hip, mid, upper, cloth.leg(person, 0.0, 0.5, sign), offset=view.yaw, folds=folds)

    def _shoe(self, side: int) -> None:
        person, view = self.person, self.view
        x, y, z = self.pose.ankles[side]
        lift = self.pose.lift[side]
        heel: Joint = (x, y - 0.012 + lift * 0.02, z - 0.022)
        toe: Joint = (x * 1.15, y - 0.016 - lift * 0.05, z + 0.075)
        a, b = view(heel), view(toe)
        px = self._px
        long = float(np.hypot(b[0] - a[0], b[1] - a[1])) / 2 + px(0.024)
        tilt = float(np.arctan2(b[1] - a[1], b[0] - a[0])) if abs(b[0] - a[0]) > px(0.03) else 0.0
        if tilt > np.pi / 2:
            tilt -= np.pi
        elif tilt < -np.pi / 2:
            tilt += np.pi
        middle = ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2)
        high = px(0.022) + abs(b[1] - a[1]) / 2 * (1.0 if tilt == 0 else 0.2)
        ball(self.canvas, (middle[0], middle[1] + px(0.008)), (long, high), person.sole, tilt=tilt)
        ball(self.canvas, (middle[0], middle[1] - px(0.001)), (long * 0.97, high), person.shoe, tilt=tilt)

    def _trunk(self) -> None:
        person, view, pose, px = self.person, self.view, self.pose, self._px
        top = person.top
        across, deep = 0.112 * person.shoulders * self.thick + top.loose, 0.072 * person.girth + top.loose
        half, offset = ellipse_view(across, deep, view.yaw)
        hip_half = px(half * (0.9 + 0.1 * person.hips))
        neck, crotch = view(pose.neck), view(pose.crotch)
        seat = [
            (0.5, hip_half * 0.8),
            (0.7, hip_half * 0.92),
            (0.9, hip_half * 0.98),
            (1.05, hip_half * 0.8),
            (1.1, hip_half * 0.5),
        ]
        bottom = person.bottom
        if bottom.kind != "skirt":
            tube(self.canvas, neck, crotch, seat, bottom.colour, offset=offset, folds=0.08)
        elif top.kind != "dress":
            self._skirt(neck, crotch, hip_half, offset)
        knots = [(v, px(half * share)) for v, share in _TORSO_SHAPE if v < min(top.hem, 0.95) - 0.02]
        if top.hem > 1.0:
            flare = px(top.flare)
            knots += [(0.84, hip_half * 0.98), (1.0, hip_half + 0.25 * flare), (top.hem, hip_half + flare)]
            knots = sorted(dict(knots).items())
        else:
            knots.append((top.hem, max(hip_half * 0.95, px(half * 0.9))))
        self._neck()
        texture = cloth.torso(person)
        tube(self.canvas, neck, crotch, knots, texture, offset=offset, folds=top.folds, flat=1.3)
        if top.hood and person.head.hat != "hood" and np.cos(view.yaw) < 0.75:
            back = view((0.0, pose.neck[1] - 0.005, pose.neck[2] - 0.05))
            ball(self.canvas, back, (px(0.06), px(0.035)), tuple(0.85 * c for c in top.colour), folds=0.1)  # type: ignore[arg-type]

    def _skirt(self, neck: Point, crotch: Point, half: float, offset: float) -> None:
        bottom = self.person.bottom
        waist = (neck[0] + 0.58 * (crotch[0] - neck[0]), neck[1] + 0.58 * (crotch[1] - neck[1]))
        hem = (crotch[0], waist[1] + self._px(0.16 + 0.42 * bottom.length))
        knots = [(0.0, half * 0.8), (0.3, half), (1.0, half * 1.02 + self._px(bottom.flare))]
        tube(self.canvas, waist, hem, knots, cloth.skirt(bottom), offset=offset, folds=0.08)

    def _neck(self) -> None:
        px, pose, view = self._px, self.pose, self.view
        skin = self.person.head.skin
        top, low = view(pose.head), view(pose.neck)
        wide = px(0.028 * self.thick + 0.002)
        tube(self.canvas, top, (low[0], low[1] + px(0.02)), [(0, wide), (0.7, wide), (1, wide * 1.3)],
             (skin[0] * 0.82, skin[1] * 0.8, skin[2] * 0.8))  # fmt: skip

    def _arm(self, side: int) -> None:
        person, pose, view, px = self.person, self.pose, self.view, self._px
        top = person.top
        a, b, c = view(pose.shoulders[side]), view(pose.elbows[side]), view(pose.wrists[side])
        bare = top.sleeve < 0.8
        loose = top.loose * 0.7
        upper, elbow, wrist = (
            0.034 * self.thick + loose,
            0.028 * self.thick + loose * 0.8,
            0.020 * self.thick + loose * 0.6,
        )
        thin = elbow if not bare else 0.025 * self.thick
        end = wrist if not bare else 0.018 * self.thick
        folds = 0.03 if bare else top.folds
        shade = px(0.012)
        tube(self.canvas, (a[0] + shade, a[1] + px(0.03)), (b[0] + shade, b[1] + shade), [(0, px(upper)), (1, px(elbow))],
             _SHADE, opacity=0.22, soft=px(0.025), lit=False)  # fmt: skip
        ball(self.canvas, c if bare else _reach(b, c, 1.1), (px(0.021), px(0.025)), person.head.skin)
        fore = [
            (-0.1, px(thin * 0.85)),
            (0.0, px(thin)),
            (0.3, px(thin)),
            (1.0, px(end)),
            (1.03, px(end * 0.9)),
        ]
        over = [(-0.14, px(upper * 0.45)), (-0.06, px(upper * 0.85)), (0.08, px(upper)), (0.45, px(upper * 0.95)),
                (top.sleeve * 2 + 0.01, px(upper * 0.95)), (top.sleeve * 2 + 0.03, px(thin)), (1.08, px(thin * 0.9))]  # fmt: skip
        if not bare:
            over = [*over[:4], (1.0, px(thin)), (1.08, px(thin * 0.85))]
        over = [knot for i, knot in enumerate(over) if i == 0 or knot[0] > over[i - 1][0]]
        order = [(b, c, fore, 0.5, 1.0), (a, b, over, 0.0, 0.5)]
        if pose.wrists[side][1] > pose.elbows[side][1]:
            order.reverse()
        for start, stop, knots, first, last in order:
            tube(
                self.canvas,
                start,
                stop,
                knots,
                cloth.sleeve(person, first, last),
                offset=view.yaw,
                folds=folds,
            )

    def _head(self) -> None:
        person, pose, view, px = self.person, self.pose, self.view, self._px
        look = person.head
        yaw = view.yaw + pose.head_turn
        centre = view(pose.head)
        wide, high = px(0.060 * look.size), px(0.079 * look.size)
        facing_away = np.cos(yaw) < 0
        if person.scarf:
            neck = view(pose.neck)
            ball(
                self.canvas, (neck[0], neck[1] - px(0.004)), (px(0.056), px(0.030)), person.scarf, folds=0.16
            )
        if look.hat == "none" or look.hat in ("cap", "beanie", "brim"):
            self._hair_behind(centre, wide, high, yaw, front=False)
        grow = 1.12 if look.hat in ("hood", "scarf") else 1.0
        ball(self.canvas, centre, (wide * grow, high * grow), cloth.head(person), yaw=yaw)
        if look.hat in ("none", "cap", "beanie", "brim") and facing_away:
            self._hair_behind(centre, wide, high, yaw, front=True)
        self._hat(centre, wide, high, yaw)

    def _hair_behind(self, centre: Point, wide: float, high: float, yaw: float, *, front: bool) -> None:
        """Hair that leaves the head: before the face is drawn, and again over it when seen from behind."""
        look = self.person.head
        x, y = centre
        back = -float(np.sin(yaw)) * wide
        seen_back = np.cos(yaw) < 0
        if look.style in ("long", "bob"):
            fall = {"long": 2.35, "bob": 1.15}[look.style]
            shift = back * 0.35
            knots = [
                (0.0, wide * 1.02),
                (0.3, wide * 1.12),
                (0.8, wide * (1.08 if seen_back else 1.16)),
                (1.0, wide * 0.75),
            ]
            if not front or seen_back:
                tube(
                    self.canvas,
                    (x + shift, y - high * 0.2),
                    (x + shift, y + high * fall * 0.85),
                    knots,
                    look.hair,
                    folds=0.14,
                )
        elif look.style == "curls":
            if not front:
                ball(
                    self.canvas,
                    (x + back * 0.2, y - high * 0.2),
                    (wide * 1.38, high * 1.12),
                    look.hair,
                    folds=0.3,
                )
        elif look.style == "tail" and front == bool(seen_back):
            tube(self.canvas, (x + back * 0.95, y - high * 0.35), (x + back * 1.35, y + high * 1.25),
                 [(0, wide * 0.2), (0.15, wide * 0.42), (0.6, wide * 0.36), (1, wide * 0.1)], look.hair, folds=0.12)  # fmt: skip
        elif look.style == "bun" and look.hat == "none" and front == bool(seen_back):
            ball(
                self.canvas,
                (x + back * 0.8, y - high * 0.8),
                (wide * 0.5, wide * 0.46),
                look.hair,
                folds=0.12,
            )

    def _hat(self, centre: Point, wide: float, high: float, yaw: float) -> None:
        look = self.person.head
        x, y = centre
        ahead, facing = float(np.sin(yaw)), float(np.cos(yaw))
        colour = look.hat_colour
        dark: Colour = (colour[0] * 0.8, colour[1] * 0.8, colour[2] * 0.8)
        if look.hat == "cap" and facing > -0.4:
            ball(self.canvas, (x + ahead * wide * 0.95, y - high * (0.36 - 0.1 * facing)),
                 (wide * (0.45 + 0.4 * abs(facing) + 0.25 * abs(ahead)), high * 0.15), dark)  # fmt: skip
        elif look.hat == "beanie":
            ball(self.canvas, (x, y - high * 0.98), (wide * 0.28, wide * 0.26), dark, folds=0.3)
        elif look.hat == "brim":
            ball(self.canvas, (x, y - high * 0.42), (wide * 1.75, high * 0.2), dark)
            tube(self.canvas, (x, y - high * 1.12), (x, y - high * 0.42),
                 [(0, wide * 0.75), (0.1, wide * 0.85), (1, wide * 1.0)], colour)  # fmt: skip

    def _bag(self) -> tuple[float, Callable[[], None]]:
        person, pose, view, px = self.person, self.pose, self.view, self._px
        bag = person.bag
        size = bag.size
        if bag.kind == "backpack":
            deep = 0.072 * person.girth + person.top.loose
            top: Joint = (0.0, pose.neck[1] - 0.035, pose.neck[2] - deep - 0.025)
            low: Joint = (0.0, top[1] - 0.25 * size, top[2] - 0.005)
            half, offset = ellipse_view(0.092 * size, 0.055 * size, view.yaw)
            wide = px(half)
            knots = [
                (0.0, wide * 0.55),
                (0.06, wide * 0.85),
                (0.2, wide * 0.97),
                (0.9, wide),
                (0.97, wide * 0.9),
                (1.0, wide * 0.7),
            ]
            texture = cloth.backpack(person)
            depth = 0.09 if view.depth(top) > 0 else -0.2
            return depth, lambda: tube(
                self.canvas, view(top), view(low), knots, texture, offset=offset, folds=0.06, flat=2.5
            )
        side = (bag.side + 1) // 2
        if bag.kind == "cross":
            out = 0.118 * self.thick + person.top.loose + 0.012
            at: Joint = (bag.side * out, pose.crotch[1] + 0.075, 0.01)
            wide, high, deep = 0.062 * size, 0.075 * size, 0.03
        else:
            x, y, z = pose.wrists[side]
            at = (x + bag.side * 0.012, y - 0.13 * size, z)
            wide, high, deep = (
                (0.075 * size, 0.15 * size, 0.025)
                if bag.kind == "tote"
                else (0.066 * size, 0.085 * size, 0.035)
            )
        half, offset = ellipse_view(deep, wide, view.yaw)
        depth = view.depth(at) + 0.03 if view.depth(at) > -0.05 else -0.3
        return depth, lambda: self._side_bag(at, px(half), px(high), offset, self.pose.wrists[side])

    def _side_bag(self, at: Joint, half: float, high: float, offset: float, hand: Joint) -> None:
        bag, px = self.person.bag, self._px
        x, y = self.view(at)
        hx, hy = self.view(hand)
        if bag.kind != "cross":
            for shift in (-0.5, 0.5):
                tube(self.canvas, (hx, hy), (x + shift * half, y - high * 0.45), [(0, px(0.005)), (1, px(0.005))],
                     (bag.colour[0] * 0.7, bag.colour[1] * 0.7, bag.colour[2] * 0.7))  # fmt: skip
        knots = [(0.0, half * 0.9), (0.08, half * 0.98), (0.9, half), (1.0, half * 0.85)]
        tube(
            self.canvas,
            (x, y - high / 2),
            (x, y + high / 2),
            knots,
            bag.colour,
            offset=offset,
            folds=0.07,
            flat=3.0,
        )
        tube(self.canvas, (x, y - high * 0.12), (x, y - high * 0.04), [(0, half * 0.98), (1, half * 0.98)],
             bag.second, opacity=0.5, flat=3.0)  # fmt: skip


def _reach(a: Point, b: Point, share: float) -> Point:
    return a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])
