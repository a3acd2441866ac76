"""A run told in one HTML page: what was learned, how it went, and what to make of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from drfm.evaluation.curves import (
    Entry,
    distance_charts,
    distance_numbers,
    label_charts,
    label_quality,
    seconds,
    training_charts,
)
from drfm.evaluation.distances import Distances
from drfm.evaluation.figures import distance_figure
from drfm.evaluation.heights import HeightGroup, height_panel
from drfm.evaluation.page import folded, page, preformatted, section, table, tile, unordered
from drfm.evaluation.pictures import Card, ranked_list
from drfm.evaluation.plots import chart
from drfm.evaluation.result import Result, provenance
from drfm.evaluation.scores import all_scores, protocols, score_table, stage_of
from drfm.evaluation.sheet import Sheet
from drfm.files import write_atomic


@dataclass(frozen=True)
class Looks:
    """What a report shows of single images; each part may be missing.

    Attributes:
        examples: ranked lists of the last result; without marks where no identity is known.
        hardest: ranked lists of the worst failures.
        sheet: explanation maps.
        embedding: map of the feature space, of :func:`~drfm.evaluation.embedding.embedding_map`.
        heights: success by native height.
    """

    examples: Sequence[Card] = ()
    hardest: Sequence[Card] = ()
    sheet: Sheet | None = None
    embedding: str = ""
    heights: Sequence[HeightGroup] = ()


def write_report(
    path: Path,
    *,
    journal: Sequence[Entry],
    results: Sequence[Result | Mapping[str, Any]],
    facts: Mapping[str, Any],
    distances: Mapping[str, Distances] | None = None,
    looks: Looks | None = None,
) -> None:
    """Write a self-contained page that makes no request and needs no script.

    Args:
        path: the ``.html`` file; replaced atomically.
        journal: lines of ``journal.jsonl``; missing keys leave out what they would have shown.
        results: in the order of time, the last one being what the run is judged by. ``facts["stage"]``
            of a result names it, such as ``"untrained"`` and ``"trained"``. Empty where no identity is known.
        facts: of the run: ``benchmark``, ``manifest``, ``seed``, ``weights``, ``images``, ``config``,
            ``drawn`` (true where the people are drawn), ``notes`` (sentences), and others.
        distances: stage to distance distributions.
        looks: what there is to look at.

    Raises:
        DrfmError: the file cannot be written.
    """
    found = [result.to_dict() if isinstance(result, Result) else result for result in results]
    known, looks, distances = provenance(facts), looks or Looks(), distances or {}
    title = f"{facts.get('method', 'drfm').upper()} on {known.get('benchmark', 'a benchmark')}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="lead">{escape(_verdict(found))}</p>',
        _tiles(found, journal),
        section("What to keep in mind", "", unordered(_notes(facts, found))),
        section("Results", _RESULTS, score_table(found), all_scores(found), protocols(found)),
        section("Ranked lists", _LISTS if found else _LISTS_ALONE, *map(ranked_list, looks.examples)),
        section("Hardest failures", _HARDEST, *map(ranked_list, looks.hardest)),
        section("What a similarity rests on", _MAPS, looks.sheet.html() if looks.sheet else ""),
        section("Small queries", _HEIGHTS, *_heights(looks.heights)),
        section("Map of the images", _MAP, looks.embedding),
        _distances(distances),
        section("Pseudo-labels", _LABELS if found else _LABELS_ALONE, _charts(label_charts(journal))),
        section("Training", _TRAINING, _charts(training_charts(journal, found)), seconds(journal)),
        section("Made from", "What is needed to repeat these numbers.", _origin(known), _settings(facts)),
    ]
    write_atomic(path, page(title, "\n".join(filter(None, body))))


_RESULTS = (
    "Share of queries whose person is within the first k gallery images (Rank-k), and mean average "
    "precision, in per cent. A query is a blurry image, the gallery is sharp and, where nothing else is "
    "said, holds one random image of each person; the scores are the exact mean over all such galleries. "
    "The headline row is bold."
)
_LABELS = (
    "Training has no identities: it clusters the sharp images and gives each blurry image the most likely "
    "cluster. Identities are used here alone, to see how good these labels are. F is the harmonic mean of "
    "precision and recall over pairs of images; cross-resolution pairs are one sharp and one blurry image."
)
_TRAINING = "Each point is the mean over one epoch."
_DISTANCES = (
    "Cosine distances between test images: the further the curves of one person lie to the left of those of "
    "two persons, the better."
)
_LABELS_ALONE = (
    "Training has no identities: it clusters the sharp images and gives each blurry image the most likely "
    "cluster. No identity is known here, so whether these labels are right cannot be told. Far fewer or far "
    "more clusters than there are persons, or many images without a label, are bad signs."
)
_POSITIVE = (
    "First, pairs of images of one person: they should be as close across resolutions as within one, so the "
    "nearer the gap of the means is to 0 and the overlap of the two curves to 1, the better. Where each "
    "resolution has one camera, a pair within one resolution is also one within a camera, and the gap "
    "holds the change of camera too. Then, all pairs."
)
_HEIGHTS = (
    "The queries in groups of about equal number by the native height of the crop. The band is the 95 % "
    "interval of a share from that many queries; the gallery holds all images."
)
_MAP = (
    "Each point is an image, and images that the model takes for alike lie together; a ring is a blurry "
    "capture, a full dot a sharp one. Good features make islands of one person that hold rings and dots. "
    "Distances between islands, and their sizes, mean little: the map is made by t-SNE."
)
_LISTS_ALONE = (
    "Blurry images drawn at random, and the sharp images nearest to them. No identity is known, so nothing "
    "is marked: judge by eye. The number is the cosine similarity."
)
_HARDEST = "The queries whose first match stands last, worst first, one a person."
_MAPS = (
    "Where the features of an image speak for the similarity with the other image of its row, from none "
    "(grey) over violet and orange to much (yellow), for each encoder; Grad-CAM on embeddings. A map shows "
    "what the model reacts to, which need not be what a person would look at."
)
_LISTS = (
    "Queries drawn at random, successes first, then failures. A solid frame and ✓ mark the right person, a "
    "dashed frame and ✗ another one. The number is the cosine similarity."
)


def _top(result: Mapping[str, Any]) -> Mapping[str, Any]:
    return next(row for row in result["rows"] if row["features"] == result["features"])


def _rank1(result: Mapping[str, Any]) -> float:
    row = _top(result)
    return float((row.get("exact") or row["multi_shot"])["rank1"])


def _verdict(results: Sequence[Mapping[str, Any]]) -> str:
    if not results:
        return (
            "This run has not been evaluated: no query and gallery images with identities are known. Scores, "
            "distances of pairs, success by height and failures are left out; judge the rest by eye."
        )
    last, chance = results[-1], 100 * results[-1]["chance"]["rank1"]
    text = (
        f"The right person comes first for {100 * _rank1(last):.1f} % of {last['counts']['queries']} blurry "
        f"queries among {last['counts']['persons']} persons; chance is {chance:.1f} %."
    )
    if len(results) > 1:
        text += f" It was {100 * _rank1(results[0]):.1f} % at the start ({stage_of(results[0], 0)})."
    return text


def _tiles(results: Sequence[Mapping[str, Any]], journal: Sequence[Entry]) -> str:
    found = []
    for key, words in (("rank1", "Rank-1"), ("map", "mAP")):
        if results and _top(results[-1]).get("exact"):
            after = 100 * _top(results[-1])["exact"][key]
            before = 100 * _top(results[0])["exact"][key] if len(results) > 1 else None
            change = (
                "" if before is None else f", {after - before:+.1f} points from {stage_of(results[0], 0)}"
            )
            found.append(tile(f"{after:.1f} %", f"{words}, exact single-shot{change}"))
    for key, words in (("cross", "F of labels, cross-resolution pairs"), ("all", "F of labels, all pairs")):
        values = [label_quality(entry, key) for entry in journal]
        known = [value for value in values if value is not None]
        if known:
            found.append(tile(f"{known[-1]:.3f}", f"{words}; {known[0]:.3f} in the first epoch"))
    return f'<div class="tiles">{"".join(found)}</div>' if found else ""


def _notes(facts: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> list[str]:
    notes = []
    if facts.get("drawn"):
        notes.append(
            "Drawn people are not people. The pedestrians here were drawn by the program, so these numbers "
            "show that the machinery learns, and nothing about how well it would find real people."
        )
    back_end = provenance(facts).get("super-resolution")
    if back_end and back_end.startswith("bicubic"):
        notes.append(
            "The super-resolved images are bicubic interpolations, not the output of a network: they are "
            "larger, not sharper. Results with a network may differ."
        )
    elif back_end:
        notes.append(f"Blurry images were super-resolved by {back_end}.")
    notes.append(
        "Detail in a super-resolved image is invented, and no evidence of what a person looks like. A match "
        "is a ranking by similarity, and no proof of identity."
    )
    if results:
        persons, queries = results[-1]["counts"]["persons"], results[-1]["counts"]["queries"]
        if persons < 100:
            notes.append(
                f"With {persons} persons and {queries} queries, differences of a few points are within the "
                "noise."
            )
    said = [note for result in results for note in result.get("notes", ())]
    return list(dict.fromkeys([*notes, *facts.get("notes", ()), *said]))


def _distances(distances: Mapping[str, Distances]) -> str:
    figure = distance_figure(
        "Positive pairs",
        {f"One person, {stage}": one.counts for stage, one in distances.items()},
        {f"One person, {stage}": one.numbers for stage, one in distances.items()},
    )
    positive = figure.html() if any(panel.note for panel in figure.panels) else ""
    four = [_charts(distance_charts(distances)), distance_numbers(distances)]
    return section("Distances", f"{_POSITIVE} {_DISTANCES}" if positive else _DISTANCES, positive, *four)


def _heights(groups: Sequence[HeightGroup]) -> list[str]:
    if not groups:
        return []
    rows = [
        (
            "",
            [
                f"{group.low} to {group.high}" if group.low < group.high else f"{group.low}",
                f"{group.queries:,}",
                f"{100 * group.rank1:.1f}",
                f"{100 * group.interval[0]:.1f} to {100 * group.interval[1]:.1f}",
                f"{100 * group.precision:.1f}",
            ],
        )
        for group in groups
    ]
    head = ["height, pixels", "queries", "multi Rank-1", "95 % interval", "multi mAP"]
    return [_charts([chart(height_panel(groups))]), table(head, rows, words=1)]


def _charts(figures: Sequence[str]) -> str:
    inside = "".join(filter(None, figures))
    return f'<div class="charts">{inside}</div>' if inside else ""


def _origin(known: Mapping[str, str]) -> str:
    return table(["what", "value"], [("", [title, value]) for title, value in known.items()], words=2)


def _settings(facts: Mapping[str, Any]) -> str:
    config = facts.get("config")
    rest = {name: value for name, value in facts.items() if name not in ("config", "notes")}
    parts = [
        folded("Everything that is known of the run", preformatted(json.dumps(rest, indent=2, default=str)))
    ]
    if config:
        parts.insert(0, folded("All settings", preformatted(json.dumps(config, indent=2, default=str))))
    return "".join(parts)
