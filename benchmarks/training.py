"""Training beside the bare network: batches, steps, extraction, and what an epoch spends on the rest.

    python benchmarks/training.py --out benchmarks/results/training.json
    python benchmarks/training.py --backbones resnet50 --sizes 256x128 --device cuda --precision bfloat16

The two sides of a comparison take turns in one process, A B A B, on tensors of the same shapes;
the ratio is that of their medians.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import measure
import synthetic
from drfm.config import AugmentConfig, Config
from drfm.config.load import load_config
from drfm.data.records import HR, LR
from drfm.engine.allocator import keep_freed_memory
from drfm.engine.processes import Processes, joined, share_out
from drfm.engine.profile import Clock
from drfm.engine.schedule import Stream, epoch_seed
from drfm.engine.step import Step
from drfm.engine.trainer import Trainer
from drfm.learning.batches import make_batch
from drfm.learning.resident import Images
from drfm.methods import build_method
from drfm.models.build import build_model
from drfm.models.encoder import add_graphs
from drfm.models.extract import extract
from drfm.models.folding import folded
from drfm.resolution.pairs import PairSet, pairs_from_arrays

ALONE = Processes()
PARTS = ("batches", "step", "extraction", "rest", "processes")
WARM = {"cpu": 1, "cuda": 2}
"""Turns that are not counted; on a GPU the third step is recorded."""
BATCHES = {"cpu": 4, "cuda": 101}
"""Batches that are extracted; on a GPU those of an epoch of MLR-Market-1501, 12,936 pairs by 128."""
STEPS = {"cpu": 1, "cuda": 5}
"""Steps in a turn: in training too a GPU still computes a step when the next is asked for."""
PERSONS, EACH = 48, 12
"""Persons and images of the stand-in for a data set; half of the images of a person are LR captures."""


def stand_in(height: int, width: int, count: int = PERSONS * EACH) -> PairSet:
    """Random images of ``count`` pairs, by turns of HR and LR origin."""
    random = np.random.default_rng(0)
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
    warm = WARM[device.type]
    for turn in range(repeats + warm):
        for name, work in sides.items():
            _wait(device)
            start = time.perf_counter()
            work()
            _wait(device)
            if turn >= warm:
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return {"median": medians, "all": {k: [round(s, 4) for s in v] for k, v in seconds.items()}}


def _times(work: Callable[[], Any], count: int) -> None:
    for _ in range(count):
        work()


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


def make_step(config: Config, device: torch.device, processes: Processes = ALONE) -> Callable[[], Any]:
    """A step of DRFM as training takes it, with labels and memories of clustered features."""
    pairs = stand_in(*config.images.hr_size)
    model = build_model(config.model, seed=1)
    share_out(model, config, processes)
    model.to(device=device, memory_format=torch.channels_last).train()
    method = build_method(config, model, pairs)
    features = dict.fromkeys(("hr", "lr", "fused"), clustered(len(pairs), model.dimension))
    labels, epoch = method.relabel(features, 0), config.loss.ps_start
    stream = method.selections(labels, epoch, np.random.default_rng(epoch_seed(1, 0, Stream.SAMPLER)))
    step = Step(method, pairs, config, device, processes, Clock(device))
    return lambda: step(next(stream), epoch)


def steps(config: Config, device: torch.device, repeats: int) -> dict[str, Any]:
    """A step of DRFM, with images, losses, memories and optimiser, beside its bare encoders.

    On a GPU both sides replay CUDA graphs, or neither does (``train.graphs``).
    """
    ours, counts = make_step(config, device), [config.sampler.batch, config.loss.ps_batch]
    bare = build_model(config.model, seed=1).to(device=device, memory_format=torch.channels_last)
    encoders = torch.nn.ModuleList([bare.hr_encoder, bare.lr_encoder]).train()
    graphs = add_graphs(encoders) if config.train.graphs and device.type == "cuda" else []
    plain = torch.optim.Adam(encoders.parameters(), lr=1e-5, weight_decay=5e-4, fused=True)
    low, (height, width) = config.train.precision == "bfloat16", config.images.hr_size
    images = [
        torch.randn(n, 3, height, width, device=device).contiguous(memory_format=torch.channels_last)
        for n in counts
    ]

    def theirs() -> None:
        for each in graphs:
            each.begin()
        with torch.autocast(device.type, torch.bfloat16, enabled=low):
            outs = [encoder(some)[0] for some in images for encoder in encoders]
        plain.zero_grad(set_to_none=True)
        torch.cat([out.float() for out in outs]).sum().backward()
        plain.step()

    count = STEPS[device.type]
    sides = {"bare": theirs, "drfm": ours}
    found = take_turns({name: partial(_times, work, count) for name, work in sides.items()}, repeats, device)
    found["steps_a_turn"] = count
    found["median"] = {name: seconds / count for name, seconds in found["median"].items()}
    found["ratio"] = found["median"]["drfm"] / found["median"]["bare"]
    found["pairs_per_second"] = sum(counts) / found["median"]["drfm"]
    found |= {"graphs": bool(graphs), "refused": [each.refused for each in graphs if each.refused]}
    return found


def extraction(config: Config, device: torch.device, repeats: int) -> dict[str, Any]:
    """Features of all pairs beside the bare forward pass over batches that lie in memory.

    On a GPU also beside that pass with folded BatchNorm.
    """
    height, width = config.images.hr_size
    size, low = config.train.extract_batch, config.train.precision == "bfloat16"
    count = BATCHES[device.type] * size
    pairs = stand_in(height, width, count)
    model = build_model(config.model, seed=1).to(device=device, memory_format=torch.channels_last).eval()
    images = Images(pairs, ["hr", "lr"], device)
    image = torch.randn(size, 3, height, width, device=device).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def bare(network: torch.nn.Module) -> None:
        for start in range(0, count, size):
            part = image[: min(size, count - start)]
            with torch.autocast(device.type, torch.bfloat16, enabled=low):
                network(part, part)

    def ours() -> None:
        extract(model, pairs, device=device, batch_size=size, precision=config.train.precision,
                take=images.take, stay=True)  # fmt: skip

    sides = {"bare": partial(bare, model), "extract": ours}
    if device.type == "cuda":  # where `extract` leaves BatchNorm as it is
        sides["folded"] = partial(bare, folded(model))
    found = take_turns(sides, repeats, device)
    found["ratio"] = found["median"]["extract"] / found["median"]["bare"]
    found["pairs_per_second"] = count / found["median"]["extract"]
    return found


def rest(config: Config, images: int, size: int, repeats: int) -> dict[str, Any]:
    """What an epoch does beside steps and extraction: relabelling, memories, journal, checkpoint.

    The features of ``images`` pairs are made up (regime ``hard``), half of the pairs are HR captures; the
    model and Adam's state are those of the configuration, so the checkpoint has its true size. ``behind`` is
    what of its writing goes on beside the next epoch; it is counted as if it did not.
    """
    model = build_model(config.model, seed=1)
    tiny = np.zeros((images, 8, 8, 3), dtype=np.uint8)
    pairs = pairs_from_arrays(tiny, tiny, np.arange(images) % 2)
    method = build_method(config, model, pairs)
    rows = torch.from_numpy(synthetic.make(images, "hard", size=size).features)
    features = {"hr": rows, "lr": rows.clone(), "fused": rows.clone()}
    seconds: dict[str, list[float]] = {"relabel": [], "record": [], "behind": []}
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(method, pairs, config, Path(folder), torch.device("cpu"), "measured")
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        trainer.optimiser.step()
        for turn in range(repeats + 1):
            begun = time.perf_counter()
            labels = trainer.labels = method.relabel(features, 0)
            labelled = time.perf_counter()
            trainer._record(0, trainer._entry(0, labels, 1e-5))
            recorded = time.perf_counter()
            trainer._writer.wait()
            if turn:
                seconds["relabel"].append(labelled - begun)
                seconds["record"].append(recorded - labelled)
                seconds["behind"].append(time.perf_counter() - recorded)
        checkpoint = (Path(folder) / "checkpoint.pt").stat().st_size
    median = {name: statistics.median(times) for name, times in seconds.items()}
    return {"images": images, "median": median, "all": seconds, "checkpoint_bytes": checkpoint,
            "clusters": labels.clusters}  # fmt: skip


def share_of_rest(found: dict[str, Any], case: dict[str, Any], config: Config) -> float:
    """The rest's share of an epoch whose steps and extraction run at the measured rates."""
    rest_seconds = sum(found["median"].values())
    stepping = config.train.iterations * case["step"]["median"]["drfm"]
    extracting = found["images"] / case["extraction"]["pairs_per_second"]
    return rest_seconds / (rest_seconds + stepping + extracting)  # type: ignore[no-any-return]


