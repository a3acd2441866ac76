"""Time and memory of one side of a comparison, each run in its own fresh process.

A side is a function ``name(path, options) -> result`` of a benchmark script, where
``path`` is a folder with the inputs. It loads its inputs, warms up, and wraps the
measured work in :func:`watched`.
"""

import contextlib
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VECTORS = {"avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_bf16", "amx_int8"}
"""Flags of processors that decide how fast products are."""


def machine() -> dict[str, Any]:
    """What the numbers were measured on: processor, cores, memory, and versions."""
    import torch

    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    names = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")]
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    versions = {}
    for name in ("numpy", "torch", "numba", "scikit-learn", "faiss-cpu", "scipy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "processor": names[0] if names else platform.processor(),
        "target": _host(),
        "vector": torch.backends.cpu.get_cpu_capability(),
        "flags": sorted(VECTORS & set(flags.split())),
        "blas": _blas(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(pages / 1e9, 1),
        "python": platform.python_version(),
        "versions": versions,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _blas() -> list[str]:
    """The libraries behind matrix products, with the processor that each believes to be on."""
    import threadpoolctl

    found = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    names = [f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')}" for pool in found]
    return [name.strip() for name in names] + ["torch: " + _torch_blas()]


def _torch_blas() -> str:
    import torch

    text = torch.__config__.show()
    return "MKL" if "BLAS_INFO=mkl" in text else "OpenBLAS" if "BLAS_INFO=open" in text else "unknown"


def _host() -> str:
    import llvmlite.binding

    return str(llvmlite.binding.get_host_cpu_name())


def resident() -> int:
    """Resident memory of this process in bytes."""
    return _status("VmRSS")


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {name} in /proc/self/status")


def _busy() -> float:
    """CPU seconds that the whole machine has worked since it started."""
    fields = [int(x) for x in Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def watched(result: dict[str, Any]) -> Iterator[None]:
    """Measure the block: wall and CPU seconds, peak memory above its start, load of other processes."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    before, busy, cpu, wall = resident(), _busy(), time.process_time(), time.perf_counter()
    yield
    result["seconds"] = time.perf_counter() - wall
    result["cpu_seconds"] = time.process_time() - cpu
    result["other_cores"] = max(0.0, _busy() - busy - result["cpu_seconds"]) / result["seconds"]
    result["peak_mb"] = (_status("VmHWM") - before) / 1e6
    result["base_mb"] = before / 1e6


def wait_until_idle(limit: float, load: float = 0.3) -> None:
    """Return once other processes use less than ``load`` cores, or after ``limit`` seconds."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        busy, cpu = _busy(), time.process_time()
        time.sleep(2)
        if (_busy() - busy - (time.process_time() - cpu)) / 2 < load:
            return


def fresh(script: Path, side: str, folder: Path, **options: Any) -> dict[str, Any]:
    """Run one side of ``script`` in a new process and return what it measured, or ``{"error": ...}``."""
    command = [
        sys.executable,
        str(script),
        "--side",
        side,
        "--folder",
        str(folder),
        "--options",
        json.dumps(options),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        return {"error": tail[0]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def alternate(
    script: Path, sides: list[str], folder: Path, repeats: int, *, idle: float = 0, **options: Any
) -> dict[str, Any]:
    """Run the sides in turn, A B A B, and return each one's runs with their medians.

    Before each run, wait up to ``idle`` seconds for other processes to be quiet.
    """
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for _ in range(repeats):
        for side in sides:
            if not any("error" in run for run in runs[side]):
                wait_until_idle(idle)
                runs[side].append(fresh(script, side, folder, **options))
                say(f"  {side}: {runs[side][-1].get('seconds', runs[side][-1].get('error'))}")
    return {side: summary(results) for side, results in runs.items()}


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of the measured numbers over runs, the other entries of the first run, and all seconds."""
    good = [run for run in runs if "error" not in run]
    if not good:
        return runs[0]
    out = dict(good[0])
    shares = ("share", "torch_share", "product_seconds", "torch_product_seconds")
    for name in ("seconds", "cpu_seconds", "peak_mb", "other_cores", *shares):
        if name in out:
            out[name] = statistics.median(run[name] for run in good)
    if "kinds" in out:
        out["kinds"] = {kind: summary([run["kinds"][kind] for run in good]) for kind in out["kinds"]}
    if "stages" in out:
        out["stages"] = {k: statistics.median(run["stages"][k] for run in good) for k in out["stages"]}
    out["all_seconds"] = [round(run["seconds"], 4) for run in good]
    return out


def say(text: str) -> None:
    """Progress on stderr; stdout carries the result."""
    sys.stderr.write(text + "\n")


def write(path: Path, value: Any) -> None:
    """Write a result as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")
