"""From run folders to the numbers of a study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drfm.engine.journal import Journal
from drfm.files import read_json
from drfm.recipes.study.plan import FAILED, Cell, Data, Study

SCORES = {
    "exact/rank1": "Rank-1",
    "exact/rank5": "Rank-5",
    "exact/rank10": "Rank-10",
    "exact/map": "mAP",
    "multi_shot/rank1": "multi-shot Rank-1",
    "multi_shot/map": "multi-shot mAP",
}
"""Scores of a table, in its order: where they are in a result, and their titles."""
STAGES = ("untrained", "trained")


@dataclass(frozen=True)
class Outcome:
    """What one run of a cell gave.

    Attributes:
        seed: of the run.
        run: its folder.
        scores: keys of :data:`SCORES` to per cent.
        record: what the run was made from, without what is local to a machine.
        result: the whole test of the last epoch, or of the untrained model for a floor.
        journal: one entry an epoch; empty for a floor.
        distances: distances of positive pairs by stage, as ``NAME-distances.json`` has them.
    """

    seed: int
    run: Path
    scores: dict[str, float]
    record: dict[str, Any]
    result: dict[str, Any]
    journal: list[dict[str, Any]] = field(default_factory=list)
    distances: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Gathered:
    """A study's outcomes.

    Attributes:
        study: the grid.
        data: benchmarks.
        outcomes: benchmark and cell to what is finished of it, by ascending seed.
        failed: ``BENCHMARK/CELL/seedN`` to the reason in one line.
    """

    study: Study
    data: Sequence[Data]
    outcomes: dict[tuple[str, str], list[Outcome]]
    failed: Mapping[str, str] = field(default_factory=dict)

    def failures(self, data: Data) -> dict[str, str]:
        """What failed on one benchmark: ``CELL/seedN`` to the reason."""
        own = f"{data.name}/"
        return {run.removeprefix(own): why for run, why in self.failed.items() if run.startswith(own)}

    def of(self, data: Data, cell: Cell) -> list[Outcome]:
        """The outcomes of one cell on one benchmark."""
        return self.outcomes[data.name, cell.name]


def gather(study: Study, data: Sequence[Data], out: Path) -> Gathered:
    """Read every finished run of the study in ``out``; nothing is trained."""
    found = {}
    for each in data:
        for cell in study.cells:
            source = next((other for other in study.cells if other.name == cell.of), cell)
            stage = "untrained" if cell.floor == "untrained" else "trained"
            runs = [(seed, out / each.name / source.folder / f"seed{seed}") for seed in study.seeds]
            found[each.name, cell.name] = [
                _outcome(seed, run, stage) for seed, run in runs if (run / f"{stage}.json").exists()
            ]
    missing = {
        f"{each.name}/{cell.folder}/seed{seed}"
        for each in data
        for cell in study.cells
        for seed in study.seeds
        if seed not in [outcome.seed for outcome in found[each.name, cell.name]]
    }
    noted = read_json(out / FAILED) if (out / FAILED).exists() else {}
    return Gathered(study, data, found, {run: why for run, why in noted.items() if run in missing})


def _outcome(seed: int, run: Path, stage: str) -> Outcome:
    result = read_json(run / f"{stage}.json")
    facts = result.pop("facts")
    row = next(row for row in result["rows"] if row["features"] == result["features"])
    scores = {key: 100 * row[key.split("/")[0]][key.split("/")[1]] for key in SCORES}
    record = read_json(run / "record.json") if (run / "record.json").exists() else facts
    journal = Journal(run / "journal.jsonl").read() if stage == "trained" else []
    distances = {
        name: read_json(run / f"{name}-distances.json")
        for name in STAGES
        if (run / f"{name}-distances.json").exists()
    }
    return Outcome(seed, run, scores, record, result, journal, distances)


def to_json(gathered: Gathered) -> dict[str, Any]:
    """Everything of a study that is not local to a machine, for a record that is kept."""
    return {
        "study": gathered.study.name,
        "title": gathered.study.title,
        "runs": [
            {
                "data": data,
                "cell": cell,
                "seed": outcome.seed,
                "scores": outcome.scores,
                "record": outcome.record,
                "result": outcome.result,
                "journal": outcome.journal,
                "distances": {stage: found["numbers"] for stage, found in outcome.distances.items()},
            }
            for (data, cell), outcomes in gathered.outcomes.items()
            for outcome in outcomes
        ],
    }
