"""The outcome of an evaluation, as numbers, JSON, Markdown and a table on the console."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from drfm.evaluation.metrics import RANKS, Scores
from drfm.evaluation.protocol import Protocol

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = (*(f"rank{k}" for k in RANKS), "map", "minp")
"""Scores in the order of a table."""
TITLES = {**{f"rank{k}": f"Rank-{k}" for k in RANKS}, "map": "mAP", "minp": "mINP"}
"""Their column titles."""


@dataclass(frozen=True)
class Row:
    """Scores of one test feature, each in 0..1.

    Attributes:
        name: key of ``drfm.evaluation.protocol.FEATURES``; ``"fused (re-ranked)"`` for a re-ranked row.
        multi: multi-shot CMC, mAP and mINP.
        exact: expectation of the single-shot scores; empty for a re-ranked row.
        mean: mean of the single-shot scores over the drawn galleries; empty for a re-ranked row.
        std: their standard deviation.
    """

    name: str
    multi: Scores
    exact: Scores = field(default_factory=dict)
    mean: Scores = field(default_factory=dict)
    std: Scores = field(default_factory=dict)

    def lines(self) -> list[tuple[str, list[str]]]:
        """(protocol, cells in per cent) for each protocol of the row, cells in the order of ``COLUMNS``."""
        drawn = [
            f"{100 * self.mean[c]:.1f} ± {100 * self.std[c]:.1f}" if c in self.mean else "" for c in COLUMNS
        ]
        found = [("single-shot", drawn)] if self.mean else []
        if self.exact:
            found.append(("exact", _cells(self.exact)))
        return [*found, ("multi-shot", _cells(self.multi))]


@dataclass(frozen=True)
class Result:
    """Scores of every test feature with everything needed to quote them.

    Attributes:
        rows: the headline row first.
        features: name of the headline row.
        protocol: of the test.
        counts: ``queries``, ``skipped`` (without a match), ``gallery`` images, ``persons``.
        chance: single-shot scores of features that say nothing.
        facts: benchmark, manifest id, seed, weights' checksum and what else the caller knows.
        notes: what a reader has to know, one sentence each.
    """

    rows: tuple[Row, ...]
    features: str
    protocol: Protocol
    counts: Mapping[str, int]
    chance: Scores
    facts: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def row(self, name: str = "") -> Row:
        """The row called ``name``, or the headline row."""
        return next(row for row in self.rows if row.name == (name or self.features))

    def headline(self) -> dict[str, float]:
        """Flat scores for a journal: the headline's exact single-shot scores, and others by prefix."""
        top = self.row()
        flat = {**top.exact, **{f"multi/{name}": value for name, value in top.multi.items()}}
        for row in self.rows:
            if row.exact:
                flat |= {f"{row.name}/{name}": row.exact[name] for name in ("rank1", "map")}
        return flat

    def to_dict(self) -> dict[str, Any]:
        """For JSON: scores in 0..1, protocol, counts, chance, facts and notes."""
        rows = [
            {
                "features": row.name,
                "single_shot": {name: {"mean": row.mean[name], "std": row.std[name]} for name in row.mean},
                "exact": dict(row.exact),
                "multi_shot": dict(row.multi),
            }
            for row in self.rows
        ]
        return {
            "features": self.features,
            "rows": rows,
            "protocol": {**self.protocol.to_dict(), "text": str(self.protocol)},
            "counts": dict(self.counts),
            "chance": dict(self.chance),
            "facts": dict(self.facts),
            "notes": list(self.notes),
        }

    def provenance(self) -> str:
        """One line: benchmark, manifest id, seed, weights' checksum, counts and chance level."""
        counts = self.counts
        parts = [f"{title} {value}".strip() for title, value in provenance(self.facts).items()]
        parts.append(
            f"{counts['queries']} queries ({counts['skipped']} without a match skipped), "
            f"{counts['gallery']} gallery images, {counts['persons']} persons"
        )
        parts.append(f"chance {100 * self.chance['rank1']:.1f} % Rank-1")
        return "; ".join(parts)

    def to_markdown(self) -> str:
        """A table in Markdown with protocol, provenance and notes below it; scores in per cent."""
        titles = [TITLES[name] for name in COLUMNS]
        lines = ["| features | protocol | " + " | ".join(titles) + " |", "|---|---|" + "---:|" * len(titles)]
        for row in self.rows:
            for protocol, cells in row.lines():
                name = f"**{row.name}**" if row.name == self.features else row.name
                lines.append(f"| {name} | {protocol} | " + " | ".join(cells) + " |")
        lines.append("| chance | single-shot | " + " | ".join(_cells(self.chance)) + " |")
        lines += ["", f"Protocol: {self.protocol}.", "", f"Made from: {self.provenance()}.", ""]
        return "\n".join([*lines, *self.notes]).rstrip() + "\n"

    def table(self) -> "Table":
        """A table for a ``rich`` console, scores in per cent, protocol and provenance as its caption."""
        from rich.table import Table

        caption = "\n".join([f"Protocol: {self.protocol}.", f"Made from: {self.provenance()}.", *self.notes])
        table = Table(title=provenance(self.facts).get("benchmark"), caption=caption, caption_justify="left")
        table.add_column("features")
        table.add_column("protocol")
        for name in COLUMNS:
            table.add_column(TITLES[name], justify="right")
        for row in self.rows:
            for index, (protocol, cells) in enumerate(row.lines()):
                style = "bold" if row.name == self.features else None
                last = protocol == "multi-shot"
                table.add_row("" if index else row.name, protocol, *cells, style=style, end_section=last)
        table.add_row("chance", "single-shot", *_cells(self.chance), style="dim")
        return table


def provenance(facts: Mapping[str, Any]) -> dict[str, str]:
    """What a number was made from, by title; "not given" where ``facts`` does not say.

    ``benchmark`` may be a name or a mapping with ``name``, ``id`` and ``split``; ``weights`` a checksum or a
    mapping with ``sha256`` (or ``source``, such as ``"random"``); ``images`` a mapping with ``sr``.
    """
    benchmark, weights = _mapping(facts.get("benchmark"), "name"), _mapping(facts.get("weights"), "sha256")
    images = _mapping(facts.get("images"), "sr")
    found = {
        "benchmark": benchmark.get("name"),
        "manifest": facts.get("manifest", benchmark.get("id")),
        "split": benchmark.get("split"),
        "seed": facts.get("seed"),
        "weights": _shortened(weights.get("sha256", weights.get("source"))),
        "super-resolution": facts.get("sr", images.get("sr")),
    }
    needed = ("manifest", "seed", "weights")
    return {
        title: "not given" if value is None else str(value)
        for title, value in found.items()
        if value is not None or title in needed
    }


def _shortened(checksum: object) -> object:
    """The first 16 digits of a checksum: enough to tell two models apart, short enough to quote."""
    return checksum[:16] if isinstance(checksum, str) else checksum


def _mapping(value: object, name: str) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    return {} if value is None else {name: value}


def _cells(scores: Scores) -> list[str]:
    return [f"{100 * scores[name]:.1f}" if name in scores else "" for name in COLUMNS]
