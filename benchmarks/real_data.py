"""Real-data experiment on a CPU: train, gather the records, print the tables.

    python benchmarks/real_data.py train MLR-CUHK03_FOLDER --runs runs/cuhk03 --seeds 1 2 3 -- --preset cpu
    python benchmarks/real_data.py gather runs/cuhk03 --out benchmarks/results/mlr-cuhk03-p1-cpu

``train`` calls ``drfm train`` for every split and seed, one after the other; a run that is
finished is left as it is, one that was cut goes on. ``gather`` writes ``runs.json`` (what each run
was made from, every epoch, both results) and ``tables.md``. No image and no path gets into them.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

RANKS = ("rank1", "rank5", "rank10", "map")
TITLES = ("Rank-1", "Rank-5", "Rank-10", "mAP")


def train(arguments: argparse.Namespace) -> None:
    """One process for each split and seed."""
    for split in arguments.splits:
        for seed in arguments.seeds:
            run = arguments.runs / f"split{split}-seed{seed}"
            command = [sys.executable, "-c", "from drfm.cli import main; main()", "train"]
            command += [str(arguments.benchmark), "--run", str(run), "--cache", str(arguments.cache)]
            command += ["--split", str(split), "--seed", str(seed), *arguments.options]
            subprocess.run(command, check=True)


def gather(arguments: argparse.Namespace) -> None:
    """Records and tables of all finished runs in a folder."""
    found = [read_run(path.parent) for path in sorted(arguments.runs.glob("*/trained.json"))]
    if not found:
        raise SystemExit(f"{arguments.runs}: holds no finished run")
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "runs.json").write_text(json.dumps(found, sort_keys=True) + "\n")
    text = "\n\n".join([results_table(found), gains(found), epochs_table(found)]) + "\n"
    (arguments.out / "tables.md").write_text(text)
    sys.stdout.write(text)


def read_run(run: Path) -> dict[str, Any]:
    """Everything about a run that is not local to the machine."""
    results = {}
    for stage in ("untrained", "trained"):
        results[stage] = json.loads((run / f"{stage}.json").read_text())
        del results[stage]["facts"]
    journal = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    record = json.loads((run / "record.json").read_text())
    return {"run": run.name, "record": record, "journal": journal, **results}


def by_seed(runs: list[dict[str, Any]], stage: str, features: str, kind: str, name: str) -> list[float]:
    """One score in per cent a seed: the mean over its splits."""
    seeds: dict[int, list[float]] = {}
    for run in runs:
        row = next(row for row in run[stage]["rows"] if row["features"] == features)
        seeds.setdefault(run["record"]["seed"], []).append(100 * row[kind][name])
    return [statistics.mean(scores) for _, scores in sorted(seeds.items())]


def spread(values: list[float]) -> str:
    """Mean, and sample standard deviation where there are several values."""
    mean = statistics.mean(values)
    return f"{mean:.1f} ± {statistics.stdev(values):.1f}" if len(values) > 1 else f"{mean:.1f}"


def results_table(runs: list[dict[str, Any]]) -> str:
    """Untrained against trained in each space: exact single-shot, and multi-shot."""
    columns = [("exact", name, title) for name, title in zip(RANKS, TITLES, strict=True)]
    columns += [("multi_shot", "rank1", "multi-shot Rank-1"), ("multi_shot", "map", "multi-shot mAP")]
    lines = ["| features | " + " | ".join(title for *_, title in columns) + " |"]
    lines.append("|---|" + "---:|" * len(columns))
    for stage in ("untrained", "trained"):
        for features in ("fused", "hr", "lr", "mean"):
            cells = [spread(by_seed(runs, stage, features, kind, name)) for kind, name, _ in columns]
            lines.append(f"| {stage}, {features} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def gains(runs: list[dict[str, Any]]) -> str:
    """Trained minus untrained, paired within a run."""
    lines = ["| gain (trained - untrained) | mean over seeds | spread over seeds | runs that gain |"]
    lines.append("|---|---:|---:|---:|")
    for kind, name, title in (("exact", "rank1", "Rank-1"), ("exact", "map", "mAP"),
                              ("multi_shot", "map", "multi-shot mAP")):  # fmt: skip
        before, after = (by_seed(runs, stage, "fused", kind, name) for stage in ("untrained", "trained"))
        change = [b - a for a, b in zip(before, after, strict=True)]
        better = sum(run["trained"]["rows"][0][kind][name] > run["untrained"]["rows"][0][kind][name]
                     for run in runs)  # fmt: skip
        wide = f"{statistics.stdev(after):.1f}" if len(after) > 1 else "one seed"
        lines.append(
            f"| fused, {title} | {statistics.mean(change):+.1f} | {wide} | {better} of {len(runs)} |"
        )
    return "\n".join(lines)


def epochs_table(runs: list[dict[str, Any]]) -> str:
    """Pseudo-labels and, where it was evaluated, Rank-1 by epoch; mean over runs."""
    head = ["epoch", "clusters", "labelled", "label F", "precision", "recall", "cross-resolution F", "Rank-1"]
    lines = ["| " + " | ".join(head) + " |", "|---:|" + "---:|" * (len(head) - 1)]
    for epoch in range(min(len(run["journal"]) for run in runs)):
        entries = [run["journal"][epoch] for run in runs]
        quality = [entry["quality"] for entry in entries]
        cells = [f"{statistics.mean(entry['clusters'] for entry in entries):.0f}"]
        cells.append(f"{100 * statistics.mean(entry['coverage'] for entry in entries):.0f} %")
        for name in ("f", "precision", "recall", "cross_f"):
            cells.append(f"{statistics.mean(q[name] for q in quality):.3f}")
        seen = [100 * entry["evaluation"]["rank1"] for entry in entries if "evaluation" in entry]
        cells.append(f"{statistics.mean(seen):.1f}" if len(seen) == len(entries) else "")
        lines.append(f"| {epoch + 1} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(required=True)
    training = commands.add_parser("train")
    training.add_argument("benchmark", type=Path)
    training.add_argument("--runs", type=Path, required=True)
    training.add_argument("--cache", type=Path, default=Path("cache"))
    training.add_argument("--splits", type=int, nargs="+", default=[0])
    training.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    training.add_argument("options", nargs="*", help="options of `drfm train`, after --")
    training.set_defaults(action=train)
    gathering = commands.add_parser("gather")
    gathering.add_argument("runs", type=Path)
    gathering.add_argument("--out", type=Path, required=True)
    gathering.set_defaults(action=gather)
    arguments = parser.parse_args()
    arguments.action(arguments)


if __name__ == "__main__":
    main()
