"""`drfm crops`: time for a Full HD video with a list of boxes, and what trackers make of crowded walkers.

    python benchmarks/crops.py --out crops.json

Walkers move straight, each at a speed of its own, and hide each other; one box in ten is missing. Both
trackers get the same boxes. A change of a walker's id between two of its boxes is a switch. ByteTrack is
left out where the extra `tracks` is not installed.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import measure
from drfm.errors import DrfmError
from drfm.video.tracking import NONE, make_tracker

SCENES, WALKERS, FRAMES, MISSED = 10, 12, 300, 0.1
HEIGHT, WIDTH, RATE = 1080, 1920, 25
PATIENCE = 50
HIDDEN = 0.6
"""Share of a walker behind a nearer one from which there is no box."""


def scene(seed: int) -> list[tuple[Any, Any]]:
    """Boxes ``(N, 4)`` and walkers ``(N,)`` of each frame."""
    random = np.random.default_rng(seed)
    height = random.uniform(120, 320, WALKERS)
    width = 0.4 * height
    feet = 500 + 1.6 * height
    left = random.uniform(0, WIDTH, WALKERS)
    speed = random.choice([-1, 1], WALKERS) * random.uniform(2, 7, WALKERS)
    frames = []
    for at in range(FRAMES):
        lap, x = np.divmod(left + speed * at, WIDTH + 400)  # who comes back after leaving is somebody else
        x -= 200
        boxes = np.stack([x, feet - height, x + width, feet], 1)
        seen = [row for row in range(WALKERS) if not _hidden(row, boxes) and random.random() >= MISSED]
        inside = [row for row in seen if boxes[row, 2] > 0 and boxes[row, 0] < WIDTH]
        noisy = boxes[inside] + random.normal(0, 1.5, (len(inside), 4))
        frames.append((noisy, (np.arange(WALKERS) + WALKERS * lap.astype(np.int64))[inside]))
    return frames


def _hidden(row: int, boxes: Any) -> bool:
    """Whether a walker whose feet are lower in the picture hides most of this one."""
    box, area = boxes[row], np.prod(boxes[row, 2:] - boxes[row, :2])
    for other in boxes[boxes[:, 3] > box[3]]:
        sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
        if (sides > 0).all() and np.prod(sides) / area > HIDDEN:
            return True
    return False


def tracked(kind: str, scenes: list[list[tuple[Any, Any]]]) -> dict[str, Any]:
    """Switches of ids, and milliseconds a frame."""
    switches = boxes_in_all = 0
    start = time.perf_counter()
    for frames in scenes:
        tracker, last = make_tracker(kind, PATIENCE), dict[int, int]()  # type: ignore[arg-type]
        for boxes, walkers in frames:
            ids = tracker.update(boxes, np.full(len(boxes), 0.9))
            boxes_in_all += len(boxes)
            for walker, number in zip(walkers.tolist(), ids.tolist(), strict=True):
                if number != NONE:
                    switches += last.get(walker, number) != number
                    last[walker] = number
    seconds = time.perf_counter() - start
    return {"switches": switches, "boxes": boxes_in_all,
            "ms_a_frame": round(1e3 * seconds / (len(scenes) * FRAMES), 3)}  # fmt: skip


def video_seconds(repeats: int) -> dict[str, Any]:
    """Seconds of the whole command for a made video, ten boxes in each frame."""
    import av

    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image = random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        image = np.asarray(image // 4 + 96)
        lines = []
        with av.open(str(folder / "hd.mp4"), "w") as container:
            stream = container.add_stream("h264", rate=RATE)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            for at in range(FRAMES):
                shown = image.copy()
                for walker in range(10):
                    left, top = 20 + 180 * walker + at % 100, 200 + 40 * (walker % 3)
                    shown[top : top + 200, left : left + 80] = 25 * walker
                    lines.append(f"{at + 1},{walker},{left},{top},80,200,0.9,-1,-1,-1")
                container.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
            container.mux(stream.encode(None))
        (folder / "hd.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        seconds = []
        for number in range(repeats + 1):
            words = ["crops", "hd.mp4", "--boxes", "hd.txt", "--out", f"out{number}", "--camera", "c"]
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "drfm", *words], cwd=folder, check=True, capture_output=True
            )
            if number:
                seconds.append(round(time.perf_counter() - start, 2))
    return {
        "frames": FRAMES,
        "boxes_a_frame": 10,
        "median_seconds": statistics.median(seconds),
        "all": seconds,
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    scenes = [scene(seed) for seed in range(SCENES)]
    result: dict[str, Any] = {"machine": measure.machine(), "trackers": {}}
    for kind in ("iou", "bytetrack"):
        try:
            result["trackers"][kind] = tracked(kind, scenes)
        except DrfmError as error:
            result["trackers"][kind] = {"left out": str(error)}
        measure.say(f"{kind}: {result['trackers'][kind]}")
    result["video"] = video_seconds(options.repeats)
    measure.say(f"video: {result['video']}")
    if options.out:
        measure.write(options.out, result)


if __name__ == "__main__":
    main()
