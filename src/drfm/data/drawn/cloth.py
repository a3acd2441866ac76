"""Textures: what a point of a garment, a sleeve, a trouser leg or a head looks like."""

import numpy as np

from drfm.data.drawn.looks import Bottom, Head, Pattern, Person, Print, Top
from drfm.data.drawn.stage import dim
from drfm.data.drawn.surface import BallTexture, Colour, Floats, TubeTexture

_TORSO = 0.375
"""Length of the torso, neck to crotch, in body heights."""
_PI = np.float32(np.pi)


def paint(rgb: Floats, mask: Floats, colour: Colour) -> None:
    """Blend ``colour`` into ``rgb`` where ``mask``, 0..1, says so."""
    rows = np.flatnonzero(mask.max(axis=1) > 0)
    if rows.size == 0:
        return
    part = slice(int(rows[0]), int(rows[-1]) + 1)
    weight = np.minimum(np.maximum(mask[part], 0), 1)[:, :, None]
    rgb[part] += weight * (np.array(colour, dtype=np.float32) - rgb[part])


def _plain(shape: tuple[int, ...], colour: Colour) -> Floats:
    rgb = np.empty((*shape, 3), dtype=np.float32)
    rgb[:] = colour
    return rgb


def _wave(value: Floats, period: float, share: float = 0.5, edge: float = 4.0) -> Floats:
    """Soft bars: 1 on ``share`` of each period."""
    phase = np.abs(value / np.float32(period) - np.round(value / np.float32(period))) * 2
    bars: Floats = np.clip((share - phase) * edge + 0.5, 0, 1)
    return bars


def weave(
    rgb: Floats, pattern: Pattern, across: Floats, down: Floats, *, second: Colour, scale: float
) -> None:
    """Add a woven pattern; ``across`` and ``down`` are places on the cloth in body heights."""
    if pattern == "stripes":
        paint(rgb, _wave(down, scale), second)
    elif pattern == "pinstripes":
        paint(rgb, 0.7 * _wave(across, scale * 0.6, 0.3), second)
    elif pattern == "checks":
        paint(rgb, 0.5 * _wave(across, scale * 1.2, 0.45), second)
        paint(rgb, 0.5 * _wave(down, scale * 1.2, 0.45), second)
    elif pattern == "dots":
        dots = np.cos(across * (2 * _PI / np.float32(scale))) + np.cos(down * (2 * _PI / np.float32(scale)))
        paint(rgb, (dots - 1.0) * 2.5, second)
    elif pattern == "melange":
        rgb *= (1 + 0.09 * np.sin(across * 640) * np.sin(down * 530))[:, :, None]


def _chest(rgb: Floats, shape: Print, left: Floats, down: Floats, colour: Colour) -> None:
    """Print on the chest; ``left`` and ``down`` are in torso lengths from its middle."""
    if shape == "disc":
        paint(rgb, (0.115 - np.hypot(left, down)) * 30, colour)
    elif shape == "box":
        paint(rgb, np.minimum((0.14 - np.abs(left)) * 30, (0.10 - np.abs(down)) * 30), colour)
    elif shape == "heart":
        paint(rgb, (0.13 - np.hypot(left, down * 1.1 + 0.7 * np.abs(left) - 0.06)) * 30, colour)
    elif shape == "badge":
        paint(rgb, (0.035 - np.hypot(left - 0.12, down + 0.04)) * 50, colour)
    elif shape == "band":
        paint(rgb, (0.05 - np.abs(down)) * 40, colour)
    elif shape == "text":
        words = np.sin(left * 95 + 40 * np.round(down * 14)) * 2 + 0.9
        lines = np.minimum((0.15 - np.abs(left)) * 40, (0.085 - np.abs(down)) * 40)
        paint(rgb, np.minimum(np.minimum(lines, words), _wave(down, 0.07, 0.6) * 2), colour)


