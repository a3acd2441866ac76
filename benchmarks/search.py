"""Searching a gallery on disk: the project beside faiss and Milvus Lite, all of them exact.

`python benchmarks/search.py` measures 100,000 images of 2,048 dimensions, the nearest 10 of each query, and
writes benchmarks/results/search.json. It needs the extras `search` and `milvus`, and 6 GB of disk. A side
that is not installed is left out and named.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from drfm.gallery.items import Item
from drfm.gallery.opening import create_store, open_store
from measure import fresh, machine, say, wait_until_idle, write
from synthetic import make

K = 10
SINGLE, BATCH, CHUNK = 200, 256, 1024
"""Queries asked one by one, queries asked together, and images added at once."""
Answer = Callable[[np.ndarray[Any, Any]], Any]


def prepare(folder: Path, images: int, size: int, regime: str) -> None:
    """Write gallery and queries, which are images of the same persons, in random order."""
    made = make(images + BATCH, regime, size=size).features
    order = np.random.default_rng(0).permutation(len(made))
    np.save(folder / "query.npy", made[order[:BATCH]])
    np.save(folder / "gallery.npy", made[order[BATCH:]])


def store(location: str, folder: Path) -> dict[str, Any]:
    """One of the project's galleries: add, close, open, search with what is known of each image."""
    gallery = np.load(folder / "gallery.npy", mmap_mode="r")
    start = time.perf_counter()
    made = create_store(location, gallery.shape[1])
    for at in range(0, len(gallery), CHUNK):
        rows = np.array(gallery[at : at + CHUNK])
        made.add([Item(f"{at + i:08d}.png", camera=f"camera {i % 6}") for i in range(len(rows))], rows)
    made.close()
    result: dict[str, Any] = {"add_per_second": len(gallery) / (time.perf_counter() - start)}
    del gallery
    before, start = memory(), time.perf_counter()
    opened = open_store(location)
    opened.count()
    result["open_ms"] = 1e3 * (time.perf_counter() - start)

    def answer(rows: np.ndarray[Any, Any]) -> Any:
        return [[int(hit.item.path[:8]) for hit in hits] for hits in opened.search(rows, K)]

    return asked(folder, answer, before, result)


def drfm(folder: Path) -> dict[str, Any]:
    """The embedded gallery."""
    return store(str(folder / "gallery"), folder)


def milvus(folder: Path) -> dict[str, Any]:
    """Milvus Lite with a FLAT index, through the project's store, which compares its answers again."""
    return store(str(folder / "gallery.db"), folder)


def faiss(folder: Path) -> dict[str, Any]:
    """IndexFlatIP, written to a file and read again; positions alone, nothing known of an image."""
    import faiss as library

    gallery = np.load(folder / "gallery.npy", mmap_mode="r")
    start = time.perf_counter()
    index = library.IndexFlatIP(gallery.shape[1])
    for at in range(0, len(gallery), CHUNK):
        index.add(np.array(gallery[at : at + CHUNK]))
    library.write_index(index, str(folder / "faiss"))
    result: dict[str, Any] = {"add_per_second": len(gallery) / (time.perf_counter() - start)}
    del index, gallery
    before, start = memory(), time.perf_counter()
    read = library.read_index(str(folder / "faiss"))
    result["open_ms"] = 1e3 * (time.perf_counter() - start)
    return asked(folder, lambda rows: read.search(rows, K)[1].tolist(), before, result)


def asked(folder: Path, answer: Answer, before: dict[str, int], result: dict[str, Any]) -> dict[str, Any]:
    """Ask one by one and together, after one query that is not counted but told."""
    queries = np.load(folder / "query.npy")
    start = time.perf_counter()
    answer(queries[:1])
    result["first_ms"] = 1e3 * (time.perf_counter() - start)
    answer(queries[:9])
    seconds = []
    for query in queries[:SINGLE]:
        start = time.perf_counter()
        answer(query[None])
        seconds.append(time.perf_counter() - start)
    start = time.perf_counter()
    result["answers"] = answer(queries)
    result["batch_ms"] = 1e3 * (time.perf_counter() - start) / len(queries)
    result["median_ms"] = 1e3 * float(np.median(seconds))
    result["p99_ms"] = 1e3 * float(np.percentile(seconds, 99))
    after = memory()
    result |= {f"{name}_mb": (after[name] - before[name]) / 1e6 for name in after}
    return result


def memory() -> dict[str, int]:
    """Bytes of this process that are its own, and of mapped files, which the system can drop at any time."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    found = {line.partition(":")[0]: line.split()[1] for line in lines if line.startswith("Rss")}
    return {"private": int(found["RssAnon"]) * 1024, "mapped": int(found["RssFile"]) * 1024}


SIDES = {"drfm": drfm, "faiss": faiss, "milvus": milvus}


def main() -> None:
    """Measure one side (called by itself in a fresh process), or all in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--regime", default="hard", choices=("easy", "hard", "early"))
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=tuple(SIDES))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "search.json")
    parser.add_argument("--side", choices=tuple(SIDES))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--options", type=json.loads, default={})
    given = parser.parse_args()
    if given.side:
        with tempfile.TemporaryDirectory(dir=given.folder) as temporary:
            own = Path(temporary)
            for name in ("query.npy", "gallery.npy"):
                (own / name).symlink_to((given.folder / name).absolute())
            sys.stdout.write(json.dumps(SIDES[given.side](own)) + "\n")
        return
    report: dict[str, Any] = {"machine": machine(), "images": given.images, "size": given.size, "k": K}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(folder, given.images, given.size, given.regime)
        runs: dict[str, list[dict[str, Any]]] = {side: [] for side in given.sides}
        for _ in range(given.repeats):
            for side in given.sides:
                wait_until_idle(0)
                runs[side].append(fresh(Path(__file__).resolve(), side, folder))
                say(f"  {side}: {runs[side][-1].get('median_ms', runs[side][-1].get('error'))}")
    report["sides"] = {side: middle(results) for side, results in runs.items()}
    answers = [results[0].get("answers") for results in runs.values() if results[0].get("answers")]
    report["same_answers"] = all(answer == answers[0] for answer in answers)
    write(given.out, report)
    for side, found in report["sides"].items():
        say(f"{side:7} " + (found.get("error") or "  ".join(f"{k} {v:.2f}" for k, v in found.items())))


def middle(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Median of each number over the runs."""
    if "error" in runs[0]:
        return runs[0]
    names = [name for name in runs[0] if name != "answers"]
    return {name: statistics.median(run[name] for run in runs if name in run) for name in names}


if __name__ == "__main__":
    main()
