"""Charts of a run: its labels, its training, its distances."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from drfm.evaluation.distances import BINS, Distances
from drfm.evaluation.page import table
from drfm.evaluation.plots import Axis, Line, Panel, chart

Entry = Mapping[str, Any]
"""One line of ``journal.jsonl``."""

_LOSSES = {
    "total": "total (Eq. 20)",
    "cc": "cross-resolution contrast (Eq. 16, 17)",
    "sc": "softmax over clusters",
    "ic": "consistency of a pair (Eq. 18)",
    "ps": "probability sharpening (Eq. 19)",
}
_EPOCH = Axis("epoch", whole=True)
_SHARE = Axis("", low=0.0, percent=True)


def label_quality(entry: Entry, pairs: str, measure: str = "f") -> float | None:
    """A measure of the pseudo-labels over ``"all"`` or ``"cross"`` pairs, where the journal has it."""
    quality = entry.get("quality") or {}
    names = (f"{pairs}/{measure}", f"{pairs}_{measure}", measure if pairs == "all" else "")
    return next((float(quality[name]) for name in names if name in quality), None)


def label_charts(journal: Sequence[Entry]) -> list[str]:
    """F-score, precision and recall of the labels, clusters and outliers, and coverage, by epoch."""
    score = [
        _line(journal, words, (label_quality(entry, pairs) for entry in journal))
        for pairs, words in (("all", "all pairs"), ("cross", "cross-resolution pairs"))
    ]
    parts = [
        _line(journal, measure, (label_quality(entry, "cross", measure) for entry in journal))
        for measure in ("precision", "recall")
    ]
    counts = [
        _line(journal, name, (entry.get(name) for entry in journal)) for name in ("clusters", "outliers")
    ]
    coverage = [_line(journal, "images with a label", (entry.get("coverage") for entry in journal))]
    number = Axis("", low=0.0)
    panels = [
        Panel("F-score of the pseudo-labels", score, _EPOCH, number),
        Panel("Precision and recall of cross-resolution pairs", parts, _EPOCH, number),
        Panel("Clusters, and images without a label", counts, _EPOCH, number),
        Panel("Images with a label", coverage, _EPOCH, Axis("", low=0.0, high=1.0, percent=True)),
    ]
    return [chart(panel) for panel in panels]


def training_charts(journal: Sequence[Entry], results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Losses, and test scores where more than one epoch was evaluated, by epoch."""
    names = list(dict.fromkeys(name for entry in journal for name in entry.get("loss") or {}))
    names.sort(key=lambda name: name != "total")
    losses = [
        _line(journal, _LOSSES.get(name, name), ((entry.get("loss") or {}).get(name) for entry in journal))
        for name in names
    ]
    scores = [
        _line(journal, words, ((entry.get("evaluation") or {}).get(key) for entry in journal))
        for key, words in (("rank1", "Rank-1"), ("rank5", "Rank-5"), ("map", "mAP"))
    ]
    level = [("chance Rank-1", float(results[-1]["chance"]["rank1"]))] if results else []
    return [
        chart(Panel("Losses", losses, _EPOCH, Axis(""))),
        chart(Panel("Test scores", scores, _EPOCH, _SHARE, level)) if len(scores[0].points) > 1 else "",
    ]


def _line(journal: Sequence[Entry], name: str, values: Iterable[float | None]) -> Line:
    epochs = [entry.get("epoch", place) + 1 for place, entry in enumerate(journal)]
    return Line(name, [(x, y) for x, y in zip(epochs, values, strict=True) if y is not None])


def seconds(journal: Sequence[Entry]) -> str:
    """Where the time went, in one line."""
    total: dict[str, float] = {}
    for entry in journal:
        for name, value in (entry.get("seconds") or {}).items():
            total[name] = total.get(name, 0.0) + float(value)
    if not total:
        return ""
    parts = ", ".join(f"{name} {value:,.1f} s" for name, value in total.items())
    return f'<p class="soft">{escape(f"{len(journal)} epochs in {sum(total.values()):,.0f} s: {parts}.")}</p>'


def distance_charts(distances: Mapping[str, Distances]) -> list[str]:
    """The four histograms of each stage, over the same range."""
    words = {
        "positive/same": "one person, one resolution",
        "positive/cross": "one person, two resolutions",
        "negative/same": "two persons, one resolution",
        "negative/cross": "two persons, two resolutions",
    }
    held = [int(count.sum()) for one in distances.values() for count in one.counts.values() if count.any()]
    if not held:
        return []
    merged = next((merge for merge, least in ((1, 20_000), (2, 2_000)) if min(held) >= least), 4)
    width = 2 * merged / BINS
    bins = {stage: {kind: one.counts[kind].reshape(-1, merged).sum(1) for kind in words} for stage, one in
            distances.items()}  # fmt: skip
    used = [at for one in bins.values() for count in one.values() for at in count.nonzero()[0].tolist()]
    low, high = max(min(used) - 1, 0), min(max(used) + 2, BINS // merged)
    found = []
    for stage, one in bins.items():
        lines = []
        for kind, count in one.items():
            points = [
                ((at + 0.5) * width, float(count[at] / count.sum())) for at in range(low, high) if count.any()
            ]
            lines.append(Line(words[kind], points, filled=kind.startswith("positive"), dots=False))
        axis = Axis("cosine distance", low=low * width, high=high * width)
        shares = Axis("share of pairs", low=0.0, ticks=False)
        found.append(chart(Panel(f"Distances, {stage}", lines, axis, shares)))
    return found


def distance_numbers(distances: Mapping[str, Distances]) -> str:
    """A table of what separates the histograms."""
    measures = (("gap", "gap of means"), ("overlap", "overlap"), ("d_prime", "d'"), ("auc", "AUC"))
    rows = []
    for stage, one in distances.items():
        for side, words in (("same", "one resolution"), ("cross", "two resolutions")):
            values = [one.numbers.get(f"{side}/{measure}") for measure, _ in measures]
            if any(value is not None for value in values):
                rows.append(
                    ("", [stage, words, *("" if value is None else f"{value:.3f}" for value in values)])
                )
    return table(["", "pairs", *(title for _, title in measures)], rows, words=2) if rows else ""
