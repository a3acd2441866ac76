"""Labels, ranking, re-ranking and search, each beside the dense way, in one record and one figure.

    python benchmarks/all.py --quick
    python benchmarks/all.py --draw benchmarks/results --out figures
    python benchmarks/all.py --labels 2000 12936 32621 --ranked 3500 19281 --out benchmark

The figure shows how the ratios, the time and the memory grow with the number of images. A ranked
size is split into queries and gallery as Market-1501's 19,281 test images are. Every part can be run
by itself with more choices: `drfm benchmark labels --help`.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from drfm.evaluation.figures import Figure
from drfm.evaluation.plots import Axis, Line, Panel
from measure import machine, say, write

HERE = Path(__file__).resolve().parent
QUERIES = 3368 / 19281
"""Share of queries among Market-1501's test images."""
QUICK = 2000

Rows = list[dict[str, Any]]


def run(name: str, out: Path, *words: object) -> dict[str, Any]:
    """The record of one script, or ``{"error": ...}``."""
    say(f"{name} {' '.join(map(str, words))}")
    command = [sys.executable, str(HERE / f"{name}.py"), *map(str, words), "--out", str(out)]
    code = subprocess.run(command, check=False).returncode
    if code:
        say(f"{name}: ended with code {code}")
        return {"error": f"ended with code {code}"}
    return json.loads(out.read_text(encoding="utf-8"))


def measure_all(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The records of all parts, by part."""
    labels = run("labels", folder / "labels.json", "--regimes", asked.regime, "--repeats", asked.repeats,
                 "--sizes", *asked.labels)  # fmt: skip
    parts: dict[str, Any] = {"labels": labels, "ranking": [], "rerank": []}
    for count in asked.ranked:
        queries = max(1, round(QUERIES * count))
        sizes = ("--queries", queries, "--images", count - queries, "--size", asked.dimensions)
        for name in ("ranking", "rerank"):
            words = (*sizes, "--regime", asked.regime, "--repeats", asked.repeats)
            parts[name].append(run(name, folder / f"{name}-{count}.json", *words))
    parts["search"] = []
    for count in asked.search:
        words = (
            "--images",
            count,
            "--size",
            asked.dimensions,
            "--regime",
            asked.regime,
            "--sides",
            "drfm",
            "faiss",
        )
        out = folder / f"search-{count}.json"
        parts["search"].append(run("search", out, *words, "--repeats", asked.repeats))
    return parts


def kept(folder: Path) -> dict[str, Any]:
    """The records that lie in a folder, by part."""

    def read(name: str) -> Rows:
        return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob(name))]

    labels = {"rows": [row for record in read("labels.json") for row in record["rows"]]}
    return {"labels": labels, "ranking": read("ranking*.json"), "rerank": read("rerank*.json")}


def rows_of(parts: dict[str, Any], regime: str) -> dict[str, Rows]:
    """For labels, ranking and re-ranking: images, seconds, MB, and times as fast as the dense way."""
    found: dict[str, Rows] = {"labels": [], "ranking": [], "re-ranking": []}
    for row in parts["labels"].get("rows", []):
        if "seconds" in row["project"] and row["regime"] == regime:
            own = {"images": row["size"], "faster": row.get("times_faster")}
            found["labels"].append(own | {key: row["project"][key] for key in ("seconds", "peak_mb")})
    for name, part in (("ranking", "ranking"), ("re-ranking", "rerank")):
        for record in parts[part]:
            side = record.get("sides", {}).get("drfm", {})
            if "seconds" in side:
                own = {"images": record["queries"] + record["images"], "faster": record.get("speedup")}
                own |= {key: side[key] for key in ("seconds", "peak_mb")}
                shares = {kind: measured["share"] for kind, measured in side.get("kinds", {}).items()}
                found[name].append(own | {"shares": shares})
    return {name: sorted(rows, key=lambda row: row["images"]) for name, rows in found.items()}


def figure(rows: dict[str, Rows]) -> Figure:
    """Ratios, time and memory over the number of images."""
    images = Axis("thousand images", low=0)

    def lines(key: str) -> list[Line]:
        return [
            Line(name, [(row["images"] / 1000, row[key]) for row in own if row[key] is not None])
            for name, own in rows.items()
        ]

    kinds = sorted({kind for row in rows["ranking"] for kind in row["shares"]})
    shares = [
        Line(kind.replace("_", " "), [(row["images"] / 1000, row["shares"][kind]) for row in rows["ranking"]])
        for kind in kinds
    ]
    panels = [
        Panel("Times as fast as dense matrices", lines("faster"), images, Axis("times", low=0),
              levels=[("as fast", 1.0)]),
        Panel("Ranking: time over its matrix product alone", shares, images, Axis("times", low=0.8),
              levels=[("1.15", 1.15)]),
        Panel("Time", lines("seconds"), images, Axis("seconds", low=0)),
        Panel("Peak memory above the input", lines("peak_mb"), images, Axis("MB", low=0)),
    ]  # fmt: skip
    return Figure("Labels, ranking and re-ranking as the number of images grows", panels)


def show(rows: dict[str, Rows]) -> None:
    """One line a part and size."""
    for name, own in rows.items():
        for row in own:
            faster = f"{row['faster']:6.1f} times as fast as dense" if row["faster"] else ""
            shares = [f"{kind} {share:.2f}" for kind, share in row.get("shares", {}).items()]
            over = f"  over the product: {', '.join(shares)}" if shares else ""
            cost = f"{row['seconds']:9.3f} s {row['peak_mb']:7.0f} MB"
            say(f"{name:11}{row['images']:8,} images {cost} {faster}{over}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labels", type=int, nargs="+", default=[2000, 12936, 32621], metavar="N")
    parser.add_argument("--ranked", type=int, nargs="+", default=[3500, 19281], metavar="N")
    parser.add_argument("--search", type=int, nargs="+", default=[20000], metavar="N")
    parser.add_argument("--dimensions", type=int, default=2048, help="of the ranked features")
    parser.add_argument("--regime", default="hard", choices=("easy", "hard", "early"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} images, once: about a minute")
    parser.add_argument("--out", type=Path, default=Path("benchmark"), help="folder of record and figure")
    parser.add_argument("--draw", type=Path, metavar="FOLDER", help="measure nothing, draw what lies there")
    asked = parser.parse_args()
    if asked.draw:
        figure(rows_of(kept(asked.draw), asked.regime)).save(asked.out / "benchmark.svg")
        return 0
    if asked.quick:
        asked.labels, asked.ranked, asked.search, asked.repeats = [QUICK], [QUICK], [QUICK], 1
    facts = machine()
    say(json.dumps(facts, indent=1))
    asked.out.mkdir(parents=True, exist_ok=True)
    parts = measure_all(asked, asked.out)
    rows = rows_of(parts, asked.regime)
    write(asked.out / "benchmark.json", {"machine": facts, "rows": rows, **parts})
    show(rows)
    if any(rows.values()):
        figure(rows).save(asked.out / "benchmark.svg")
    say(f"{asked.out}/benchmark.json, {asked.out}/benchmark.svg")
    failed = [parts["labels"], *parts["ranking"], *parts["rerank"], *parts["search"]]
    return int(any("error" in record for record in failed))


if __name__ == "__main__":
    sys.exit(main())
