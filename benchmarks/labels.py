"""Pseudo-labels of one epoch: Jaccard distances and DBSCAN, beside the dense way of computing them.

    python benchmarks/labels.py --sizes 12936 32621 100000 --regimes easy hard early --out labels.json
    python benchmarks/labels.py --device cuda --there --sizes 12936 100000 1000000 --out labels-gpu.json

Each side runs in a fresh process, the sides in turn. Memory is the peak above the
process with its libraries, compiled code and features loaded. The dense side is
``tests/labels/dense_oracle.py``, our own re-implementation of what public code does,
with faiss's flat index for neighbours where it is installed.
"""

import argparse
import itertools
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import measure
import synthetic

HERE = Path(__file__).resolve()
ORACLE = HERE.parent.parent / "tests" / "labels"
K2, MIN_SAMPLES = 6, 4
CHECKED = 20_000
"""Images whose labels from a device are compared with those of the CPU."""
DENSE_BYTES = 13
"""Bytes that the dense side needs for each pair of images: three float32 matrices and a mask."""


def project(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """The project's own path, stage by stage."""
    import torch

    from drfm.labels.dbscan import dbscan
    from drfm.labels.jaccard import jaccard_graph
    from drfm.labels.neighbours import k_nearest

    def run(rows: Any) -> tuple[Any, dict[str, float], dict[str, Any]]:
        start = time.perf_counter()
        found = k_nearest(rows, options["k1"], method=options.get("method", "auto"))
        searched = time.perf_counter()
        graph = jaccard_graph(rows, k1=options["k1"], k2=K2, eps=options["eps"], neighbours=found)
        joined = time.perf_counter()
        labels = dbscan(graph, options["eps"], MIN_SAMPLES)
        stages = {f"neighbours: {name}": value for name, value in found.facts.pop("seconds", {}).items()}
        stages |= {"neighbours": searched - start, "jaccard": joined - searched}
        stages["dbscan"] = time.perf_counter() - joined
        return labels, stages, found.facts | {"pairs_within_eps": int(graph.nnz)}

    device = torch.device(options.get("device", "cpu"))
    for count in (1600, 400):
        run(torch.from_numpy(synthetic.make(count, "easy").features).to(device))
    if options["there"]:
        rows = synthetic.make_there(options["size"], options["regime"], device)
    else:
        rows = torch.from_numpy(np.load(folder / "features.npy")).to(device)
    result: dict[str, Any] = {}
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    with measure.watched(result):
        labels, stages, facts = run(rows)
    if device.type == "cuda":
        facts["gpu_peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
    if options["there"] and len(rows) <= CHECKED:
        facts["labels_equal_cpu"] = bool(np.array_equal(labels, run(rows.cpu())[0]))
    np.save(folder / "project.npy", labels)
    product = stages.get("neighbours: product", 0.0)
    threads = torch.get_num_threads()  # stages of several threads are sums over them
    return result | {"stages": stages, "facts": facts, "product_share": product / threads / result["seconds"]}


def dense(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """The dense way."""
    sys.path.insert(0, str(ORACLE))
    import dense_oracle

    rows = np.load(folder / "features.npy")
    dense_oracle.labels(
        rows[:400], options["k1"], K2, options["eps"], MIN_SAMPLES, ranks=dense_oracle.flat_ranks
    )
    result: dict[str, Any] = {}
    with measure.watched(result):
        labels = dense_oracle.labels(
            rows, options["k1"], K2, options["eps"], MIN_SAMPLES, ranks=dense_oracle.flat_ranks
        )
    np.save(folder / "dense.npy", labels)
    return result


def compare(size: int, regime: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Both sides on one set of features."""
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as name:
        folder = Path(name)
        if not arguments.there:
            persons, cameras = (1041, 15) if size == 32621 else (None, 6)
            made = synthetic.make(size, regime, persons=persons, cameras=cameras)
            np.save(folder / "features.npy", made.features)
            del made
        free = next(
            int(line.split()[1]) * 1024
            for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("MemAvailable")
        )
        fits = DENSE_BYTES * size**2 < 0.9 * free and not arguments.no_dense and not arguments.there
        sides = ["project", "dense"] if fits else ["project"]
        repeats = arguments.repeats if size < 20000 else min(arguments.repeats, 2)
        options = {
            "k1": arguments.k1, "eps": arguments.eps, "method": arguments.method, "device": arguments.device,
            "there": arguments.there, "size": size, "regime": regime,
        }  # fmt: skip
        row = measure.alternate(HERE, sides, folder, repeats, idle=arguments.wait, **options)
        row |= {"size": size, "regime": regime}
        if "seconds" in row["project"]:
            labels = np.load(folder / "project.npy")
            row["clusters"], row["outliers"] = int(labels.max(initial=-1) + 1), int((labels < 0).sum())
        if fits and "seconds" in row["dense"] and "seconds" in row["project"]:
            row["labels_equal"] = bool(np.array_equal(labels, np.load(folder / "dense.npy")))
            row["times_faster"] = row["dense"]["seconds"] / row["project"]["seconds"]
            row["times_smaller"] = row["dense"]["peak_mb"] / row["project"]["peak_mb"]
        return row


def growth(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Exponent of N between consecutive sizes of a regime."""
    out = {}
    for regime in sorted({row["regime"] for row in rows}):
        own = sorted((r["size"], r["project"]["seconds"]) for r in rows
                     if r["regime"] == regime and "seconds" in r["project"])  # fmt: skip
        for (small, before), (large, after) in itertools.pairwise(own):
            out[f"{regime}: {small} to {large}"] = math.log(after / before) / math.log(large / small)
    return out


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Time and memory against N, if matplotlib is there."""
    try:
        import matplotlib
    except ImportError:
        return
    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6))
    for axis, key, title in zip(axes, ("seconds", "peak_mb"), ("seconds", "MB above the input"), strict=True):
        for regime in sorted({row["regime"] for row in rows}):
            for side, style in (("project", "o-"), ("dense", "s--")):
                own = sorted((r["size"], r[side][key]) for r in rows
                             if r["regime"] == regime and key in r.get(side, {}))  # fmt: skip
                if own:
                    axis.loglog(*zip(*own, strict=True), style, label=f"{side}, {regime}")
        axis.set_xlabel("images")
        axis.set_ylabel(title)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path)


def show(row: dict[str, Any]) -> None:
    """One line a comparison."""
    own = row["project"]
    if "seconds" not in own:
        measure.say(f"{row['size']:>7} {row['regime']:<6} {own['error']}")
        return
    text = f"{row['size']:>7} {row['regime']:<6} {own['seconds']:8.2f} s {own['peak_mb']:7.0f} MB"
    if "gpu_peak_gb" in own["facts"]:
        text += f"  {own['facts']['gpu_peak_gb']:.1f} GB of GPU"
    text += f"  product {own['product_share']:.0%}  {row['clusters']} clusters, {row['outliers']} outliers"
    if "times_faster" in row:
        text += f"  dense {row['dense']['seconds']:.1f} s {row['dense']['peak_mb']:.0f} MB"
        text += (
            f"  {row['times_faster']:.1f} times faster, labels {'equal' if row['labels_equal'] else 'DIFFER'}"
        )
    measure.say(text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[2000, 6000])
    parser.add_argument(
        "--regimes", nargs="+", choices=list(synthetic.REGIMES), default=["easy", "hard", "early"]
    )
    parser.add_argument("--k1", type=int, default=20)
    parser.add_argument("--eps", type=float, default=0.6)
    parser.add_argument("--method", default="auto", choices=["auto", "blocks", "screened", "device"])
    parser.add_argument("--device", default="cpu", help="where the features lie, as cuda")
    parser.add_argument(
        "--there",
        action="store_true",
        help="make the features on the device; no dense side, CPU labels as check",
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-dense", action="store_true", help="measure the project alone")
    parser.add_argument(
        "--wait", type=float, default=0, help="seconds to wait for an idle machine before each run"
    )
    parser.add_argument("--scratch", help="folder for the features; the system's temporary folder by default")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--side", choices=["project", "dense"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--options", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        result = {"project": project, "dense": dense}[arguments.side](arguments.folder, arguments.options)
        sys.stdout.write(json.dumps(result) + "\n")
        return
    facts = measure.machine()
    measure.say(json.dumps(facts))
    rows = []
    for size in arguments.sizes:
        for regime in arguments.regimes:
            rows.append(compare(size, regime, arguments))
            show(rows[-1])
            if arguments.out:
                settings = {"k1": arguments.k1, "k2": K2, "eps": arguments.eps, "min_samples": MIN_SAMPLES}
                measure.write(arguments.out, {"machine": facts, "settings": settings, "rows": rows,
                                              "growth": growth(rows)})  # fmt: skip
    if arguments.out:
        plot(rows, arguments.out.with_suffix(".svg"))


if __name__ == "__main__":
    main()
