"""Super-resolution of an image store beside the same network on equal batches already in memory.

    python benchmarks/sr.py BENCHMARK --model FOLDER --images 400 --repeats 2

The pipeline reads, checks, decodes, twins, super-resolves, resizes, checksums and writes the store. The
network alone gets the same images, padded to whole windows, in batches that are tensors already, and their
interpolated versions if it is a residual on them. The two
are measured in turn (A B A B), each in seconds for the same images; the bar is a loss of less than 15 %.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from drfm.config.schema import ImagesConfig
from drfm.data.manifest import load_benchmark
from drfm.data.records import Entry
from drfm.engine.allocator import keep_freed_memory
from drfm.resolution.build import load
from drfm.resolution.network import enlarge
from drfm.resolution.store import open_pairs
from drfm.resolution.swin2sr import _PIXELS, Pixels, Swin2SR

Batch = tuple[torch.Tensor, torch.Tensor | None]


def batches(entries: list[Entry], network: Swin2SR) -> list[Batch]:
    """The captures as the pipeline batches them, float32, and what a residual network adds to."""
    by_size: dict[tuple[int, int], list[Pixels]] = {}
    for entry in entries:
        image = load(entry)
        by_size.setdefault(network.magnifier.padded(image), []).append(image)
    magnifier, found = network.magnifier, list[Batch]()
    for (height, width), images in by_size.items():
        step = max(1, _PIXELS[network.device.type] // (height * width))
        for start in range(0, len(images), step):
            given = magnifier._prepared(images[start : start + step])
            base = None if given.base is None else magnifier._tensor(given.base)
            found.append((magnifier._tensor(given.small), base))
    return found


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Wall clock and processor time; the second says little of a GPU, but other load changes it less."""
    start, used = time.perf_counter(), time.process_time()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start, time.process_time() - used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("benchmark", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--size", default="128x64", help="of HR- and LR-space images")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    keep_freed_memory()  # as `drfm train` does, which makes most stores
    height, width = (int(side) for side in args.size.split("x"))
    options = ImagesConfig(
        hr_size=(height, width), lr_size=(height, width), sr="swin2sr", sr_model=args.model
    )
    benchmark = load_benchmark(args.benchmark, verify=False)
    entries = [entry for entry in benchmark.train if entry.resolution == "lr"][: args.images]
    network = Swin2SR(args.model, options.sr_rate, "auto")
    ready = batches(entries, network)
    half = network.device.type == "cuda"

    @torch.inference_mode()
    def alone() -> None:
        for batch, base in ready:
            with torch.autocast(network.device.type, torch.float16, enabled=half):
                enlarge(network.magnifier.network, batch, base)

    def pipeline() -> None:
        cache = Path(tempfile.mkdtemp())
        try:
            open_pairs(entries, options, cache, workers=1, resolver=network)
        finally:
            shutil.rmtree(cache)

    alone()
    times: dict[str, list[tuple[float, float]]] = {"network": [], "pipeline": []}
    for _ in range(args.repeats):
        times["network"].append(seconds(alone))
        times["pipeline"].append(seconds(pipeline))
    wall, used = (
        {side: statistics.median(pair[i] for pair in pairs) for side, pairs in times.items()} for i in (0, 1)
    )
    result = {
        "benchmark": benchmark.id,
        "images": len(entries),
        "device": str(network.device),
        "threads": torch.get_num_threads(),
        "seconds": times,
        "images_per_second": {side: len(entries) / value for side, value in wall.items()},
        "share": wall["network"] / wall["pipeline"],
        "share_of_processor_time": used["network"] / used["pipeline"],
    }
    text = json.dumps(result, indent=1)
    print(text)
    if args.out:
        args.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
