"""What a chart consists of, and the three ways to draw it: in a page, as an SVG file, as a PNG file.

A page has its own colours for light and dark, so there marks carry classes; a file has those of the light
page in it, because programs that place SVG on paper know neither style sheets nor a reader's preference.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any, Literal

from drfm.errors import DrfmError

Point = tuple[float, float]

LIGHT = {
    "ground": "#ffffff", "panel": "#f6f7f9", "ink": "#1c2430", "soft": "#5c6675", "rule": "#d9dde3",
    "good": "#0a7a52", "bad": "#b3341f",
    "s0": "#0b62b5", "s1": "#c4511a", "s2": "#0a7a52", "s3": "#8a3fa0", "s4": "#8a6a00", "s5": "#5c6675",
    "s6": "#c2276b", "s7": "#0f7f8c", "s8": "#5b3a24",
}  # fmt: skip
"""Colours of a light page and of files; ``s0`` to ``s8`` are those of curves."""
DARK = {
    "ground": "#12161c", "panel": "#1b212a", "ink": "#e7ebf0", "soft": "#a3adba", "rule": "#343d49",
    "good": "#4cc38f", "bad": "#ff8a70",
    "s0": "#6cb2f5", "s1": "#f59a62", "s2": "#4cc38f", "s3": "#d295e6", "s4": "#e0bd4a", "s5": "#a3adba",
    "s6": "#ff8fbd", "s7": "#5fd0dc", "s8": "#c9a48a",
}  # fmt: skip
"""The same of a dark page."""


@dataclass(frozen=True)
class Stroke:
    """A line through ``points``, with ``dash`` as in SVG."""

    points: Sequence[Point]
    colour: str
    width: float = 1.0
    dash: str = ""


@dataclass(frozen=True)
class Area:
    """A filled polygon, mostly transparent."""

    points: Sequence[Point]
    colour: str


@dataclass(frozen=True)
class Dot:
    """A filled circle; ``tip`` is shown where a reader points at it."""

    at: Point
    colour: str
    radius: float = 2.6
    tip: str = ""


@dataclass(frozen=True)
class Words:
    """Text on its base line; ``strong`` is for titles."""

    at: Point
    text: str
    anchor: Literal["start", "middle", "end"] = "start"
    strong: bool = False


Mark = Stroke | Area | Dot | Words
_OPACITY, _SMALL, _LARGE = 0.16, 12, 14


def shifted(marks: Sequence[Mark], right: float, down: float) -> list[Mark]:
    """The marks, moved."""
    found: list[Mark] = []
    for mark in marks:
        if isinstance(mark, Stroke | Area):
            found.append(replace(mark, points=[(x + right, y + down) for x, y in mark.points]))
        else:
            found.append(replace(mark, at=(mark.at[0] + right, mark.at[1] + down)))
    return found


def in_page(marks: Sequence[Mark]) -> str:
    """SVG elements whose colours are classes of the page's style sheet."""
    return "".join(_element(mark, files=False) for mark in marks)


def to_svg(marks: Sequence[Mark], width: float, height: float, words: str) -> str:
    """A whole SVG file with a white ground; ``words`` say what it shows."""
    body = "".join(_element(mark, files=True) for mark in marks)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" font-family="Helvetica, Arial, sans-serif">'
        f"<title>{escape(words)}</title>"
        f'<rect width="100%" height="100%" fill="{LIGHT["ground"]}"/>{body}</svg>\n'
    )


def to_png(marks: Sequence[Mark], width: float, height: float, *, scale: float = 3.0) -> bytes:
    """The same picture as PNG, ``scale`` pixels for each unit of length.

    Raises:
        DrfmError: the extra ``viz`` is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise DrfmError(
            "PNG figures need matplotlib; run `pip install 'drfm[viz]'`, or take the SVG file"
        ) from None
    # At 72 dots an inch a point is a unit of length, and so are widths and sizes.
    figure = Figure(figsize=(width / 72, height / 72), dpi=72 * scale, facecolor=LIGHT["ground"])
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    for mark in marks:
        _draw(axes, mark)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _element(mark: Mark, *, files: bool) -> str:
    if isinstance(mark, Stroke):
        paint = f'fill="none" stroke="{LIGHT[mark.colour]}" stroke-linejoin="round"'
        paint = paint if files else f'class="line {mark.colour}"'
        dash = f' stroke-dasharray="{mark.dash}"' if mark.dash else ""
        return f'<polyline {paint} stroke-width="{mark.width:g}"{dash} points="{_path(mark.points)}"/>'
    if isinstance(mark, Area):
        paint = f'fill="{LIGHT[mark.colour]}"' if files else f'class="{mark.colour}"'
        return f'<polygon {paint} opacity="{_OPACITY}" points="{_path(mark.points)}"/>'
    x, y = mark.at
    if isinstance(mark, Dot):
        paint = f'fill="{LIGHT[mark.colour]}"' if files else f'class="{mark.colour}"'
        tip = f"<title>{escape(mark.tip)}</title>" if mark.tip else ""
        return f'<circle {paint} cx="{x:.1f}" cy="{y:.1f}" r="{mark.radius:g}">{tip}</circle>'
    paint = ' class="strong"' if mark.strong else ""
    if files:
        size, weight = (_LARGE, ' font-weight="600"') if mark.strong else (_SMALL, "")
        paint = f' font-size="{size}"{weight} fill="{LIGHT["ink" if mark.strong else "soft"]}"'
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{mark.anchor}"'
    return f"<text{paint} {place}>{escape(mark.text)}</text>"


def _path(points: Sequence[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _draw(axes: Any, mark: Mark) -> None:
    if isinstance(mark, Stroke):
        lengths = [float(part) / mark.width for part in mark.dash.split()]
        style = (0, lengths) if lengths else "-"
        x, y = zip(*mark.points, strict=True)
        axes.plot(x, y, color=LIGHT[mark.colour], linewidth=mark.width, linestyle=style,
                  dash_capstyle="butt", solid_joinstyle="round", clip_on=False)  # fmt: skip
    elif isinstance(mark, Area):
        x, y = zip(*mark.points, strict=True)
        axes.fill(x, y, color=LIGHT[mark.colour], alpha=_OPACITY, linewidth=0, clip_on=False)
    elif isinstance(mark, Dot):
        axes.plot(*mark.at, "o", color=LIGHT[mark.colour], markersize=2 * mark.radius, markeredgewidth=0,
                  clip_on=False)  # fmt: skip
    else:
        aligned = {"start": "left", "middle": "center", "end": "right"}[mark.anchor]
        size, weight = (_LARGE, "bold") if mark.strong else (_SMALL, "normal")
        # DejaVu is a wide face: a little smaller, it takes the room that a browser's face takes.
        axes.text(*mark.at, mark.text.replace("$", r"\$"), ha=aligned, va="baseline", fontsize=0.88 * size,
                  fontweight=weight, color=LIGHT["ink" if mark.strong else "soft"])  # fmt: skip
