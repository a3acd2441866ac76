"""Training beside the bare network: batches, steps, extraction, and what an epoch spends on the rest.

    python benchmarks/training.py --out benchmarks/results/training.json
    python benchmarks/training.py --backbones resnet50 --sizes 256x128 --device cuda --precision bfloat16

The two sides of a comparison take turns in one process, A B A B, on tensors of the same shapes;
the ratio is that of their medians.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import measure
from drfm.config import AugmentConfig, Config
from drfm.config.load import load_config
from drfm.data.records import HR, LR
from drfm.engine.schedule import Stream, epoch_seed
from drfm.learning.batch import Selection
from drfm.learning.batches import make_batch
from drfm.learning.batchnorm import group_batchnorm
from drfm.methods import build_method
from drfm.models.build import build_model
from drfm.models.extract import extract
from drfm.resolution.pairs import PairSet, pairs_from_arrays

PERSONS, EACH = 48, 12
"""Persons and images of the stand-in for a data set; half of the images of a person are LR captures."""


def stand_in(height: int, width: int) -> PairSet:
    """Random images of ``PERSONS`` x ``EACH`` pairs."""
    random = np.random.default_rng(0)
    count = PERSONS * EACH
    images = random.integers(0, 256, (2, count, height, width, 3), dtype=np.uint8)
    return pairs_from_arrays(images[0], images[1], np.tile([HR, LR], count // 2))


def clustered(count: int, dimension: int, seed: int = 0) -> Tensor:
    """Unit rows in which the images of a person are near each other."""
    generator = torch.Generator().manual_seed(seed)
    person = torch.arange(count) // EACH
    centres = torch.randn(PERSONS, dimension, generator=generator)
    rows = centres[person] + 0.7 * torch.randn(count, dimension, generator=generator)
    return torch.nn.functional.normalize(rows)


def take_turns(sides: dict[str, Callable[[], Any]], repeats: int, device: torch.device) -> dict[str, Any]:
    """Seconds of each side, in turn; medians, and every measurement."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(repeats + 1):
        for name, work in sides.items():
            _wait(device)
            start = time.perf_counter()
            work()
            _wait(device)
            if turn:  # the first is a warm-up
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return {"median": medians, "all": {k: [round(s, 4) for s in v] for k, v in seconds.items()}}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def batches(height: int, width: int, repeats: int) -> dict[str, Any]:
    """Images a second from the store to augmented, normalised batches, on one core."""
    pairs, random = stand_in(height, width), np.random.default_rng(0)
    generator = torch.Generator()
    rows = [random.integers(0, len(pairs), 64) for _ in range(8)]
    config = AugmentConfig(erase=0.5)

    def work() -> None:
        for some in rows:
            make_batch(pairs, some, config, generator)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = take_turns({"batches": work}, repeats, torch.device("cpu"))["median"]["batches"]
    torch.set_num_threads(threads)
    return {"images_per_second": 2 * 64 * len(rows) / seconds}


