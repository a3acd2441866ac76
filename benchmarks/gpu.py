"""Every bar of training that needs a GPU, in one command.

    python benchmarks/gpu.py BENCHMARK --out gpu
    python benchmarks/gpu.py BENCHMARK --out gpu --parts rates waits memory

BENCHMARK is MLR-Market-1501 as `drfm data build` made it. The parts:

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
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import measure

HERE = Path(__file__).resolve().parent
PARTS = ("rates", "waits", "kernels", "epochs", "precision", "memory")
SEEDS = (1, 2, 3)
EPOCHS, MINUTES, GIGABYTES = 40, 20, 16
PROFILED = 3
"""Steps that the profiler watches."""

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
        "rates": rates, "waits": waits, "kernels": kernels, "epochs": epochs, "precision": precision,
        "memory": memory,
    }  # fmt: skip
    result: dict[str, Any] = {"machine": measure.machine(), "device": options.device}
    for part in options.parts:
        result[part] = works[part](options)
        measure.say(f"{part}: {json.dumps(result[part])}")
        measure.write(options.out / "gpu.json", result)


if __name__ == "__main__":
    main()
