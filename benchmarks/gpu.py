"""Every bar of training that needs a GPU, in one command.

    python benchmarks/gpu.py BENCHMARK --out gpu
    python benchmarks/gpu.py BENCHMARK --out gpu --parts rates waits memory

BENCHMARK is MLR-Market-1501 as `drfm data build` made it. The parts:

norms      BatchNorm on every map of the backbone: two parts by the kernels and by the loop, one by torch
rates      a step beside the bare encoders, and extraction beside the bare forward pass (training.py)
kernels    which operations and kernels take the time of a step
waits      how often a step makes the host wait for the GPU
epochs     the 40 epochs of the paper in bfloat16, stopped half-way and resumed; bar: 20 minutes. With fewer
           --epochs the minutes of 40 are computed from the median epoch, and the record says so
precision  bfloat16 beside float32 on three seeds; bar: within the spread of the seeds
memory     steps of the `paper` preset under a cap; bar: 16 GB, with or without checkpointing

With `--device cpu` everything but the cap and the waits is done in the same way, which is what tests do.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn

import measure

HERE = Path(__file__).resolve().parent
PARTS = ("norms", "rates", "waits", "kernels", "epochs", "precision", "memory")
SEEDS = (1, 2, 3)
EPOCHS, MINUTES, GIGABYTES = 40, 20, 16
PROFILED = 3
"""Steps that the profiler watches."""
PASSES, REPLAYS = 10, 5
"""Passes of a norm in a recording, and replays of it that are measured."""
WALKS = 8
"""Walks over a map in its memory that a norm cannot do without: three forward, five backward."""

Options = argparse.Namespace


def train(options: Options, run: Path, *words: object, cap: float = 0.0) -> dict[str, Any]:
    """Train a run in a process of its own, under a cap of its GPU memory in GB if one is given."""
    start = (
        [sys.executable, str(HERE / "gpu.py"), "--capped", str(cap)]
        if cap
        else [sys.executable, "-m", "drfm"]
    )
    command = [
        *start,
        "train",
        str(options.benchmark),
        "--run",
        str(run),
        "--cache",
        str(options.out / "cache"),
    ]
    command += ["--train.device", options.device, *options.words, *map(str, words)]
    begun = time.perf_counter()
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    found: dict[str, Any] = {"seconds": time.perf_counter() - begun, "code": ran.returncode}
    if ran.returncode:
        return found | {"error": ran.stderr.strip().splitlines()[-1]}
    record = json.loads((run / "record.json").read_text(encoding="utf-8"))
    return found | {"headline": record.get("headline")}


def norms(options: Options) -> dict[str, Any]:
    """Forward and backward of BatchNorm on the maps that the labelled pairs of a step have."""
    from drfm.learning import batchnorm

    device = torch.device(options.device)
    sides: dict[str, tuple[int, bool]] = {
        "kernels": (2, True),
        "loop": (2, False),
        "torch, one part": (0, True),
    }
    rows, total = [], dict.fromkeys(sides, 0.0)
    for shape, count in maps(options, device).items():
        row: dict[str, Any] = {"map": "x".join(map(str, shape)), "norms": count}
        for name, (groups, allowed) in sides.items():
            refused = mock.patch.object(batchnorm, "_kernels_for", return_value=None)
            with nullcontext() if allowed else refused:
                milliseconds = norm_ms(shape, groups, device)
            size = WALKS * math.prod(shape) * torch.bfloat16.itemsize
            row[name] = {"ms": milliseconds, "gb_per_s": size / milliseconds / 1e6}
            total[name] += count * milliseconds
        rows.append(row)
    return {"rows": rows, "ms_of_one_backbone": total, "kernels_refused": batchnorm.kernels_refused()}


def maps(options: Options, device: torch.device) -> Counter[tuple[int, ...]]:
    """Shapes of what the BatchNorms of the backbone are given, with their number."""
    from drfm.models.backbones import build_backbone

    found: Counter[tuple[int, ...]] = Counter()
    backbone = build_backbone(options.backbone, 1).to(device=device, memory_format=torch.channels_last)
    for child in backbone.modules():
        if isinstance(child, nn.BatchNorm2d):
            child.register_forward_pre_hook(lambda _, given: found.update([tuple(given[0].shape)]))
    height, width = map(int, options.size.split("x"))
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
        backbone(torch.zeros(options.batch, 3, height, width, device=device))
    return found


def norm_ms(shape: tuple[int, ...], groups: int, device: torch.device) -> float:
    """Milliseconds of a training pass of BatchNorm in bfloat16, replayed on a GPU; torch's for 0 groups."""
    from drfm.learning.batchnorm import group_batchnorm

    norm = nn.BatchNorm2d(shape[1]).to(device)
    if groups:
        group_batchnorm(norm, groups)
    x, dy = (
        torch.randn(shape, device=device, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
        for _ in range(2)
    )
    x.requires_grad_()

    def passes() -> None:
        for _ in range(PASSES):
            torch.autograd.grad(norm(x), [x, *norm.parameters()], dy)

    if device.type != "cuda":
        begun = time.perf_counter()
        passes()
        return (time.perf_counter() - begun) * 1e3 / PASSES
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        passes()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        passes()
    graph.replay()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(REPLAYS):
        graph.replay()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / PASSES / REPLAYS  # type: ignore[no-any-return]


def rates(options: Options) -> dict[str, Any]:
    """What training.py measures, on the GPU."""
    out = options.out / "rates.json"
    words = [sys.executable, str(HERE / "training.py"), "--device", options.device, "--out", str(out)]
    words += ["--backbones", options.backbone, "--sizes", options.size, "--batch", str(options.batch)]
    words += ["--precision", "bfloat16", "--repeats", str(options.repeats), "--parts", "step", "extraction"]
    subprocess.run(words, check=True)
    return json.loads(out.read_text(encoding="utf-8"))["cases"]  # type: ignore[no-any-return]


def waits(options: Options) -> dict[str, Any]:
    """Warnings of PyTorch about waiting, over four steps."""
    import training

    device = torch.device(options.device)
    step = training.make_step(
        training.configured(options.backbone, options.size, options.batch, 16, "bfloat16"), device
    )
    for _ in range(2):
        step()
    if device.type != "cuda":
        return {"waits_in_4_steps": None, "note": "no GPU to wait for"}
    torch.cuda.set_sync_debug_mode("warn")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(4):
            step()
    torch.cuda.set_sync_debug_mode("default")
    places = {f"{Path(w.filename).name}:{w.lineno}": str(w.message)[:120] for w in caught}
    return {"waits_in_4_steps": len(caught), "places": places}


def kernels(options: Options) -> list[dict[str, Any]]:
    """The operations and kernels that took longest in a step, by PyTorch's profiler."""
    from torch.profiler import ProfilerActivity, profile

    import training

    device = torch.device(options.device)
    step = training.make_step(
        training.configured(options.backbone, options.size, options.batch, 16, "bfloat16"), device
    )
    for _ in range(5):
        step()
    gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if gpu else ProfilerActivity.CPU]) as watched:
        for _ in range(PROFILED):
            step()
        if gpu:
            torch.cuda.synchronize()
    took = "self_device_time_total" if gpu else "self_cpu_time_total"
    found = sorted(watched.key_averages(), key=lambda each: getattr(each, took), reverse=True)
    return [
        {"name": each.key[:120], "ms_a_step": round(getattr(each, took) / 1e3 / PROFILED, 3),
         "calls_a_step": each.count / PROFILED}
        for each in found[:30]
    ]  # fmt: skip