def _front(rgb: Floats, top: Top, azimuth: Floats, v: Floats) -> None:
    """Opening, zip, buttons and lapels."""
    near = np.abs(azimuth)
    dark: Colour = (top.colour[0] * 0.55, top.colour[1] * 0.55, top.colour[2] * 0.55)
    if top.opening:
        spread = top.opening * (0.75 + 0.35 * np.minimum(v, 1.3))
        paint(rgb, (spread + 0.07 - near) * 12, dark)
        paint(rgb, (spread - near) * 12, top.inner)
    elif top.kind in ("jacket", "puffer", "hoodie"):
        paint(rgb, (0.045 - near) * 25, dark if top.kind == "hoodie" else top.second)
    elif top.kind in ("shirt", "blazer", "coat"):
        paint(rgb, 0.6 * np.clip((0.03 - np.abs(near - 0.02)) * 30, 0, 1), dark)
        paint(rgb, (0.06 - near) * 12 * _wave(v, 0.13, 0.25), top.second)
    if top.kind in ("blazer", "coat"):
        lapel = 0.5 * np.clip(1 - v / 0.42, 0, 1)
        paint(rgb, (lapel + 0.05 - near) * 12, dark)
        paint(rgb, (lapel - near) * 12, top.inner)
    if top.kind in ("hoodie", "jacket", "coat", "blazer"):
        pocket = np.minimum((0.018 - np.abs(v - 0.72)) * 40, (0.2 - np.abs(near - 0.62)) * 12)
        paint(rgb, 0.7 * np.clip(pocket, 0, 1), dark)


def torso(person: Person) -> TubeTexture:
    """The garment from the neck down; straps of a bag lie on it."""
    top, bag = person.top, person.bag

    def texture(azimuth: Floats, v: Floats) -> Floats:
        rgb = _plain(azimuth.shape, top.colour)
        weave(
            rgb,
            top.pattern,
            azimuth * np.float32(0.11),
            v * np.float32(_TORSO),
            second=top.second,
            scale=top.scale,
        )
        if top.pattern == "block":
            paint(rgb, (0.34 - v) * 25, top.second)
        if top.printed != "none":
            _chest(rgb, top.printed, azimuth * np.float32(0.28), v - np.float32(0.36), top.second)
        if top.back_print != "none":
            back = azimuth - np.sign(azimuth) * _PI
            _chest(rgb, top.back_print, back * np.float32(0.28), v - np.float32(0.38), top.second)
        _front(rgb, top, azimuth, v)
        if top.quilt:
            rgb *= (0.78 + 0.3 * np.abs(np.sin(v * np.float32(top.quilt * 1.6))))[:, :, None]
        neck = np.float32(0.085) * np.clip(
            1 - (azimuth / np.float32(top.collar * 1.6)) ** 2, 0, 1
        ) + np.float32(0.02)
        if top.kind in ("tshirt", "dress", "long sleeve"):
            paint(rgb, (neck - v) * 60, person.head.skin)
        else:
            paint(rgb, (neck * 0.7 - v) * 60, top.inner)
        hem = np.float32(top.hem)
        rgb *= (1 - 0.25 * np.clip(1 - np.abs(v - hem + 0.04) * 40, 0, 1))[:, :, None]
        if top.belt:
            paint(rgb, (0.024 - np.abs(v - 0.62)) * 70, top.second)
        if bag.kind == "backpack":
            straps = np.minimum((0.11 - np.abs(np.abs(azimuth) - 0.62)) * 18, (0.5 - v) * 20)
            paint(rgb, straps, bag.second if bag.size > 1.05 else bag.colour)
        elif bag.kind == "cross":
            rise = np.sin(azimuth) * bag.side
            paint(rgb, (0.035 - np.abs(v - 0.44 - 0.36 * rise)) * 45, bag.colour)
        return rgb

    return texture


def sleeve(person: Person, first: float, last: float) -> TubeTexture:
    """Arm between the fractions ``first`` and ``last`` of its length: sleeve, then skin."""
    top, skin = person.top, person.head.skin

    def texture(azimuth: Floats, v: Floats) -> Floats:
        place = np.float32(first) + v * np.float32(last - first)
        rgb = _plain(azimuth.shape, top.colour)
        weave(
            rgb,
            top.pattern,
            azimuth * np.float32(0.04),
            place * np.float32(0.315),
            second=top.second,
            scale=top.scale,
        )
        if top.pattern == "block" and top.collar < 0.5:
            paint(rgb, (place - 0.0) * 60, top.second)
        if top.quilt:
            rgb *= (0.8 + 0.28 * np.abs(np.sin(place * np.float32(top.quilt * 1.5))))[:, :, None]
        paint(rgb, (0.02 - np.abs(place - np.float32(top.sleeve - 0.03))) * 25, dim(top.colour, 0.72))
        paint(rgb, (place - np.float32(top.sleeve)) * 60, skin)
        return rgb

    return texture


