"""Tables of a study: means and standard deviations, and paired differences with their intervals."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import t as student

from drfm.recipes.study.gather import SCORES, Gathered, Outcome
from drfm.recipes.study.plan import Cell, Data

LEVEL = 0.95
"""Coverage of the intervals."""


@dataclass(frozen=True)
class Spread:
    """Several values of one number.

    Attributes:
        mean: of them.
        deviation: sample standard deviation, ``None`` for fewer than two.
        count: how many.
    """

    mean: float
    deviation: float | None
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.1f}" if self.deviation is None else f"{self.mean:.1f} ± {self.deviation:.1f}"


@dataclass(frozen=True)
class Difference:
    """A cell less another one, over the seeds that both have.

    Attributes:
        mean: of the differences.
        low: lower end of Student's interval for the mean, ``None`` for fewer than two seeds.
        high: its upper end.
        count: seeds.
    """

    mean: float
    low: float | None
    high: float | None
    count: int

    def __str__(self) -> str:
        interval = "" if self.low is None else f" [{self.low:+.1f}, {self.high:+.1f}]"
        return f"{self.mean:+.1f}{interval}"


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation of at least one value."""
    return Spread(
        statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values)
    )


def difference(cell: Sequence[Outcome], other: Sequence[Outcome], score: str) -> Difference | None:
    """Paired difference of one score, with Student's 95 % interval over seeds.

    Runs of one seed share the benchmark, the initial weights and the test galleries, so that
    what these do to both is not counted as a difference. Scores are exact expectations over
    the random galleries, which adds no noise of draws.

    Returns:
        ``None`` without a common seed.
    """
    theirs = {outcome.seed: outcome.scores[score] for outcome in other}
    found = [outcome.scores[score] - theirs[outcome.seed] for outcome in cell if outcome.seed in theirs]
    if not found:
        return None
    mean = statistics.fmean(found)
    if len(found) < 2:
        return Difference(mean, None, None, len(found))
    half = student.ppf((1 + LEVEL) / 2, len(found) - 1) * statistics.stdev(found) / len(found) ** 0.5
    return Difference(mean, mean - float(half), mean + float(half), len(found))


def rows(gathered: Gathered, data: Data) -> list[tuple[Cell, dict[str, Spread], Difference | None, int]]:
    """Cell, its scores, its Rank-1 less that of the compared cell, and its finished seeds."""
    compared = gathered.outcomes[data.name, gathered.study.compare]
    made = []
    for cell in gathered.study.cells:
        outcomes = gathered.of(data, cell)
        scores = {key: spread([o.scores[key] for o in outcomes]) for key in SCORES} if outcomes else {}
        beside = (
            None if cell.name == gathered.study.compare else difference(outcomes, compared, "exact/rank1")
        )
        made.append((cell, scores, beside, len(outcomes)))
    return made


def remark(cell: Cell, outcomes: Sequence[Outcome]) -> str:
    """What has to be said of a row wherever it is shown: that it is a floor, or supervised."""
    if cell.floor:
        return "no training"
    return "supervised" if any(outcome.record.get("supervised") for outcome in outcomes) else ""


def markdown(gathered: Gathered) -> str:
    """The tables of all benchmarks."""
    study = gathered.study
    parts = [f"# {study.title}"]
    for data in gathered.data:
        head = ["", *SCORES.values(), f"Rank-1 less {study.compare}", "seeds"]
        lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
        for cell, scores, beside, count in rows(gathered, data):
            shown = [str(scores[key]) if scores else "" for key in SCORES]
            said = remark(cell, gathered.of(data, cell))
            name = f"{cell.name} ({said})" if said else cell.name
            cells = [name, *shown, str(beside or ""), str(count)]
            lines.append("| " + " | ".join(cells) + " |")
        parts += [f"## {data.name}", "\n".join(lines), caption(gathered, data)]
        failures = [f"- {run}: {reason}" for run, reason in gathered.failures(data).items()]
        parts += ["Runs that failed:", "\n".join(failures)] if failures else []
    return "\n\n".join(parts) + "\n"


def caption(gathered: Gathered, data: Data) -> str:
    """What has to be known to read the table: protocol, spread, interval, benchmark."""
    outcomes = [o for cell in gathered.study.cells for o in gathered.of(data, cell)]
    if not outcomes:
        return "No run is finished."
    # Which feature is the headline is a matter of each method.
    protocol = outcomes[0].result["protocol"]["text"].split("; headline:")[0]
    counts, chance = outcomes[0].result["counts"], outcomes[0].result["chance"]["rank1"]
    return (
        "Per cent. Rank-k and mAP are exact expectations over all galleries of one image a person; ± is the "
        "sample standard deviation over seeds; differences are paired by seed, with Student's 95 % interval "
        "in brackets. The last epoch is the result. "
        f"{counts['queries']} queries, {counts['gallery']} gallery images, {counts['persons']} persons, "
        f"chance {100 * chance:.1f} % Rank-1; "
        f"benchmark {outcomes[0].record['benchmark']['id']}. Protocol: {protocol}."
    )


def csv(gathered: Gathered) -> str:
    """One line a run: benchmark, cell, seed, scores in per cent."""
    lines = [",".join(["benchmark", "cell", "seed", *SCORES])]
    for (data, cell), outcomes in gathered.outcomes.items():
        lines += [
            ",".join([data, f'"{cell}"', str(o.seed), *(f"{o.scores[key]:.4f}" for key in SCORES)])
            for o in outcomes
        ]
    return "\n".join(lines) + "\n"
