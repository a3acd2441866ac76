"""Ranking a gallery: the project beside a stored distance matrix that is sorted row by row.

`python benchmarks/ranking.py` measures Market-1501's size (3,368 queries, 15,913 images, 2,048
dimensions) and writes benchmarks/results/ranking.json. The bar is the time of the matrix product alone.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from drfm.evaluation.metrics import exact, multi_shot
from drfm.evaluation.ranking import BLOCK, Labels, rank, similarity_blocks
from measure import alternate, machine, say, watched, write
from synthetic import make


def prepare(folder: Path, queries: int, images: int, size: int, regime: str, seed: int = 0) -> None:
    """Write features and labels of both sides into ``folder``."""
    made = make(queries + images, regime, size=size, persons=max(2, round(750 * images / 15913)), seed=seed)
    order = np.random.default_rng(seed).permutation(queries + images)
    for side, rows in (("query", order[:queries]), ("gallery", order[queries:])):
        np.save(folder / f"{side}.npy", made.features[rows])
        np.save(folder / f"{side}_labels.npy", np.stack([made.person[rows], made.camera[rows]]))


def load(folder: Path) -> tuple[torch.Tensor, torch.Tensor, Labels, Labels]:
    """What :func:`prepare` wrote."""
    features = [torch.from_numpy(np.load(folder / f"{side}.npy")) for side in ("query", "gallery")]
    labels = [Labels(*np.load(folder / f"{side}_labels.npy")) for side in ("query", "gallery")]
    return features[0], features[1], labels[0], labels[1]


def drfm(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """The project: product and ranks in one pass, for each of ``KINDS``.

    The product alone runs before and after each of them in this process, so that ``share``, the time
    over the mean of the two products around it, compares like with like.
    """
    query, gallery, query_labels, gallery_labels = load(folder)
    few = Labels(query_labels.persons[:64], query_labels.cameras[:64])
    result: dict[str, Any] = {"kinds": {}}
    floor, torch_floor = [_product(query, gallery)], []
    for name, asked in KINDS.items():
        rank(similarity_blocks(query[:64], gallery), few, gallery_labels, **asked)
        measured: dict[str, Any] = {}
        with watched(measured):
            ranking = rank(similarity_blocks(query, gallery), query_labels, gallery_labels, **asked)
        floor.append(_product(query, gallery))
        measured["share"] = 2 * measured["seconds"] / (floor[-2] + floor[-1])
        torch_floor.append(_torch_product(query, gallery))
        measured["torch_share"] = measured["seconds"] / torch_floor[-1]
        result["kinds"][name] = measured
    result |= result["kinds"]["multi_shot"] | {"product_seconds": statistics.median(floor)}
    result["torch_product_seconds"] = statistics.median(torch_floor)
    return result | {"scores": multi_shot(ranking), "exact": exact(ranking)}


def _product(query: torch.Tensor, gallery: torch.Tensor) -> float:
    """Seconds of the floor: the blocked matrix product, thrown away."""
    begin = time.perf_counter()
    for _ in similarity_blocks(query, gallery):
        pass
    return time.perf_counter() - begin


def _torch_product(query: torch.Tensor, gallery: torch.Tensor) -> float:
    """The same by ``torch.mm``."""
    begin = time.perf_counter()
    for rows in query.split(BLOCK):
        torch.mm(rows, gallery.T)
    return time.perf_counter() - begin


def dense(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """The usual way: one distance matrix, a sort of each row, and a loop over queries."""
    query, gallery, query_labels, gallery_labels = load(folder)
    result: dict[str, Any] = {}
    with watched(result):
        distance = (2 - 2 * (query @ gallery.T)).numpy()
        order = np.argsort(distance, axis=1, kind="stable")
        match = gallery_labels.persons[order] == query_labels.persons[:, None]
        seen = match & (gallery_labels.cameras[order] == query_labels.cameras[:, None])
        first, precision, inverse = [], [], []
        for hits, drop in zip(match, seen, strict=True):
            ranks = np.flatnonzero(hits[~drop]) + 1
            if len(ranks):
                first.append(ranks[0])
                precision.append(float(np.mean(np.arange(1, len(ranks) + 1) / ranks)))
                inverse.append(len(ranks) / ranks[-1])
    result["scores"] = {f"rank{k}": float(np.mean(np.array(first) <= k)) for k in (1, 5, 10, 20)}
    result["scores"] |= {"map": float(np.mean(precision)), "minp": float(np.mean(inverse))}
    return result


def search_arguments(
    description: str, sides: Iterable[str], name: str, *, repeats: int
) -> argparse.Namespace:
    """What the scripts that rank are asked: sizes, file of the record, and one side when called by itself."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--queries", type=int, default=3368)
    parser.add_argument("--images", type=int, default=15913)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--regime", default="hard", choices=("easy", "hard", "early"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / name)
    parser.add_argument("--side", choices=tuple(sides))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--options", type=json.loads, default={})
    return parser.parse_args()


SIDES = {"drfm": drfm, "dense": dense}
KINDS: dict[str, dict[str, Any]] = {
    "multi_shot": {},
    "draws": {"draws": 10},
    "expectation": {"draws": 10, "expectation": True},
    "per_query": {"draws": 10, "draw": "per_query", "expectation": True},
}
"""What is asked of the pass; an evaluation asks for ``expectation``, or ``per_query`` where so configured."""


def main() -> None:
    """Measure one side (called by itself in a fresh process), or both, in turn."""
    asked = search_arguments(__doc__, SIDES, "ranking.json", repeats=3)
    if asked.side:
        sys.stdout.write(json.dumps(SIDES[asked.side](asked.folder, asked.options)) + "\n")
        return
    made = {name: getattr(asked, name) for name in ("queries", "images", "size", "regime")}
    report: dict[str, Any] = {"machine": machine(), **made}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(folder, **made)
        report["sides"] = alternate(Path(__file__).resolve(), list(SIDES), folder, asked.repeats)
    ours, theirs = report["sides"]["drfm"], report["sides"]["dense"]
    report["speedup"] = theirs["seconds"] / ours["seconds"]
    report["largest_difference"] = max(abs(ours["scores"][k] - theirs["scores"][k]) for k in theirs["scores"])
    write(asked.out, report)
    for name, kind in (ours["kinds"] | {"dense": theirs}).items():
        share = (
            f"  {kind['share']:.2f} x product, {kind['torch_share']:.2f} x torch's" if "share" in kind else ""
        )
        say(f"{name:12}{kind['seconds']:8.3f} s  {kind['peak_mb']:6.0f} MB{share}")
    say(f"{report['speedup']:.1f} times faster; scores differ by {report['largest_difference']:.1e} at most")


if __name__ == "__main__":
    main()
