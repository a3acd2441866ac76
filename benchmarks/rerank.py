"""k-reciprocal re-ranking: the project's sparse graph beside the dense matrices of the usual code.

`python benchmarks/rerank.py` measures Market-1501's size (3,368 queries, 15,913 images, 2,048
dimensions) and writes benchmarks/results/rerank.json. The dense side needs about 9 GB there.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from drfm.evaluation.metrics import multi_shot
from drfm.evaluation.ranking import rank
from drfm.evaluation.rerank import K1, K2, WEIGHT, reranked_blocks
from measure import alternate, machine, say, watched, write
from ranking import load, prepare, search_arguments

CHECKED = 256
"""Queries whose distances the two sides compare."""


def drfm(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """The project: sparse graph, blended and ranked in blocks of queries."""
    query, gallery, query_labels, gallery_labels = load(folder)
    for _ in reranked_blocks(query[:400], gallery[:2000]):  # compiled code of both kinds of search
        pass
    kept: list[np.ndarray[Any, Any]] = []

    def blocks() -> Any:
        for block in reranked_blocks(query, gallery):
            if not kept:
                kept.append(-block[:CHECKED])
            yield block

    result: dict[str, Any] = {}
    with watched(result):
        ranking = rank(blocks(), query_labels, gallery_labels)
    result["scores"] = multi_shot(ranking)
    np.save(folder / "drfm.npy", kept[0])
    return result


def dense(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """The usual way: matrices of all pairs for distances, ranks and weights, and loops over images."""
    query, gallery, query_labels, gallery_labels = load(folder)
    result: dict[str, Any] = {}
    with watched(result):
        final = _dense(torch.cat([query, gallery]), len(query))
    result["scores"] = multi_shot(rank([-final], query_labels, gallery_labels))
    np.save(folder / "dense.npy", final[:CHECKED])
    return result


def _dense(rows: torch.Tensor, queries: int) -> np.ndarray[Any, Any]:
    """Re-ranked distances of the first ``queries`` rows to all others, from the definition."""
    count, half = len(rows), int(np.around(K1 / 2))
    distance = (2 - 2 * (rows @ rows.T)).square_().numpy()
    distance /= distance.max(axis=1, keepdims=True)
    order = np.argsort(distance, axis=1)

    value = np.zeros_like(distance)
    for i in range(count):
        own = _mutual(order, i, K1)
        grown = [own]
        for j in own:
            other = _mutual(order, int(j), half)
            if len(np.intersect1d(other, own)) > 2 / 3 * len(other):
                grown.append(other)
        members = np.unique(np.concatenate(grown))
        weight = np.exp(-distance[i, members])
        value[i, members] = weight / weight.sum()
    distance = distance[:queries]
    mean = np.zeros_like(value)
    for i in range(count):
        mean[i] = value[order[i, :K2]].mean(axis=0)
    del value, order
    holders = [np.flatnonzero(mean[:, j]) for j in range(count)]
    jaccard = np.zeros((queries, count), np.float32)
    for i in range(queries):
        common = np.zeros(count, np.float32)
        for j in np.flatnonzero(mean[i]):
            common[holders[j]] += np.minimum(mean[i, j], mean[holders[j], j])
        jaccard[i] = 1 - common / (2 - common)
    return np.ascontiguousarray((jaccard * (1 - WEIGHT) + distance * WEIGHT)[:, queries:])


def _mutual(order: np.ndarray[Any, Any], i: int, k: int) -> np.ndarray[Any, Any]:
    forward = order[i, : k + 1]
    return forward[(order[forward, : k + 1] == i).any(axis=1)]


SIDES = {"drfm": drfm, "dense": dense}


def main() -> None:
    """Measure one side (called by itself in a fresh process), or both."""
    asked = search_arguments(__doc__, SIDES, "rerank.json", repeats=2)
    if asked.side:
        sys.stdout.write(json.dumps(SIDES[asked.side](asked.folder, asked.options)) + "\n")
        return
    made = {name: getattr(asked, name) for name in ("queries", "images", "size", "regime")}
    report: dict[str, Any] = {"machine": machine(), **made}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(folder, **made)
        report["sides"] = alternate(Path(__file__).resolve(), ["drfm", "dense"], folder, asked.repeats)
        if all("error" not in side for side in report["sides"].values()):
            compare(folder, report)
    write(asked.out, report)
    for name, side in report["sides"].items():
        say(f"{name:8} " + (side.get("error") or f"{side['seconds']:8.3f} s  {side['peak_mb']:8.0f} MB"))
    if "speedup" in report:
        gap = f"distances differ by {report['largest_difference']:.1e} at most"
        gap += f", order by {report['largest_inversion']:.1e}"
        say(f"{report['speedup']:.1f} times faster; {gap}")


def compare(folder: Path, report: dict[str, Any]) -> None:
    """Speed, and how far distances, order and scores of the two sides are apart.

    ``largest_inversion`` is the most by which an image that this project puts first is, in the dense
    distances, behind one that it puts later: 0 for the same order, rounding error for the same up to ties.
    """
    ours, theirs = report["sides"]["drfm"], report["sides"]["dense"]
    found, wanted = np.load(folder / "drfm.npy"), np.load(folder / "dense.npy")
    ordered = np.take_along_axis(wanted, np.argsort(found, axis=1, kind="stable"), axis=1)
    report["speedup"] = theirs["seconds"] / ours["seconds"]
    report["largest_difference"] = float(np.abs(found - wanted).max())
    report["largest_inversion"] = float((np.maximum.accumulate(ordered, axis=1) - ordered).max())
    report["map_difference"] = abs(ours["scores"]["map"] - theirs["scores"]["map"])


if __name__ == "__main__":
    main()
