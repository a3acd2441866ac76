"""What tells one drawn person from another: body, hair, clothes, bag."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeVar

import numpy as np

from drfm.data.drawn.surface import Colour

T = TypeVar("T")
Pattern = Literal["plain", "stripes", "pinstripes", "checks", "block", "dots", "melange"]
Print = Literal["none", "disc", "box", "text", "heart", "band", "badge"]

_CLOTH: dict[str, tuple[Colour, float, float]] = {
    # name: colour, weight as a top, weight as trousers or skirt
    "black": ((0.11, 0.11, 0.12), 0.16, 0.24),
    "charcoal": ((0.24, 0.25, 0.27), 0.10, 0.08),
    "grey": ((0.52, 0.52, 0.53), 0.11, 0.07),
    "white": ((0.88, 0.87, 0.85), 0.12, 0.02),
    "navy": ((0.14, 0.18, 0.30), 0.14, 0.08),
    "denim": ((0.30, 0.40, 0.54), 0.03, 0.24),
    "pale denim": ((0.52, 0.61, 0.71), 0.01, 0.07),
    "sky": ((0.60, 0.70, 0.80), 0.05, 0.0),
    "blue": ((0.22, 0.35, 0.62), 0.05, 0.0),
    "beige": ((0.74, 0.66, 0.54), 0.05, 0.10),
    "olive": ((0.36, 0.38, 0.25), 0.04, 0.04),
    "brown": ((0.38, 0.27, 0.20), 0.03, 0.04),
    "burgundy": ((0.42, 0.14, 0.19), 0.04, 0.01),
    "red": ((0.68, 0.19, 0.18), 0.025, 0.0),
    "rose": ((0.80, 0.57, 0.60), 0.025, 0.01),
    "mustard": ((0.76, 0.58, 0.22), 0.02, 0.0),
    "green": ((0.22, 0.42, 0.32), 0.025, 0.0),
    "teal": ((0.20, 0.44, 0.48), 0.015, 0.0),
}
_SKIN: tuple[Colour, ...] = (
    (0.95, 0.80, 0.70),
    (0.90, 0.73, 0.61),
    (0.82, 0.63, 0.49),
    (0.68, 0.49, 0.36),
    (0.50, 0.34, 0.25),
    (0.36, 0.24, 0.18),
)
_HAIR: tuple[Colour, ...] = (
    (0.09, 0.08, 0.08),
    (0.20, 0.14, 0.11),
    (0.34, 0.23, 0.16),
    (0.52, 0.36, 0.22),
    (0.76, 0.60, 0.38),
    (0.50, 0.24, 0.14),
    (0.62, 0.61, 0.60),
)
_HAIR_WEIGHTS = (0.30, 0.24, 0.18, 0.09, 0.08, 0.04, 0.07)


@dataclass(frozen=True)
class Top:
    """A garment from the shoulders down.

    Attributes:
        kind: what a tailor would call it.
        colour, second: cloth and the pattern on it.
        inner: what shows at the neck and through an open front.
        pattern: woven all over.
        printed: on the chest; ``back_print`` the same on the back.
        sleeve: covered part of the arm, 0 at the shoulder, 1 at the wrist.
        hem: lower end, in torso lengths below the neck; 1 is the crotch, about 2.2 the ankle.
        loose: added radius in body heights.
        flare: added radius at the hem in body heights.
        opening: half of the open front in radians, 0 when closed.
        collar: half width of the neckline in radians.
        hood: hangs at the back of the neck.
        quilt: ridges of a padded jacket.
        folds: strength of the folds.
        belt: whether a belt is worn over it.
        scale: size of the pattern in body heights.
    """

    kind: str
    colour: Colour
    second: Colour
    inner: Colour
    pattern: Pattern
    printed: Print
    back_print: Print
    sleeve: float
    hem: float
    loose: float
    flare: float
    opening: float
    collar: float
    hood: bool
    quilt: float
    folds: float
    belt: bool
    scale: float


@dataclass(frozen=True)
class Bottom:
    """Trousers, shorts or a skirt; ``length`` is the covered part of the leg, ``wide`` the cut."""

    kind: Literal["trousers", "shorts", "skirt"]
    colour: Colour
    second: Colour
    pattern: Pattern
    length: float
    wide: float
    flare: float
    stripe: bool
    turned: bool


@dataclass(frozen=True)
class Head:
    """Hair, hat and face; the hair colour is that of the brows and the beard too."""

    skin: Colour
    hair: Colour
    style: Literal["bald", "short", "crop", "bob", "long", "tail", "bun", "curls", "side"]
    beard: float
    hat: Literal["none", "cap", "beanie", "hood", "brim", "scarf"]
    hat_colour: Colour
    glasses: bool
    size: float
    blush: float


@dataclass(frozen=True)
class Bag:
    """What is carried, on which side (-1 right, +1 left), and how large."""

    kind: Literal["none", "backpack", "cross", "tote", "handbag"]
    colour: Colour
    second: Colour
    side: int
    size: float


@dataclass(frozen=True)
class Person:
    """Everything about a person that every shot shares."""

    girth: float
    shoulders: float
    hips: float
    legs: float
    stoop: float
    head: Head
    top: Top
    bottom: Bottom
    bag: Bag
    shoe: Colour
    sole: Colour
    boot: float
    sock: Colour
    scarf: Colour | None
    stride: float


def _choice(rng: np.random.Generator, options: dict[T, float]) -> T:
    weights = np.array(list(options.values()))
    return list(options)[int(rng.choice(len(weights), p=weights / weights.sum()))]


def _vary(rng: np.random.Generator, colour: Colour, amount: float = 0.06) -> Colour:
    bright = 1 + amount * rng.standard_normal()
    tint = 1 + 0.4 * amount * rng.standard_normal(3)
    red, green, blue = (
        max(0.03, min(0.95, float(c * bright * t))) for c, t in zip(colour, tint, strict=True)
    )
    return red, green, blue


def _cloth(rng: np.random.Generator, column: int) -> Colour:
    name = _choice(rng, {name: row[2] if column == 2 else row[1] for name, row in _CLOTH.items()})
    return _vary(rng, _CLOTH[name][0])


def _contrast(rng: np.random.Generator, colour: Colour) -> Colour:
    """A second colour that can be told from the first: lighter on dark cloth, darker on light cloth."""
    for _ in range(6):
        other = _cloth(rng, 1)
        if abs(sum(other) - sum(colour)) > 0.6:
            return other
    return (0.85, 0.85, 0.83) if sum(colour) < 1.5 else (0.15, 0.16, 0.2)


_TOPS: dict[str, float] = {
    "tshirt": 0.20,
    "long sleeve": 0.10,
    "shirt": 0.12,
    "hoodie": 0.13,
    "jacket": 0.16,
    "puffer": 0.09,
    "blazer": 0.06,
    "coat": 0.08,
    "dress": 0.06,
}
# sleeve, hem, loose, folds: the middle of what is drawn for each kind
_CUTS: dict[str, tuple[float, float, float, float]] = {
    "tshirt": (0.40, 0.86, 0.006, 0.043),
    "long sleeve": (0.97, 0.86, 0.004, 0.043),
    "shirt": (0.97, 0.92, 0.006, 0.05),
    "hoodie": (0.98, 0.88, 0.014, 0.056),
    "jacket": (0.99, 0.85, 0.015, 0.056),
    "puffer": (0.99, 0.88, 0.024, 0.019),
    "blazer": (0.97, 0.98, 0.010, 0.031),
    "coat": (0.99, 1.50, 0.016, 0.037),
    "dress": (0.50, 1.50, 0.002, 0.043),
}
_OPEN = ("hoodie", "jacket", "puffer", "blazer", "coat")


def _top(rng: np.random.Generator) -> Top:
    kind = _choice(rng, _TOPS)
    sleeve, hem, loose, folds = _CUTS[kind]
    colour = _cloth(rng, 1)
    woven: dict[Pattern, float] = {"plain": 0.72, "melange": 0.10, "block": 0.06}
    printed: dict[Print, float] = {"none": 1.0}
    if kind in ("tshirt", "long sleeve"):
        woven = {"plain": 0.56, "stripes": 0.20, "block": 0.10, "melange": 0.08, "dots": 0.06}
        printed = {
            "none": 0.45,
            "disc": 0.1,
            "box": 0.12,
            "text": 0.15,
            "heart": 0.05,
            "band": 0.08,
            "badge": 0.05,
        }
    elif kind == "shirt":
        woven = {"plain": 0.45, "checks": 0.35, "pinstripes": 0.2}
    elif kind == "hoodie":
        printed = {"none": 0.5, "disc": 0.1, "box": 0.12, "text": 0.2, "badge": 0.08}
    elif kind == "dress":
        woven = {"plain": 0.5, "dots": 0.2, "stripes": 0.15, "checks": 0.15}
        sleeve = float(rng.choice([0.15, 0.4, 0.95]))
    elif kind in ("jacket", "coat"):
        woven = (
            {"plain": 0.78, "checks": 0.08, "block": 0.14}
            if kind == "jacket"
            else {"plain": 0.8, "checks": 0.2}
        )
    opening = float(rng.uniform(0.25, 0.6)) if kind in _OPEN and rng.random() < 0.5 else 0.0
    front = _choice(rng, printed)
    second = _contrast(rng, colour)
    return Top(
        kind=kind,
        colour=colour,
        second=second,
        inner=_cloth(rng, 1),
        pattern=_choice(rng, woven),
        printed="none" if opening else front,
        back_print=_choice(rng, printed) if rng.random() < 0.35 else "none",
        sleeve=sleeve * (1 if sleeve > 0.9 else float(rng.uniform(0.75, 1.25))),
        hem=hem + float(rng.uniform(-0.05, 0.05) if hem < 1.2 else rng.uniform(-0.2, 0.4)),
        loose=loose + float(rng.uniform(-0.003, 0.008)),
        flare=float(rng.uniform(0.0, 0.05)) if hem > 1.2 else 0.0,
        opening=opening,
        collar=float(rng.uniform(0.35, 0.8)) if kind in ("tshirt", "dress", "long sleeve") else 0.3,
        hood=kind == "hoodie" or (kind in ("jacket", "puffer", "coat") and rng.random() < 0.35),
        quilt=float(rng.uniform(5, 9)) if kind == "puffer" else 0.0,
        folds=folds,
        belt=kind in ("coat", "dress") and rng.random() < 0.45,
        scale=float(rng.uniform(0.028, 0.065)),
    )


def _bottom(rng: np.random.Generator, top: Top) -> Bottom:
    colour = _cloth(rng, 2)
    kind: Literal["trousers", "shorts", "skirt"] = "trousers"
    draw = rng.random()
    if top.kind == "dress":
        kind, colour = "skirt", top.colour
    elif draw < 0.12:
        kind = "shorts"
    elif draw < 0.24 and top.kind not in ("hoodie", "puffer"):
        kind = "skirt"
    plain: dict[Pattern, float] = {"plain": 0.9, "checks": 0.05, "melange": 0.05}
    if kind == "skirt":
        plain = {"plain": 0.7, "checks": 0.15, "stripes": 0.05, "dots": 0.1}
    length = {
        "trousers": rng.uniform(0.92, 1.0),
        "shorts": rng.uniform(0.36, 0.5),
        "skirt": rng.uniform(0.34, 0.8),
    }
    return Bottom(
        kind=kind,
        colour=colour,
        second=_contrast(rng, colour),
        pattern=_choice(rng, plain),
        length=float(length[kind]),
        wide=float(rng.choice([0.001, 0.006, 0.013], p=[0.4, 0.4, 0.2])),
        flare=float(rng.choice([0.0, 0.012], p=[0.75, 0.25]))
        if kind == "trousers"
        else float(rng.uniform(0, 0.05)),
        stripe=kind == "trousers" and rng.random() < 0.1,
        turned=kind == "trousers" and rng.random() < 0.15,
    )


def _head(rng: np.random.Generator, top: Top, bottom: Bottom) -> Head:
    beard = float(rng.uniform(0.5, 1.0)) if rng.random() < 0.16 and top.kind != "dress" else 0.0
    styles: dict[Literal["bald", "short", "crop", "bob", "long", "tail", "bun", "curls", "side"], float] = {
        "bald": 0.04, "short": 0.22, "crop": 0.12, "bob": 0.13, "long": 0.16, "tail": 0.11, "bun": 0.07,
        "curls": 0.09, "side": 0.06,
    }  # fmt: skip
    if beard:
        styles = {"bald": 0.15, "short": 0.45, "crop": 0.25, "side": 0.15}
    hats: dict[Literal["none", "cap", "beanie", "hood", "brim", "scarf"], float] = {
        "none": 0.74, "cap": 0.09, "beanie": 0.08, "brim": 0.03,
    }  # fmt: skip
    if top.sleeve > 0.9 and bottom.kind != "shorts" and not beard:
        hats["scarf"] = 0.06
    if top.hood:
        hats["hood"] = 0.14
    hat = _choice(rng, hats)
    return Head(
        skin=_vary(rng, _SKIN[int(rng.choice(6, p=[0.22, 0.25, 0.2, 0.13, 0.12, 0.08]))], 0.03),
        hair=_vary(rng, _HAIR[int(rng.choice(7, p=_HAIR_WEIGHTS))]),
        style=_choice(rng, styles),
        beard=beard,
        hat=hat,
        hat_colour=top.colour if hat == "hood" else _cloth(rng, 1),
        glasses=bool(rng.random() < 0.18),
        size=float(rng.uniform(0.95, 1.08)),
        blush=float(rng.uniform(0.05, 0.3)),
    )


def _bag(rng: np.random.Generator) -> Bag:
    kinds: dict[Literal["none", "backpack", "cross", "tote", "handbag"], float] = {
        "none": 0.42, "backpack": 0.24, "cross": 0.16, "tote": 0.10, "handbag": 0.08,
    }  # fmt: skip
    colour = _cloth(rng, 1)
    return Bag(
        kind=_choice(rng, kinds),
        colour=colour,
        second=_contrast(rng, colour),
        side=int(rng.choice([-1, 1])),
        size=float(rng.uniform(0.85, 1.2)),
    )


@lru_cache(maxsize=2048)
def make_person(person: int, seed: int) -> Person:
    """The looks of person number ``person``; equal for equal arguments."""
    rng = np.random.default_rng([seed, 1, person])
    top = _top(rng)
    bottom = _bottom(rng, top)
    shoe = (
        _cloth(rng, 2)
        if rng.random() < 0.5
        else _vary(rng, ((0.12, 0.11, 0.11), (0.85, 0.84, 0.82))[rng.random() < 0.45])
    )
    girth = float(np.clip(1 + 0.11 * rng.standard_normal(), 0.84, 1.32))
    return Person(
        girth=girth,
        shoulders=float(1 + 0.06 * rng.standard_normal()),
        hips=float(1 + 0.07 * rng.standard_normal()),
        legs=float(np.clip(1 + 0.03 * rng.standard_normal(), 0.93, 1.06)),
        stoop=float(rng.uniform(-0.01, 0.035)),
        head=_head(rng, top, bottom),
        top=top,
        bottom=bottom,
        bag=_bag(rng),
        shoe=shoe,
        sole=(0.88, 0.87, 0.85) if rng.random() < 0.4 else (0.16, 0.15, 0.15),
        boot=float(rng.choice([0.0, 0.05, 0.12], p=[0.7, 0.18, 0.12])),
        sock=_vary(rng, ((0.85, 0.85, 0.85), (0.15, 0.15, 0.16))[rng.random() < 0.5]),
        scarf=_cloth(rng, 1) if rng.random() < 0.08 else None,
        stride=float(rng.uniform(0.8, 1.15)),
    )
