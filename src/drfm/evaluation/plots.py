"""Charts: small, readable in light and dark, in a page or as a file.

Curves differ in their dashes as well as in their colours, so that nothing depends on colour alone. In a page,
points carry their value as a tooltip.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from drfm.evaluation.marks import Area, Dot, Mark, Point, Stroke, Words, in_page

WIDTH, HEIGHT = 440, 250
LEFT, _RIGHT, _TOP, _BOTTOM = 48, 14, 12, 36
_DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 4", "1 4")
_COLOURS = 9
"""Of curves; with the dashes they make eighteen that differ."""
_MOST_DOTS = 30
KEY = 26
"""Length of the stroke in a legend."""


@dataclass(frozen=True)
class Line:
    """One curve.

    Attributes:
        name: for the legend.
        points: (x, y) in ascending order of x.
        filled: fill the area down to the axis.
        dots: mark the points, if there are at most 30, with their values as tooltips.
        band: lower and upper end of each point's spread, or nothing.
    """

    name: str
    points: Sequence[Point]
    filled: bool = False
    dots: bool = True
    band: Sequence[tuple[float, float]] = ()


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


@dataclass(frozen=True)
class Panel:
    """One chart: curves over two axes.

    Attributes:
        title: what it shows.
        lines: its curves; those without a point are left out.
        x, y: the axes.
        levels: (name, y) of dashed horizontal lines, such as what chance would give.
        note: a line of numbers under the title.
    """

    title: str
    lines: Sequence[Line]
    x: Axis
    y: Axis
    levels: Sequence[tuple[str, float]] = ()
    note: str = ""

    @property
    def drawn(self) -> list[Line]:
        """The curves that have a point."""
        return [line for line in self.lines if line.points]

    @property
    def words(self) -> str:
        """What the chart shows, for those who cannot see it."""
        return f"{self.title}: {', '.join(line.name for line in self.drawn)}. {self.note}".strip()


def chart(panel: Panel) -> str:
    """A ``<figure>`` with legend, axes and curves for a page; empty if no curve has a point."""
    if not panel.drawn:
        return ""
    keys = ""
    if len(panel.drawn) > 1:
        keys = "".join(
            f'<span><svg width="{KEY}" height="12" aria-hidden="true">{in_page([key(index, (0, 6))])}</svg> '
            f"{escape(line.name)}</span>"
            for index, line in enumerate(panel.drawn)
        )
    note = f"<small>{escape(panel.note)}</small>" if panel.note else ""
    return (
        f'<figure><figcaption>{escape(panel.title)}{note}</figcaption><div class="keys">{keys}</div>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(panel.words)}">'
        f"{in_page(plot(panel))}</svg></figure>"
    )


def key(index: int, at: Point) -> Stroke:
    """The stroke that stands for curve ``index`` in a legend."""
    x, y = at
    return Stroke([(x, y), (x + KEY, y)], _colour(index), 2.2, _DASHES[index % len(_DASHES)])


def plot(panel: Panel) -> list[Mark]:
    """Axes and curves of a panel with at least one point, on ``WIDTH`` x ``HEIGHT``."""
    lines, x, y = panel.drawn, panel.x, panel.y
    values = [value for line in lines for _, value in line.points]
    values += [end for line in lines for ends in line.band for end in ends]
    xs = _Scale.over([at for line in lines for at, _ in line.points], x, LEFT, WIDTH - _RIGHT)
    ys = _Scale.over([*values, *(value for _, value in panel.levels)], y, HEIGHT - _BOTTOM, _TOP)
    marks = _grid(xs, ys, x, y)
    for name, value in panel.levels:
        at = ys.place(value)
        marks.append(_across(at, "soft", 1.2, "3 4"))
        marks.append(Words((WIDTH - _RIGHT, at - 4), name, "end"))
    for index, line in enumerate(lines):
        marks += _curve(index, line, xs, ys, x, y)
    return marks


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


def _colour(index: int) -> str:
    return f"s{index % _COLOURS}"


def _across(y: float, colour: str, width: float = 1.0, dash: str = "") -> Stroke:
    return Stroke([(LEFT, y), (WIDTH - _RIGHT, y)], colour, width, dash)


def _grid(xs: _Scale, ys: _Scale, x: Axis, y: Axis) -> list[Mark]:
    marks: list[Mark] = []
    bottom = HEIGHT - _BOTTOM
    for value in ticks(ys.low, ys.high, whole=y.whole) if y.ticks else []:
        at = ys.place(value)
        marks += [_across(at, "rule"), Words((LEFT - 6, at + 4), _show(value, y), "end")]
    for value in ticks(xs.low, xs.high, whole=x.whole, about=8):
        at = xs.place(value)
        marks.append(Stroke([(at, bottom), (at, bottom + 4)], "soft"))
        marks.append(Words((at, bottom + 17), _show(value, x), "middle"))
    marks.append(_across(bottom, "soft"))
    marks.append(Words(((LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 4), x.title, "middle"))
    if y.title:
        marks.append(Words((4, _TOP - 2), y.title))
    return marks


def _curve(index: int, line: Line, xs: _Scale, ys: _Scale, x: Axis, y: Axis) -> list[Mark]:
    colour, dash = _colour(index), _DASHES[index % len(_DASHES)]
    placed = [(xs.place(at), ys.place(value)) for at, value in line.points]
    marks: list[Mark] = []
    if line.filled:
        base = ys.place(ys.low)
        marks.append(Area([(placed[0][0], base), *placed, (placed[-1][0], base)], colour))
    if line.band:
        ends = [
            (px, ys.place(low), ys.place(high))
            for (px, _), (low, high) in zip(placed, line.band, strict=True)
        ]
        if len(ends) == 1:
            marks.append(Stroke([(ends[0][0], ends[0][1]), (ends[0][0], ends[0][2])], colour, 1.4))
        else:
            lower, upper = [(px, low) for px, low, _ in ends], [(px, high) for px, _, high in ends]
            marks.append(Area([*upper, *reversed(lower)], colour))
    marks.append(Stroke(placed, colour, 2.2, dash))
    if line.dots and len(placed) <= _MOST_DOTS:
        for at, (px, value) in zip(placed, line.points, strict=True):
            tip = f"{line.name}, {x.title} {_show(px, x)}: {_show(value, y)}"
            marks.append(Dot(at, colour, tip=tip))
    return marks
