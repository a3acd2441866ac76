"""The figures of a study, from plain numbers: for a page, as SVG and as PNG.

Each function takes what was read from the runs and returns a :class:`Figure`; nothing here opens a run.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from drfm.errors import DrfmError
from drfm.evaluation.marks import Mark, Words, shifted, to_png, to_svg
from drfm.evaluation.plots import HEIGHT, KEY, LEFT, WIDTH, Axis, Line, Panel, chart, key, plot
from drfm.files import write_atomic

_GAP, _COLUMNS, _LINE, _LETTER = 24, 2, 17.6, 6.4
"""Between panels; panels in a row; height of a line of words; mean width of a letter."""


@dataclass(frozen=True)
class Figure:
    """One or more panels side by side.

    Attributes:
        title: of the whole.
        panels: left to right, two in a row; those without a curve are left out.
    """

    title: str
    panels: Sequence[Panel]

    def html(self) -> str:
        """``<figure>`` elements for a page of :mod:`drfm.evaluation.page`; empty if nothing was measured."""
        drawn = "".join(map(chart, self.panels))
        return f'<div class="charts">{drawn}</div>' if drawn else ""

    def svg(self) -> str:
        """An SVG file.

        Raises:
            DrfmError: there is nothing to draw.
        """
        return to_svg(*self._drawing(), self.title)

    def png(self) -> bytes:
        """The same as PNG, three pixels a unit.

        Raises:
            DrfmError: there is nothing to draw, or the extra ``viz`` is not installed.
        """
        return to_png(*self._drawing())

    def save(self, path: Path) -> None:
        """Write the figure as ``path`` with the ending ``.svg`` or ``.png``, atomically.

        Raises:
            DrfmError: another ending, nothing to draw, no ``viz`` for PNG, or the file cannot be written.
        """
        if path.suffix not in (".svg", ".png"):
            raise DrfmError(f"{path}: give a name that ends in .svg or .png")
        write_atomic(path, self.svg() if path.suffix == ".svg" else self.png())

    def _drawing(self) -> tuple[list[Mark], float, float]:
        panels = [panel for panel in self.panels if panel.drawn]
        if not panels:
            raise DrfmError(f"{self.title}: there is nothing to draw")
        marks: list[Mark] = [Words((12, 20), self.title, strong=True)]
        columns = min(_COLUMNS, len(panels))
        top = 2.5 * _LINE
        for first in range(0, len(panels), columns):
            row = panels[first : first + columns]
            heads = [_head(panel) for panel in row]
            height = max(lines for _, lines in heads) * _LINE - 6
            for column, (panel, (head, _)) in enumerate(zip(row, heads, strict=True)):
                left = column * (WIDTH + _GAP)
                marks += shifted(head, left, top) + shifted(plot(panel), left, top + height)
            top += height + HEIGHT + _GAP
        return marks, columns * WIDTH + (columns - 1) * _GAP, top


def _head(panel: Panel) -> tuple[list[Mark], int]:
    """Title, note and legend of a panel, and how many lines they take."""
    marks: list[Mark] = [Words((LEFT, 0), panel.title, strong=True)]
    rows, x = 1, float(LEFT)
    if panel.note:
        marks.append(Words((LEFT, _LINE), panel.note))
        rows += 1
    for index, each in enumerate(panel.drawn if len(panel.drawn) > 1 else []):
        width = KEY + 8 + _LETTER * len(each.name) + 16
        if index == 0 or x + width > WIDTH:
            rows, x = rows + 1, float(LEFT)
        marks.append(key(index, (x, (rows - 1) * _LINE - 4)))
        marks.append(Words((x + KEY + 8, (rows - 1) * _LINE), each.name))
        x += width
    return marks, rows


def parameter_figure(
    title: str,
    panels: Mapping[str, Mapping[str, Mapping[float, Sequence[float]]]],
    *,
    parameter: str,
    score: str = "%",
) -> Figure:
    """Scores against a parameter, mean and band of one standard deviation (the paper's Fig. 4 and 5).

    Args:
        title: of the figure.
        panels: data set -> name of a curve, such as ``"Rank-1"`` or a method -> value of the parameter ->
            one score for each seed.
        parameter: title of the horizontal axis.
        score: unit or name of the score.
    """
    drawn = []
    for name, curves in panels.items():
        lines = [
            _spread(curve, [(value, scores) for value, scores in sorted(values.items()) if len(scores)])
            for curve, values in curves.items()
        ]
        drawn.append(Panel(name, lines, Axis(parameter), Axis(score), note=_note(lines)))
    return Figure(title, drawn)


def label_figure(
    title: str,
    panels: Mapping[str, Mapping[str, Sequence[Sequence[float | None]]]],
    *,
    score: str = "F-score",
) -> Figure:
    """Quality of the pseudo-labels by epoch, mean and band over seeds (the paper's Fig. 6).

    Args:
        title: of the figure.
        panels: data set -> method -> for each seed its score by epoch, from the first on; ``None`` where an
            epoch has none. Runs may differ in length; each epoch takes those that reached it.
        score: name of the score.
    """
    drawn = []
    for name, methods in panels.items():
        lines = []
        for method, runs in methods.items():
            longest = max(map(len, runs), default=0)
            by_epoch = [
                (epoch + 1, [s for run in runs for s in run[epoch : epoch + 1] if s is not None])
                for epoch in range(longest)
            ]
            lines.append(_spread(method, [(epoch, scores) for epoch, scores in by_epoch if scores]))
        drawn.append(Panel(name, lines, Axis("epoch", whole=True), Axis(score), note=_note(lines)))
    return Figure(title, drawn)


def distance_figure(
    title: str,
    panels: Mapping[str, Mapping[str, npt.ArrayLike]],
    numbers: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """Distances of positive pairs within one resolution and across two (the paper's Fig. 7).

    Args:
        title: of the figure.
        panels: model or stage, such as ``"untrained"`` -> ``"positive/same"`` and ``"positive/cross"`` ->
            histogram with equal bins over the cosine distances 0..2, as ``counts`` of
            :class:`~drfm.evaluation.distances.Distances` has them. Histograms of several seeds may be summed.
        numbers: by panel, ``numbers`` of the same: exact means, taken from the bins where they are not
            given, and ``one_camera``, which the panel then says.
    """
    kinds = {"positive/same": "same resolution", "positive/cross": "two resolutions"}
    found = {
        name: {
            kind: np.asarray(counts[kind], float) for kind in kinds if kind in counts and np.any(counts[kind])
        }
        for name, counts in panels.items()
    }
    used = [
        at for counts in found.values() for count in counts.values() for at in np.flatnonzero(count).tolist()
    ]
    if not used:
        return Figure(title, [])
    bins = len(next(count for counts in found.values() for count in counts.values()))
    least = min(count.sum() for counts in found.values() for count in counts.values())
    merged = next((merge for merge, pairs in ((1, 20_000), (2, 2_000)) if least >= pairs), 4)
    width = 2 * merged / bins
    low, high = max(min(used) // merged - 1, 0), min(max(used) // merged + 2, bins // merged)
    curves = {
        name: [
            Line(
                kinds[kind],
                [((at + 0.5) * width, float(share[at])) for at in range(low, high)],
                filled=True,
                dots=False,
            )
            for kind, count in counts.items()
            for share in [(count / count.sum()).reshape(-1, merged).sum(1)]
        ]
        for name, counts in found.items()
    }
    # One height for all panels, so that a flat curve looks flat beside a steep one.
    top = 1.08 * max(share for lines in curves.values() for line in lines for _, share in line.points)
    drawn = []
    for name, counts in found.items():
        known = (numbers or {}).get(name, {})
        note = ", ".join(f"{measure} {value:.3f}" for measure, value in positive_gap(counts, known).items())
        note += "; one camera a resolution" if note and known.get("one_camera") else ""
        axis = Axis("cosine distance of two images of one person", low=low * width, high=high * width)
        shares = Axis("share of pairs", low=0.0, high=top, ticks=False)
        drawn.append(Panel(name, curves[name], axis, shares, note=note))
    return Figure(title, drawn)


def positive_gap(
    counts: Mapping[str, npt.ArrayLike], numbers: Mapping[str, float] | None = None
) -> dict[str, float]:
    """How far apart the positive pairs of one resolution and of two lie.

    Args:
        counts: as in one panel of :func:`distance_figure`.
        numbers: exact means, if known.

    Returns:
        ``gap of means`` (two resolutions less one) and ``overlap`` (common area of the two normalised
        histograms, 0..1; 1 for equal ones); empty if either kind has no pairs.
    """
    pairs = [np.asarray(counts.get(kind, ()), float) for kind in ("positive/same", "positive/cross")]
    if not all(count.any() for count in pairs):
        return {}
    same, cross = (count / count.sum() for count in pairs)
    at = (np.arange(len(same)) + 0.5) * 2 / len(same)
    known = numbers or {}
    means = [
        known.get(f"positive/{side}/mean", float(share @ at))
        for side, share in (("same", same), ("cross", cross))
    ]
    return {"gap of means": means[1] - means[0], "overlap": float(np.minimum(same, cross).sum())}


def _note(lines: Sequence[Line]) -> str:
    """What the bands are, where there are some."""
    return "mean over seeds; band: ± one standard deviation" if any(line.band for line in lines) else ""


def _spread(name: str, scores: Sequence[tuple[float, Sequence[float]]]) -> Line:
    """A curve of means with a band of one sample standard deviation, where a point has more than one seed."""
    points = [(at, math.fsum(values) / len(values)) for at, values in scores]
    spreads = [float(np.std(values, ddof=1)) if len(values) > 1 else 0.0 for _, values in scores]
    band = [(mean - std, mean + std) for (_, mean), std in zip(points, spreads, strict=True)]
    return Line(name, points, band=band if any(spreads) else ())
