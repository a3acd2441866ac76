"""The way of docs/practitioners.md, from crops to answers: how long it takes, and how good they are.

    python benchmarks/practitioner.py CAVIAR4REID --out practitioner

Some crops are drawn by the seed and kept out of everything. The others are copied under neutral names, so
that no command can see a person. Each command runs in a process of its own. When the search is over, the
persons of the data set say which answers were right.
"""

import argparse
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

import measure
from drfm.data.readers import read_dataset

FIRST = 10
"""Images of an answer that a person would look at."""


def hide(root: Path, out: Path, held: int, seed: int) -> tuple[dict[str, int], dict[str, int]]:
    """Copy crops to ``out/crops`` and ``out/held`` under neutral names; the persons of both by name."""
    images = [image for image in read_dataset("auto", root).records if image.person >= 0]
    order = np.random.default_rng(seed).permutation(len(images))
    persons: tuple[dict[str, int], dict[str, int]] = ({}, {})
    for number, row in enumerate(order.tolist()):
        kept_out = number < held
        source = root / images[row].name
        target = out / ("held" if kept_out else "crops") / f"{number:05d}{source.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        persons[kept_out][str(target)] = images[row].person
    return persons


def timed(out: Path, *words: object) -> tuple[dict[str, float], str]:
    """Wall clock and processor time of one command, and what it printed."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "drfm", *map(str, words)]
    ran = subprocess.run(command, cwd=out, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if ran.returncode:
        raise SystemExit(f"{' '.join(command)}: {ran.stderr.strip().splitlines()[-1]}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    measure.say(f"{' '.join(map(str, words[:2]))}: {wall:.1f} s")
    return {"seconds": round(wall, 2), "cpu_seconds": round(used, 2)}, ran.stdout


def serve_seconds(out: Path) -> float:
    """Seconds from starting the search page until it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = time.perf_counter()
    words = [sys.executable, "-m", "drfm", "serve", "people", "--bundle", "mine.bundle", "--port", str(port)]
    process = subprocess.Popen(words, cwd=out, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while time.perf_counter() - start < 60:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
                    return time.perf_counter() - start
            except OSError:
                time.sleep(0.05)
    finally:
        process.terminate()
        process.wait()
    raise SystemExit("serve: no answer within a minute")


def judged(lines: list[dict[str, Any]], crops: dict[str, int], held: dict[str, int]) -> dict[str, Any]:
    """What the verdicts and the first images of each answer are worth.

    Args:
        lines: of `drfm gallery search --format json`, every image for every query.
        crops: person of each image.
        held: person of each query.
    """
    same = np.array([crops[line["path"]] == held[line["query"]] for line in lines])
    possible = np.array([line["verdict"] in ("possible", "likely") for line in lines])
    rank = np.array([line["rank"] for line in lines])
    top = (rank <= FIRST) & possible
    counts = {
        "queries": len(held), "first_right": int(same[rank == 1].sum()),
        "other_pairs": int((~same).sum()), "other_possible": int((possible & ~same).sum()),
        "same_pairs": int(same.sum()), "same_possible": int((possible & same).sum()),
        f"possible_of_first_{FIRST}": int(top.sum()), f"right_of_these_{FIRST}": int((top & same).sum()),
    }  # fmt: skip
    return counts


def promised(calibration: dict[str, Any], heights: list[int]) -> dict[str, Any]:
    """What the calibration says of queries of these heights."""
    bands = calibration["bands"]
    found = [
        band["possible"]["found"] for height in heights for band in bands
        if band["low"] <= height <= band["high"]
    ]  # fmt: skip
    return {
        "false_at_most": calibration["rates"]["possible"],
        "found_least": min(found, default=None),
        "found_most": max(found, default=None),
        "queries_in_a_band": len(found),
    }


def main() -> None:
    """Walk the way once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path, help="a data set whose persons are known")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--held", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    out = options.out.resolve()
    crops, held = hide(options.data, out, options.held, options.seed)
    steps = {
        "data check": ("data", "check", "crops"),
        "data build": ("data", "build", "crops", "--out", "bench/mine"),
        "train": ("train", "bench/mine", "--run", "runs/mine", "--preset", "cpu"),
        "bundle": ("bundle", "runs/mine", "--out", "mine.bundle"),
        "calibrate": ("calibrate", "mine.bundle", "bench/mine"),
        "gallery create": ("gallery", "create", "people", "--bundle", "mine.bundle"),
        "gallery add": ("gallery", "add", "people", str(out / "crops"), "--bundle", "mine.bundle"),
    }
    result: dict[str, Any] = {
        "machine": measure.machine(), "threads": os.environ.get("OMP_NUM_THREADS"), "seed": options.seed,
        "data": options.data.name, "crops": len(crops), "held": len(held), "steps": {},
    }  # fmt: skip
    for name, words in steps.items():
        result["steps"][name], _ = timed(out, *words)
    result["serve_seconds"] = [round(serve_seconds(out), 2) for _ in range(2)]
    asked = ("gallery", "search", "people", *held, "--bundle", "mine.bundle", "--k", len(crops))
    _, shown = timed(out, *asked, "--format", "json")
    result["answers"] = judged(json.loads(shown), crops, held)
    from drfm.data.imagefile import image_size
    from drfm.gallery.bundle import read_bundle

    calibration = read_bundle(out / "mine.bundle").record["calibration"]
    result["promised"] = promised(calibration, [image_size(Path(name))[0] for name in held])
    journal = (out / "runs" / "mine" / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    result["epochs"] = [{k: json.loads(line)[k] for k in ("clusters", "coverage")} for line in journal]
    measure.write(out / "practitioner.json", result)
    measure.say(json.dumps({key: result[key] for key in ("answers", "promised", "serve_seconds")}))


if __name__ == "__main__":
    main()