def epochs(options: Options) -> dict[str, Any]:
    """A whole run in two halves."""
    run, low = options.out / "epochs", ("--train.precision", "bfloat16")
    first = train(options, run, *low, "--train.epochs", options.epochs // 2)
    second = train(options, run, *low, "--train.epochs", options.epochs)
    found: dict[str, Any] = {"halves": [first, second], "epochs": options.epochs}
    if first["code"] or second["code"]:
        return found | {"met": False}
    lines = (run / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    found["seconds"] = [json.loads(line)["seconds"] for line in lines]
    # Starting, testing and making the image store are no epochs: both halves have them once.
    each = statistics.median(sum(seconds.values()) for seconds in found["seconds"])
    whole = first["seconds"] + second["seconds"]
    found["minutes"] = (whole + (EPOCHS - options.epochs) * each) / 60
    found["rest_share"] = statistics.median(1 - (s["steps"] + s["extract"]) / sum(s.values())
                                            for s in found["seconds"])  # fmt: skip
    return found | {"measured": options.epochs == EPOCHS, "met": found["minutes"] < MINUTES}


def precision(options: Options) -> dict[str, Any]:
    """Rank-1 in either arithmetic by seed: the mean difference beside the spread of the seeds."""
    found: dict[str, list[Any]] = {}
    for name in ("float32", "bfloat16"):
        runs = [
            train(options, options.out / f"{name}-{seed}", "--train.precision", name, "--seed", seed,
                  "--train.epochs", options.epochs)
            for seed in SEEDS
        ]  # fmt: skip
        failed = [run["error"] for run in runs if run["code"]]
        if failed:
            return {"error": failed[0]}
        found[name] = [run["headline"]["rank1"] for run in runs]
    difference = statistics.mean(found["bfloat16"]) - statistics.mean(found["float32"])
    spread = max(found["float32"]) - min(found["float32"])
    return {"rank1": found, "difference": difference, "spread": spread, "met": abs(difference) <= spread}


def memory(options: Options) -> dict[str, Any]:
    """One short epoch under the cap, plain and with checkpointing."""
    cap = options.cap if options.device.startswith("cuda") else 0.0
    short = ("--train.epochs", 1, "--train.iterations", options.steps, "--loss.ps_start", 0, "--profile")
    found: dict[str, Any] = {"cap_gb": cap or None}
    for name, saving in (("plain", "false"), ("checkpointing", "true")):
        run = options.out / f"memory-{name}"
        found[name] = train(options, run, *short, "--train.checkpointing", saving, cap=cap)
        if not found[name]["code"]:
            profile = json.loads((run / "profile.json").read_text(encoding="utf-8"))
            found[name]["peak_memory_bytes"] = profile["epochs"][-1]["peak_memory_bytes"]
    found["met"] = not (found["plain"]["code"] and found["checkpointing"]["code"]) if cap else None
    return found


def capped(words: list[str]) -> int:
    """The command line of drfm in a process that may use so many GB of the GPU."""
    from drfm.cli import main as drfm

    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, float(words[0]) * 1e9 / total))
    return drfm(words[1:])


def main() -> None:
    """Read the command line and measure; results are written after every part."""
    if sys.argv[1:2] == ["--capped"]:
        sys.exit(capped(sys.argv[2:]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("benchmark", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--size", default="256x128")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--steps", type=int, default=20, help="steps under the cap")
    parser.add_argument("--cap", type=float, default=GIGABYTES, help="GB of the GPU that `memory` may use")
    parser.add_argument("--words", nargs=argparse.REMAINDER, default=[], help="for `drfm train`; comes last")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    works: dict[str, Callable[[Options], Any]] = {
        "norms": norms, "rates": rates, "waits": waits, "kernels": kernels, "epochs": epochs,
        "precision": precision, "memory": memory,
    }  # fmt: skip
    result: dict[str, Any] = {"machine": measure.machine(), "device": options.device}
    for part in options.parts:
        result[part] = works[part](options)
        measure.say(f"{part}: {json.dumps(result[part])}")
        measure.write(options.out / "gpu.json", result)


if __name__ == "__main__":
    main()