def leg(person: Person, first: float, last: float, side: int) -> TubeTexture:
    """Leg between two fractions of its length: cloth, then skin or sock, then boot."""
    bottom, skin = person.bottom, person.head.skin
    covered = 0.0 if bottom.kind == "skirt" else bottom.length
    denim = bottom.colour[2] > bottom.colour[0] * 1.15

    def texture(azimuth: Floats, v: Floats) -> Floats:
        place = np.float32(first) + v * np.float32(last - first)
        rgb = _plain(azimuth.shape, bottom.colour)
        weave(
            rgb,
            bottom.pattern,
            azimuth * np.float32(0.05),
            place * np.float32(0.46),
            second=bottom.second,
            scale=0.05,
        )
        if denim:
            worn = 0.22 * np.exp(-((place - 0.3) ** 2) * 18) * np.clip(np.cos(azimuth), 0, 1)
            rgb *= (1 + worn)[:, :, None]
        if bottom.stripe:
            paint(rgb, (0.16 - np.abs(azimuth - np.float32(side * 1.57))) * 15, bottom.second)
        if bottom.turned:
            paint(rgb, (0.03 - np.abs(place - np.float32(covered - 0.03))) * 40, dim(bottom.colour, 1.35))
        bare = skin if bottom.kind != "trousers" else person.sock
        if bottom.kind == "skirt" and person.sock[0] < 0.5:
            bare = dim(skin, 0.45)  # tights
        paint(rgb, (place - np.float32(covered)) * 60, bare)
        if bottom.kind == "shorts":
            paint(rgb, (place - 0.86) * 60, person.sock)
        if person.boot and bottom.kind != "trousers":
            paint(rgb, (place - np.float32(0.95 - 3 * person.boot)) * 60, person.shoe)
        rgb *= (1 - 0.25 * np.clip(1 - np.abs(place - np.float32(covered + 0.02)) * 25, 0, 1))[:, :, None]
        return rgb

    return texture


def skirt(bottom: Bottom) -> TubeTexture:
    """A skirt by azimuth and by position from the waist to the hem."""

    def texture(azimuth: Floats, v: Floats) -> Floats:
        rgb = _plain(azimuth.shape, bottom.colour)
        down = v * np.float32(bottom.length * 0.5)
        weave(rgb, bottom.pattern, azimuth * np.float32(0.12), down, second=bottom.second, scale=0.05)
        pleats = 1 + np.float32(1.2 * bottom.flare) * np.sin(azimuth * 14) * v
        rgb *= (pleats * (1 - 0.2 * np.clip(1 - np.abs(v - 0.97) * 30, 0, 1)))[:, :, None]
        return rgb

    return texture


_HAIRLINE: dict[str, tuple[float, float, float]] = {
    # lowest hair at the front, at the ears, at the back of the head; -1 the chin, 1 the crown
    "bald": (2.0, 2.0, 2.0),
    "crop": (0.55, 0.10, -0.45),
    "short": (0.42, -0.05, -0.6),
    "side": (0.38, -0.1, -0.6),
    "curls": (0.40, -0.45, -0.8),
    "bob": (0.40, -0.75, -1.2),
    "long": (0.50, -0.8, -1.4),
    "tail": (0.50, 0.0, -0.6),
    "bun": (0.52, 0.0, -0.6),
}


def _hair(rgb: Floats, head: Head, left: Floats, up: Floats, front: Floats) -> None:
    at_front, at_ear, at_back = _HAIRLINE[head.style]
    parting = 0.22 * left if head.style == "side" else 0.0
    line = np.where(front > 0, at_ear + (at_front + parting - at_ear) * np.clip(front * 1.25, 0, 1) ** 1.5,
                    at_ear + (at_back - at_ear) * -front)  # fmt: skip
    shine = (
        1
        + 0.16 * np.sin(left * 30 + front * 23) * np.clip(up + 0.3, 0, 1)
        + 0.2 * np.exp(-((up - 0.62) ** 2) * 30)
    )
    mask = np.clip((up - line) * 9 + 0.5, 0, 1)[:, :, None]
    rgb += mask * (np.array(head.hair, dtype=np.float32) * shine[:, :, None] - rgb)
    if head.style == "crop":
        rgb += (1 - mask) * 0.12 * np.clip(up - line + 0.3, 0, 0.3)[:, :, None] * -rgb


