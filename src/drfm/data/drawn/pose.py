"""Where the joints are in one shot, in body heights and as seen by the camera."""

from dataclasses import dataclass

import numpy as np

from drfm.data.drawn.looks import Person
from drfm.data.drawn.surface import Point

Joint = tuple[float, float, float]
"""To the left of the body, up from the ground, to the front; in body heights."""
_ARMS = ("swing", "pocket", "phone", "strap", "carry")


@dataclass(frozen=True)
class View:
    """Turn of the body and place of the figure on the canvas.

    Attributes:
        yaw: radians; 0 faces the camera, pi/2 walks to the right of the picture.
        pitch: how far the camera looks down; pixels down per pixel nearer.
        scale: pixels of one body height.
        foot: pixels of the point on the ground below the body.
    """

    yaw: float
    pitch: float
    scale: float
    foot: Point

    def depth(self, joint: Joint) -> float:
        """Distance towards the camera in body heights."""
        return float(-joint[0] * np.sin(self.yaw) + joint[2] * np.cos(self.yaw))

    def __call__(self, joint: Joint) -> Point:
        """Pixels of a joint."""
        right = joint[0] * np.cos(self.yaw) + joint[2] * np.sin(self.yaw)
        down = -joint[1] + self.pitch * self.depth(joint)
        return float(self.foot[0] + self.scale * right), float(self.foot[1] + self.scale * down)


@dataclass(frozen=True)
class Pose:
    """Joints of one shot; pairs are (right side of the body, left side)."""

    hips: tuple[Joint, Joint]
    knees: tuple[Joint, Joint]
    ankles: tuple[Joint, Joint]
    shoulders: tuple[Joint, Joint]
    elbows: tuple[Joint, Joint]
    wrists: tuple[Joint, Joint]
    neck: Joint
    crotch: Joint
    head: Joint
    head_turn: float
    lift: tuple[float, float]


def _leg(hip: Joint, swing: float, flex: float, length: float) -> tuple[Joint, Joint]:
    thigh, shin = 0.232 * length, 0.228 * length
    knee = (hip[0] * 0.95, hip[1] - thigh * np.cos(swing), hip[2] + thigh * np.sin(swing))
    lower = swing - flex
    return knee, (hip[0] * 0.85, knee[1] - shin * np.cos(lower), knee[2] + shin * np.sin(lower))


def _arm(shoulder: Joint, side: int, swing: float, mode: str) -> tuple[Joint, Joint]:
    flex, out, inward = 0.25 + 0.35 * max(0.0, swing), 0.13, 0.0
    if mode == "pocket":
        swing, flex, out, inward = -0.28, 0.75, 0.3, 0.24
    elif mode == "phone":
        swing, flex, out, inward = 0.25, 2.0, 0.2, 0.35
    elif mode == "strap":
        swing, flex, out, inward = 0.05, 2.45, 0.25, 0.1
    elif mode == "carry":
        swing, flex, out, inward = swing * 0.3, 0.12, 0.16, 0.0
    upper, lower = 0.168, 0.158
    flat = np.sqrt(1 - out * out)
    x, y, z = shoulder
    elbow = (x + side * out * upper, y - upper * flat * np.cos(swing), z + upper * flat * np.sin(swing))
    bent = swing + flex
    flat = np.sqrt(1 - inward * inward)
    wrist = (
        elbow[0] - side * inward * lower,
        elbow[1] - lower * flat * np.cos(bent),
        elbow[2] + lower * flat * np.sin(bent),
    )
    return elbow, wrist


def draw_pose(person: Person, rng: np.random.Generator) -> Pose:
    """A moment of walking or standing."""
    phase = rng.uniform(0, 2 * np.pi)
    walking = rng.random() < 0.78
    reach = (rng.uniform(0.28, 0.46) if walking else rng.uniform(0.0, 0.07)) * person.stride
    length = person.legs
    hip_up = 0.5 * length
    hip_out = 0.05 * person.hips
    knees, ankles, hips = [], [], []
    for side, turn in ((-1, 0.0), (1, np.pi)):
        swing = reach * np.sin(phase + turn) + 0.04
        flex = 0.06 + (1.5 * reach * max(0.0, np.cos(phase + turn)) ** 2 if walking else 0.02)
        hip = (side * hip_out, hip_up, 0.0)
        knee, ankle = _leg(hip, float(swing), float(flex), length)
        hips.append(hip)
        knees.append(knee)
        ankles.append(ankle)
    drop = min(a[1] for a in ankles) - 0.035
    lean = person.stoop + (0.012 if walking else 0.0)

    def down(joint: Joint) -> Joint:
        return joint[0], float(joint[1] - drop), float(joint[2])

    shoulder_up = 0.788 - drop
    elbows, wrists, shoulders = [], [], []
    for side, turn in ((-1, 0.0), (1, np.pi)):
        mode = "swing" if rng.random() < 0.66 else str(rng.choice(_ARMS[1:4]))
        if person.bag.kind in ("tote", "handbag") and side == person.bag.side:
            mode = "carry"
        shoulder = (side * 0.112 * person.shoulders * (0.6 + 0.4 * person.girth), shoulder_up, lean)
        elbow, wrist = _arm(shoulder, side, float(-0.85 * reach * np.sin(phase + turn)), mode)
        shoulders.append(shoulder)
        elbows.append(elbow)
        wrists.append(wrist)
    lifts = [float(np.clip((a[1] - drop - 0.035) * 6, 0, 0.8)) for a in ankles]
    return Pose(
        hips=(down(hips[0]), down(hips[1])),
        knees=(down(knees[0]), down(knees[1])),
        ankles=(down(ankles[0]), down(ankles[1])),
        shoulders=(shoulders[0], shoulders[1]),
        elbows=(elbows[0], elbows[1]),
        wrists=(wrists[0], wrists[1]),
        neck=(0.0, 0.842 - drop, lean * 1.1),
        crotch=(0.0, hip_up - 0.035 - drop, 0.0),
        head=(0.0, 0.921 - drop, lean * 1.5 + 0.012),
        head_turn=float(rng.normal(0, 0.3)),
        lift=(lifts[0], lifts[1]),
    )