def steps(config: Config, device: torch.device, repeats: int) -> dict[str, Any]:
    """A step of DRFM, with images, losses, memories and optimiser, beside its bare encoders."""
    height, width = config.images.hr_size
    pairs = stand_in(height, width)
    trained, bare = (build_model(config.model, seed=1) for _ in range(2))
    group_batchnorm(trained, config.train.bn_groups)
    for model in (trained, bare):
        model.to(device=device, memory_format=torch.channels_last)
    method = build_method(config, trained, pairs)
    features = {
        space: clustered(len(pairs), trained.dimension, seed)
        for seed, space in enumerate(("hr", "lr", "fused"))
    }
    features["lr"] = features["fused"] = features["hr"]
    labels = method.relabel(features, 0)
    epoch = config.loss.ps_start
    stream = method.selections(labels, epoch, np.random.default_rng(epoch_seed(1, 0, Stream.SAMPLER)))
    generator = torch.Generator()
    optimiser = torch.optim.Adam(trained.parameters(), lr=1e-5, weight_decay=5e-4, fused=True)
    low = config.train.precision == "bfloat16"
    counts = [config.sampler.batch, config.loss.ps_batch]
    images = [
        torch.randn(n, 3, height, width, device=device).contiguous(memory_format=torch.channels_last)
        for n in counts
        if n
    ]
    encoders = torch.nn.ModuleList([bare.hr_encoder, bare.lr_encoder]).train()
    plain = torch.optim.Adam(encoders.parameters(), lr=1e-5, weight_decay=5e-4, fused=True)
    trained.train()

    def ours() -> None:
        selection: Selection = next(stream)
        batch = make_batch(pairs, selection.labelled, config.augment, generator, device, method.views)
        doubtful = make_batch(pairs, selection.ambiguous, config.augment, generator, device, method.views)
        losses = method.losses(batch, doubtful if len(selection.ambiguous) else None, epoch)
        optimiser.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
        method.after_step()

    def theirs() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=low):
            outs = [encoder(some)[0] for some in images for encoder in encoders]
        plain.zero_grad(set_to_none=True)
        torch.cat([out.float() for out in outs]).sum().backward()
        plain.step()

    found = take_turns({"bare": theirs, "drfm": ours}, repeats, device)
    found["ambiguous"] = len(next(stream).ambiguous)
    found["ratio"] = found["median"]["drfm"] / found["median"]["bare"]
    found["pairs_per_second"] = sum(counts) / found["median"]["drfm"]
    return found


def extraction(config: Config, device: torch.device, repeats: int) -> dict[str, Any]:
    """Features of all pairs beside the bare forward pass over batches that lie in memory."""
    height, width = config.images.hr_size
    pairs = stand_in(height, width)
    model = build_model(config.model, seed=1).to(device=device, memory_format=torch.channels_last).eval()
    size, low = config.train.extract_batch, config.train.precision == "bfloat16"
    count = min(len(pairs), 4 * size)
    few = pairs_from_arrays(pairs.hr[:count], pairs.lr[:count], pairs.origin[:count])
    image = torch.randn(size, 3, height, width, device=device).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def bare() -> None:
        for start in range(0, count, size):
            part = image[: min(size, count - start)]
            with torch.autocast(device.type, torch.bfloat16, enabled=low):
                model(part, part)

    def ours() -> None:
        extract(model, few, device=device, batch_size=size, precision=config.train.precision)

    found = take_turns({"bare": bare, "extract": ours}, repeats, device)
    found["ratio"] = found["median"]["extract"] / found["median"]["bare"]
    found["pairs_per_second"] = count / found["median"]["extract"]
    return found


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=["efficientnet_lite0", "resnet50"])
    parser.add_argument("--sizes", nargs="+", default=["128x64", "256x128"])
    parser.add_argument("--batch", type=int, default=64, help="labelled pairs in a step")
    parser.add_argument("--ambiguous", type=int, default=16, help="ambiguous pairs in a step")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    result: dict[str, Any] = {"machine": measure.machine(), "precision": options.precision, "cases": {}}
    result["batches 256x128"] = batches(256, 128, options.repeats)
    measure.say(f"batches 256x128: {result['batches 256x128']['images_per_second']:.0f} images/s on one core")
    for backbone in options.backbones:
        for size in options.sizes:
            config = load_config(
                overrides={
                    "images.sr": "bicubic",
                    "images.hr_size": size,
                    "images.lr_size": size,
                    "model.backbone": backbone,
                    "model.weights": "random",
                    "labels.k1": 10,
                    "labels.k2": 3,
                    "sampler.batch": options.batch,
                    "loss.ps_batch": options.ambiguous,
                    "train.precision": options.precision,
                }
            ).config
            case = {
                "step": steps(config, device, options.repeats),
                "extraction": extraction(config, device, max(2, options.repeats // 2)),
            }
            result["cases"][f"{backbone} {size}"] = case
            measure.say(
                f"{backbone} {size}: step {case['step']['ratio']:.3f} times the bare encoders "
                f"({case['step']['pairs_per_second']:.1f} pairs/s), extraction "
                f"{case['extraction']['ratio']:.3f} times the bare forward pass "
                f"({case['extraction']['pairs_per_second']:.1f} pairs/s)"
            )
    if options.out:
        measure.write(options.out, result)


if __name__ == "__main__":
    main()