def together(words: list[str], count: int) -> dict[str, Any]:
    """Pairs a second of ``count`` processes with one thread each, every one in a process of its own."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    command = [*start, str(Path(__file__).resolve()), "--one-of-several", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if ran.returncode:
        return {"error": (ran.stderr.strip().splitlines() or [f"exit status {ran.returncode}"])[-1]}
    return json.loads(ran.stdout.strip().splitlines()[-1])  # type: ignore[no-any-return]


def one_of_several(config: Config, repeats: int) -> None:
    """Print the median seconds of a step that all processes take together."""
    with joined("cpu") as (processes, _):
        torch.set_num_threads(1)
        found = take_turns({"step": make_step(config, torch.device("cpu"), processes)}, repeats,
                           torch.device("cpu"))  # fmt: skip
        pairs = config.sampler.batch + config.loss.ps_batch
        if processes.first:
            rate = pairs / found["median"]["step"]
            sys.stdout.write(json.dumps({**found, "pairs_per_second": rate}) + "\n")


def apart(words: list[str], count: int) -> dict[str, Any]:
    """Pairs a second of ``count`` processes that train side by side and know nothing of each other."""
    with ThreadPoolExecutor(count) as pool:
        runs = list(pool.map(lambda _: together(words, 1), range(count)))
    failed = [run for run in runs if "error" in run]
    return failed[0] if failed else {"pairs_per_second": sum(run["pairs_per_second"] for run in runs)}


def processes(options: argparse.Namespace) -> dict[str, Any]:
    """One process and two, in turn, one thread each; and two apart, which is what the cores can do."""
    words = ["--backbones", options.backbones[0], "--sizes", options.sizes[0], "--batch", str(options.batch),
             "--ambiguous", str(options.ambiguous), "--repeats", str(options.repeats)]  # fmt: skip
    found: dict[str, Any] = {}
    sides = {
        "1": partial(together, words, 1),
        "2": partial(together, words, 2),
        "apart": partial(apart, words, 2),
    }
    for _ in range(2):
        for name, side in sides.items():
            run = side()
            if "error" in run:
                return run
            found.setdefault(name, []).append(run["pairs_per_second"])
    median = {name: statistics.median(rates) for name, rates in found.items()}
    return {
        "pairs_per_second": found,
        "ratio": median["2"] / median["1"],
        "ratio_apart": median["apart"] / median["1"],
        "case": f"{options.backbones[0]} {options.sizes[0]}",
    }


def configured(
    backbone: str, size: str, batch: int, ambiguous: int, precision: str, graphs: bool = True
) -> Config:
    """The `paper` preset with what the stand-in needs."""
    changes = {
        "images.sr": "bicubic",
        "images.hr_size": size,
        "images.lr_size": size,
        "model.backbone": backbone,
        "model.weights": "random",
        "labels.k1": 10,
        "labels.k2": 3,
        "sampler.batch": batch,
        "loss.ps_batch": ambiguous,
        "train.precision": precision,
        "train.graphs": graphs,
    }
    return load_config(overrides=changes).config


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--backbones", nargs="+", default=["efficientnet_lite0", "resnet50"])
    parser.add_argument("--sizes", nargs="+", default=["128x64", "256x128"])
    parser.add_argument("--batch", type=int, default=64, help="labelled pairs in a step")
    parser.add_argument("--ambiguous", type=int, default=16, help="ambiguous pairs in a step")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=12936, help="pairs of the part `rest`")
    parser.add_argument("--no-graphs", action="store_true", help="neither side replays CUDA graphs")
    parser.add_argument("--one-of-several", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    keep_freed_memory()

    def config(backbone: str, size: str) -> Config:
        graphs = not options.no_graphs
        return configured(backbone, size, options.batch, options.ambiguous, options.precision, graphs)

    if options.one_of_several:
        one_of_several(config(options.backbones[0], options.sizes[0]), options.repeats)
        return
    torch.set_num_threads(options.threads)
    measure_all(options, config)


def measure_all(options: argparse.Namespace, config: Callable[[str, str], Config]) -> None:
    """The parts that are asked for; the record is written after each."""
    device = torch.device(options.device)
    result: dict[str, Any] = {
        "machine": measure.machine(), "precision": options.precision, "load": os.getloadavg(), "cases": {},
    }  # fmt: skip

    def note(text: str) -> None:
        measure.say(text)
        if options.out:
            measure.write(options.out, result)

    if "batches" in options.parts:
        result["batches 256x128"] = batches(256, 128, options.repeats)
        rate = result["batches 256x128"]["images_per_second"]
        note(f"batches 256x128: {rate:.0f} images/s on one core")
    for backbone in options.backbones:
        for size in options.sizes:
            case = result["cases"].setdefault(f"{backbone} {size}", {})
            if "step" in options.parts:
                case["step"] = steps(config(backbone, size), device, options.repeats)
                note(f"{backbone} {size}: {_said(case['step'], 'a step', 'the bare encoders')}")
            if "extraction" in options.parts:
                case["extraction"] = extraction(config(backbone, size), device, max(2, options.repeats // 2))
                note(f"{backbone} {size}: {_said(case['extraction'], 'extraction', 'the forward pass')}")
    if "rest" in options.parts:
        whole = load_config(overrides={"model.backbone": options.backbones[-1], "model.weights": "random"})
        dimension = build_model(whole.config.model, seed=1).dimension
        found = result["rest"] = rest(whole.config, options.images, dimension, max(1, options.repeats // 2))
        note(f"rest of an epoch: {sum(found['median'].values()):.2f} s for {found['images']} images")
        for name, case in result["cases"].items():
            if name.startswith(options.backbones[-1]) and {"step", "extraction"} <= case.keys():
                found.setdefault("share", {})[name] = share_of_rest(found, case, whole.config)
                note(f"  {found['share'][name]:.2%} of an epoch of {name}")
    if "processes" in options.parts:
        result["processes"] = processes(options)
        note(f"two processes: {result['processes']}")


def _said(found: dict[str, Any], ours: str, theirs: str) -> str:
    return f"{ours} {found['ratio']:.3f} times {theirs} ({found['pairs_per_second']:.1f} pairs/s)"


if __name__ == "__main__":
    main()