def _face(rgb: Floats, head: Head, left: Floats, up: Floats, front: Floats) -> None:
    seen = np.clip(front * 3, 0, 1)
    across = np.abs(left)

    def spot(x: float, y: float, wide: float, high: float) -> Floats:
        return seen * np.exp(-(((across - x) / wide) ** 2) - ((up - y) / high) ** 2)

    paint(rgb, head.blush * spot(0.5, -0.25, 0.2, 0.16), (0.85, 0.42, 0.38))
    paint(rgb, 0.5 * spot(0.36, 0.2, 0.17, 0.045), head.hair)
    paint(rgb, 1.1 * spot(0.36, 0.0, 0.085, 0.095), (0.12, 0.09, 0.08))
    paint(rgb, 0.28 * spot(0.0, -0.2, 0.12, 0.06), dim(head.skin, 0.6))
    if head.beard:
        jaw = np.clip((-0.28 - up + 0.5 * across) * 8, 0, 1) * np.clip((front + 0.15) * 4, 0, 1)
        paint(rgb, head.beard * 0.85 * jaw, head.hair)
    smile = spot(0.0, -0.47, 0.2, 0.05) + 0.5 * spot(0.2, -0.43, 0.05, 0.05)
    paint(rgb, 0.6 * smile, (0.62, 0.27, 0.25))
    if head.glasses:
        lens = np.clip((0.2 - np.hypot(across - 0.36, up * 1.15)) * 20, 0, 1)
        bridge = np.clip((0.035 - np.abs(up - 0.04)) * 30, 0, 1) * (across < 0.2)
        paint(rgb, seen * np.maximum(0.3 * lens, 0.5 * bridge), (0.16, 0.15, 0.16))


def head(person: Person) -> BallTexture:
    """Face, hair and close-fitting hats by the normal of the head."""
    look = person.head

    def texture(left: Floats, up: Floats, front: Floats) -> Floats:
        rgb = _plain(left.shape, look.skin)
        rgb *= (1 - 0.12 * np.clip(-0.55 - up, 0, 1))[:, :, None]
        _face(rgb, look, left, up, front)
        if look.hat not in ("hood", "scarf"):
            _hair(rgb, look, left, up, front)
        if look.hat in ("cap", "beanie"):
            line = 0.30 + (0.05 if look.hat == "cap" else 0.0) * front
            rib = 1 + (0.12 * np.sin(left * 40) * (up < 0.55) if look.hat == "beanie" else 0.0 * left)
            mask = np.clip((up - line) * 12 + 0.5, 0, 1)[:, :, None]
            rgb += mask * (np.array(look.hat_colour, dtype=np.float32) * rib[:, :, None] - rgb)
        elif look.hat in ("hood", "scarf"):
            opening = front - 0.62 + 0.12 * np.abs(up)
            paint(rgb, np.clip(-opening * 9 + 0.5, 0, 1), look.hat_colour)
            paint(rgb, 0.45 * np.clip(1 - np.abs(opening) * 12, 0, 1), dim(look.hat_colour, 0.4))
        return rgb

    return texture


def backpack(person: Person) -> TubeTexture:
    """A bag with a lid and a pocket; azimuth 0 is the side that lies on the back."""
    bag = person.bag

    def texture(azimuth: Floats, v: Floats) -> Floats:
        rgb = _plain(azimuth.shape, bag.colour)
        back = np.abs(azimuth) > _PI / 2
        rgb *= (1 - 0.3 * np.clip(1 - np.abs(v - 0.3) * 30, 0, 1))[:, :, None]
        pocket = np.minimum((0.3 - np.abs(v - 0.68)) * 30, (np.abs(azimuth) - 2.35) * 12) * back
        paint(rgb, 0.8 * np.clip(pocket, 0, 1), bag.second if bag.size > 1.0 else dim(bag.colour, 0.7))
        return rgb

    return texture
