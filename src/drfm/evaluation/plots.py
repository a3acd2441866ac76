"""Charts as inline SVG: small, readable in light and dark, without any library.

Colours are the classes ``c0`` to ``c5`` of the page's style sheet; lines differ in their dashes too,
so that nothing depends on colour alone. Points carry their value as a tooltip.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 440, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 14, 12, 36
_DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 4", "1 4")


@dataclass(frozen=True)
class Line:
    """One curve.

    Attributes:
        name: for the legend.
        points: (x, y) in ascending order of x.
        filled: fill the area down to the axis.
        dots: mark the points, as far as they are not too many, with their values as tooltips.
    """

    name: str
    points: Sequence[tuple[float, float]]
    filled: bool = False
    dots: bool = True


@dataclass(frozen=True)
class Axis:
    """Title and, where they are fixed, the ends of an axis.

    Attributes:
        title: quantity and unit.
        low, high: ends; ``None`` takes them from the points.
        percent: show shares as per cent.
        whole: ticks at whole numbers alone.
        ticks: show numbers.
    """

    title: str
    low: float | None = None
    high: float | None = None
    percent: bool = False
    whole: bool = False
    ticks: bool = True


def chart(
    title: str, lines: Sequence[Line], x: Axis, y: Axis, *, levels: Sequence[tuple[str, float]] = ()
) -> str:
    """A ``<figure>`` with legend, axes and one curve for each of ``lines``; empty if no line has a point.

    ``levels`` are (name, y) of dashed horizontal lines, such as what chance would give.
    """
    lines = [line for line in lines if line.points]
    if not lines:
        return ""
    values = [value for line in lines for _, value in line.points]
    xs = _Scale.over([at for line in lines for at, _ in line.points], x, _LEFT, WIDTH - _RIGHT)
    ys = _Scale.over([*values, *(value for _, value in levels)], y, HEIGHT - _BOTTOM, _TOP)
    body = [_grid(xs, ys, x, y)]
    for name, value in levels:
        at = ys.place(value)
        body.append(f'<line class="level" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        place = f'x="{WIDTH - _RIGHT}" y="{at - 4:.1f}" text-anchor="end"'
        body.append(f'<text class="note" {place}>{escape(name)}</text>')
    body += [_curve(index, line, xs, ys, x, y) for index, line in enumerate(lines)]
    keys = "".join(_key(index, line) for index, line in enumerate(lines)) if len(lines) > 1 else ""
    words = escape(f"{title}: {', '.join(line.name for line in lines)}")
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><div class="keys">{keys}</div>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{words}">{"".join(body)}</svg></figure>'
    )


def ticks(low: float, high: float, *, whole: bool = False, about: int = 5) -> list[float]:
    """Round numbers within ``low``..``high`` that cut it into some ``about`` parts."""
    span = max(high - low, 1e-12)
    step = 10.0 ** math.floor(math.log10(span / about))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= about)
    if whole:
        step = max(1.0, round(step))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: float
    stop: float

    @classmethod
    def over(cls, values: Sequence[float], axis: Axis, start: float, stop: float) -> "_Scale":
        low = min(values) if axis.low is None else axis.low
        high = max(values) if axis.high is None else axis.high
        if axis.low is None and axis.ticks and not axis.whole:
            low = min(low, 0.0) if low < 0.35 * high else low
            low -= 0.04 * (high - low) if low else 0.0
        if axis.high is None and not axis.whole:
            high += 0.08 * (high - low)
        if high - low < 1e-9:
            low, high = low - 0.5, high + 0.5
        return cls(low, high, start, stop)

    def place(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)


def _show(value: float, axis: Axis) -> str:
    return f"{100 * value:.3g} %" if axis.percent else f"{value:,.4g}"


def _grid(xs: _Scale, ys: _Scale, x: Axis, y: Axis) -> str:
    parts = []
    bottom = HEIGHT - _BOTTOM
    for value in ticks(ys.low, ys.high, whole=y.whole) if y.ticks else []:
        at = ys.place(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{_show(value, y)}</text>')
    for value in ticks(xs.low, xs.high, whole=x.whole, about=8):
        at = xs.place(value)
        parts.append(f'<line class="axis" x1="{at:.1f}" x2="{at:.1f}" y1="{bottom}" y2="{bottom + 4}"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 17}" text-anchor="middle">{_show(value, x)}</text>')
    parts.append(f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{bottom}" y2="{bottom}"/>')
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    parts.append(
        f'<text class="note" x="{middle}" y="{HEIGHT - 4}" text-anchor="middle">{escape(x.title)}</text>'
    )
    if y.title:
        parts.append(f'<text class="note" x="4" y="{_TOP - 2}">{escape(y.title)}</text>')
    return "".join(parts)


def _curve(index: int, line: Line, xs: _Scale, ys: _Scale, x: Axis, y: Axis) -> str:
    colour = index % 6
    placed = [(xs.place(at), ys.place(value)) for at, value in line.points]
    path = " ".join(f"{px:.1f},{py:.1f}" for px, py in placed)
    parts = []
    if line.filled:
        base = ys.place(ys.low)
        ends = f"{placed[0][0]:.1f},{base:.1f} {path} {placed[-1][0]:.1f},{base:.1f}"
        parts.append(f'<polygon class="a{colour}" points="{ends}"/>')
    parts.append(f'<polyline class="c{colour}" stroke-dasharray="{_DASHES[colour]}" points="{path}"/>')
    if line.dots and len(placed) <= 60:
        for (px, py), (at, value) in zip(placed, line.points, strict=True):
            tip = escape(f"{line.name}, {x.title} {_show(at, x)}: {_show(value, y)}")
            place = f'cx="{px:.1f}" cy="{py:.1f}" r="2.6"'
            parts.append(f'<circle class="f{colour}" {place}><title>{tip}</title></circle>')
    return "".join(parts)


def _key(index: int, line: Line) -> str:
    stroke = (
        f'<line class="c{index % 6}" stroke-dasharray="{_DASHES[index % 6]}" x1="0" x2="26" y1="6" y2="6"/>'
    )
    return f'<span><svg width="26" height="12" aria-hidden="true">{stroke}</svg> {escape(line.name)}</span>'
