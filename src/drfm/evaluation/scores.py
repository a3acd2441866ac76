"""The tables of scores in a report."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from drfm.evaluation.page import folded, table, unordered
from drfm.evaluation.result import COLUMNS, TITLES, provenance

_SPACES = {"hr": "HR space", "lr": "LR space", "concat": "HR and LR", "mean": "mean of all"}


def stage_of(result: Mapping[str, Any], index: int) -> str:
    """What a result is called: its stage, or its number."""
    return str(result.get("facts", {}).get("stage", f"result {index + 1}"))


def score_table(results: Sequence[Mapping[str, Any]]) -> str:
    """The scores that matter, a line for each test feature."""
    rows = []
    for index, result in enumerate(results):
        for row in result["rows"]:
            head = row is result["rows"][0]
            style = "top" if row["features"] == result["features"] else ""
            drawn, multi = row.get("single_shot") or {}, row["multi_shot"]
            cells = [_percent(row.get("exact") or {}, name) for name in COLUMNS[:-1]]
            cells += [_spread(drawn, "rank1"), *(_percent(multi, name) for name in ("rank1", "map", "minp"))]
            stage = stage_of(result, index) if head else ""
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


def all_scores(results: Sequence[Mapping[str, Any]]) -> str:
    """Every score under every protocol, behind a heading that opens it."""
    rows = [
        ("", [stage_of(result, index), row["features"], protocol, *cells])
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


def protocols(results: Sequence[Mapping[str, Any]]) -> str:
    """The protocol of each result, and what it was made from, in sentences."""
    texts: dict[str, str] = {}
    for result in results:
        rest = {key: value for key, value in result["protocol"].items() if key not in ("text", "rerank")}
        texts[json.dumps(rest, sort_keys=True)] = str(result["protocol"]["text"])
    origins = []
    for index, result in enumerate(results):
        origin = ", ".join(f"{title} {value}" for title, value in provenance(result["facts"]).items())
        origins.append(f"{stage_of(result, index)}: {origin}")
    items = [f"Protocol: {text}." for text in texts.values()] + [
        f"Made from: {text}." for text in dict.fromkeys(origins)
    ]
    return unordered(items)
