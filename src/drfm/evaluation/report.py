"""A run told in one HTML page: what was learned, how it went, and what to make of it."""

import json
from collections.abc import Mapping, Sequence
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
from drfm.evaluation.page import folded, page, preformatted, section, table, tile, unordered
from drfm.evaluation.pictures import Card, ranked_list
from drfm.evaluation.result import COLUMNS, TITLES, Result, provenance
from drfm.files import write_atomic


def write_report(
    path: Path,
    *,
    journal: Sequence[Entry],
    results: Sequence[Result | Mapping[str, Any]],
    examples: Sequence[Card],
    facts: Mapping[str, Any],
    distances: Mapping[str, Distances] | None = None,
) -> None:
    """Write a self-contained page that makes no request and needs no script.

    Args:
        path: the ``.html`` file; replaced atomically.
        journal: lines of ``journal.jsonl``; missing keys leave out what they would have shown.
        results: in the order of time, the last one being what the run is judged by. ``facts["stage"]``
            of a result names it, such as ``"untrained"`` and ``"trained"``.
        examples: ranked lists of the last result.
        facts: of the run: ``benchmark``, ``manifest``, ``seed``, ``weights``, ``images``, ``config``,
            ``drawn`` (true where the people are drawn), ``notes`` (sentences), and others.
        distances: stage to distance distributions.

    Raises:
        DrfmError: the file cannot be written.
    """
    found = [result.to_dict() if isinstance(result, Result) else result for result in results]
    known = provenance(facts)
    name = known.get("benchmark", "a benchmark")
    title = f"{facts.get('method', 'drfm').upper()} on {name}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="lead">{escape(_verdict(found))}</p>',
        _tiles(found, journal),
        section("What to keep in mind", "", unordered(_notes(facts, found))).replace(
            '<p class="soft"></p>', ""
        ),
        section("Results", _RESULTS, _results(found), _all_results(found), _protocols(found)),
        section("Pseudo-labels", _LABELS, _charts(label_charts(journal))),
        section("Training", _TRAINING, _charts(training_charts(journal, found)), seconds(journal)),
        section(
            "Distances",
            _DISTANCES,
            _charts(distance_charts(distances or {})),
            distance_numbers(distances or {}),
        ),
        section("Ranked lists", _LISTS, *(ranked_list(card) for card in examples)),
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
    "Cosine distances between test images. The further the two curves of one person lie to the left of "
    "those of different persons, the better; the two curves of one person should lie on each other."
)
_LISTS = (
    "Queries drawn at random, successes first, then failures. A solid frame and ✓ mark the right person, a "
    "dashed frame and ✗ another one. The number is the cosine similarity."
)


_SPACES = {"hr": "HR space", "lr": "LR space", "concat": "HR and LR", "mean": "mean of all"}


def _stage(result: Mapping[str, Any], index: int) -> str:
    return str(result.get("facts", {}).get("stage", f"result {index + 1}"))


def _top(result: Mapping[str, Any]) -> Mapping[str, Any]:
    return next(row for row in result["rows"] if row["features"] == result["features"])


def _rank1(result: Mapping[str, Any]) -> float:
    row = _top(result)
    return float((row.get("exact") or row["multi_shot"])["rank1"])


def _verdict(results: Sequence[Mapping[str, Any]]) -> str:
    if not results:
        return "This run has not been evaluated: there are no query and gallery images, or it has not ended."
    last, chance = results[-1], 100 * results[-1]["chance"]["rank1"]
    text = (
        f"The right person comes first for {100 * _rank1(last):.1f} % of {last['counts']['queries']} blurry "
        f"queries among {last['counts']['persons']} persons; chance is {chance:.1f} %."
    )
    if len(results) > 1:
        text += f" It was {100 * _rank1(results[0]):.1f} % at the start ({_stage(results[0], 0)})."
    return text


def _tiles(results: Sequence[Mapping[str, Any]], journal: Sequence[Entry]) -> str:
    found = []
    for key, words in (("rank1", "Rank-1"), ("map", "mAP")):
        if results and _top(results[-1]).get("exact"):
            after = 100 * _top(results[-1])["exact"][key]
            before = 100 * _top(results[0])["exact"][key] if len(results) > 1 else None
            change = "" if before is None else f", {after - before:+.1f} points from {_stage(results[0], 0)}"
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


def _results(results: Sequence[Mapping[str, Any]]) -> str:
    """The scores that matter, a line for each test feature."""
    rows = []
    for index, result in enumerate(results):
        for row in result["rows"]:
            head = row is result["rows"][0]
            style = "top" if row["features"] == result["features"] else ""
            drawn, multi = row.get("single_shot") or {}, row["multi_shot"]
            cells = [_percent(row.get("exact") or {}, name) for name in COLUMNS[:-1]]
            cells += [_spread(drawn, "rank1"), *(_percent(multi, name) for name in ("rank1", "map", "minp"))]
            stage = _stage(result, index) if head else ""
            rows.append(
                (style + " first" * head, [stage, _SPACES.get(row["features"], row["features"]), *cells])
            )
    if not rows:
        return ""
    chance = [_percent(results[-1]["chance"], name) for name in COLUMNS[:-1]]
    rows.append((" first", ["chance", "", *chance, "", "", "", ""]))
    titles = [*(TITLES[name] for name in COLUMNS[:-1]), "Rank-1, drawn"]
    titles += [f"multi {TITLES[name]}" for name in ("rank1", "map", "minp")]
    return table(["", "features", *titles], rows, words=2)


def _all_results(results: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        ("", [_stage(result, index), row["features"], protocol, *cells])
        for index, result in enumerate(results)
        for row in result["rows"]
        for protocol, cells in _lines(row)
    ]
    head = ["", "features", "protocol", *(TITLES[name] for name in COLUMNS)]
    return folded("All scores under all protocols", table(head, rows, words=3)) if rows else ""


def _spread(drawn: Mapping[str, Mapping[str, float]], name: str) -> str:
    return f"{100 * drawn[name]['mean']:.1f} ± {100 * drawn[name]['std']:.1f}" if name in drawn else ""


def _lines(row: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    drawn = row.get("single_shot") or {}
    lines = []
    if drawn:
        cells = [
            f"{100 * drawn[c]['mean']:.1f} ± {100 * drawn[c]['std']:.1f}" if c in drawn else ""
            for c in COLUMNS
        ]
        lines.append(("single-shot", cells))
    for title, key in (("exact", "exact"), ("multi-shot", "multi_shot")):
        if row.get(key):
            lines.append((title, [_percent(row[key], name) for name in COLUMNS]))
    return lines


def _percent(scores: Mapping[str, float], name: str) -> str:
    return f"{100 * scores[name]:.1f}" if name in scores else ""


def _charts(figures: Sequence[str]) -> str:
    inside = "".join(filter(None, figures))
    return f'<div class="charts">{inside}</div>' if inside else ""


def _protocols(results: Sequence[Mapping[str, Any]]) -> str:
    texts: dict[str, str] = {}
    for result in results:
        rest = {key: value for key, value in result["protocol"].items() if key not in ("text", "rerank")}
        texts[json.dumps(rest, sort_keys=True)] = str(result["protocol"]["text"])
    origins = []
    for index, result in enumerate(results):
        origin = ", ".join(f"{title} {value}" for title, value in provenance(result["facts"]).items())
        origins.append(f"{_stage(result, index)}: {origin}")
    items = [f"Protocol: {text}." for text in texts.values()] + [
        f"Made from: {text}." for text in dict.fromkeys(origins)
    ]
    return unordered(items)


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
