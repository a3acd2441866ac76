"""The sharp captures that a super-resolution network is trained on, and those that measure it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from drfm.data.choices import Kernel
from drfm.data.imagefile import open_image
from drfm.data.manifest import load_benchmark
from drfm.data.parallel import map_files
from drfm.data.records import Benchmark, Entry
from drfm.errors import DrfmError
from drfm.resolution.build import load
from drfm.resolution.choices import SRChoices
from drfm.resolution.patches import Patches

Pixels = npt.NDArray[np.uint8]
MIXED: tuple[Kernel, ...] = ("bicubic", "bilinear", "lanczos", "box")


@dataclass(frozen=True)
class Captures:
    """HR captures of the training part of a benchmark; query and gallery are never opened.

    Attributes:
        benchmark: where they are from.
        train: to train on.
        held: to measure on; none of their persons is in ``train`` where ``held_by`` says so.
        held_by: ``"persons"`` or ``"images"``.
        rates: at which captures are made small.
        kernels: that do it, and the rounding of sizes.
        skipped: (name, reason) of captures that cannot be used.
    """

    benchmark: Benchmark
    train: tuple[Entry, ...]
    held: tuple[Entry, ...]
    held_by: str
    rates: tuple[int, ...]
    kernels: tuple[Kernel, ...]
    rounding: Literal["floor", "round"]
    skipped: tuple[tuple[str, str], ...] = ()

    def facts(self) -> dict[str, Any]:
        """For the record of a result."""
        source = self.benchmark
        return {
            "benchmark": {"id": source.id, "name": source.name, "split": source.split},
            "captures": {"train": len(self.train), "held": len(self.held), "held_by": self.held_by,
                         "skipped": len(self.skipped)},
            "rates": list(self.rates),
            "kernels": list(self.kernels),
        }  # fmt: skip


def find_captures(folder: Path, choices: SRChoices, split: int = 0) -> Captures:
    """The HR captures of a benchmark's training part, without those that cannot be read.

    Raises:
        DrfmError: no manifest, or too few captures that can be used.
    """
    benchmark = load_benchmark(folder, split, verify=False)
    sharp = tuple(entry for entry in benchmark.train if entry.resolution == "hr")
    rates, kernels = _degradations(benchmark, choices)
    problems = map_files(lambda entry: _problem(entry, choices, rates), sharp, "checking captures")
    good = tuple(entry for entry, problem in zip(sharp, problems, strict=True) if not problem)
    skipped = tuple((e.name, text) for e, text in zip(sharp, problems, strict=True) if text)
    if len(good) < 2:
        first = f", the first because: {skipped[0][1]}" if skipped else ""
        raise DrfmError(
            f"{folder}: has {len(good)} HR captures to train on, of {len(sharp)}{first}; give 2 or more"
        )
    by, held = hold_out(good, choices, benchmark.id)
    return Captures(
        benchmark,
        train=tuple(entry for entry in good if entry.name not in held),
        held=tuple(entry for entry in good if entry.name in held),
        held_by=by,
        rates=rates,
        kernels=kernels,
        rounding=cast(Literal["floor", "round"], benchmark.choices.get("rounding", "floor")),
        skipped=skipped,
    )


def _degradations(benchmark: Benchmark, choices: SRChoices) -> tuple[tuple[int, ...], tuple[Kernel, ...]]:
    made = cast(dict[str, Any], benchmark.choices)
    rates = choices.rates or tuple(rate for rate in made.get("rates", ()) if rate <= choices.rate)
    if choices.kernel == "mixed":
        kernels = MIXED
    else:
        kernels = (made.get("kernel", "bicubic") if choices.kernel == "benchmark" else choices.kernel,)
    return rates or (choices.rate,), kernels


def _problem(entry: Entry, choices: SRChoices, rates: Sequence[int]) -> str:
    """Why a capture cannot be used; empty if it can."""
    try:
        height, width = load(entry).shape[:2]
    except DrfmError as error:
        return str(error)
    needed = tuple(side * max(rates) for side in choices.patch)
    if height < needed[0] or width < needed[1]:
        return f"{entry.path}: {height}x{width} pixels; patches need {needed[0]}x{needed[1]} (option patch)"
    return ""


def hold_out(entries: Sequence[Entry], choices: SRChoices, salt: str) -> tuple[str, set[str]]:
    """What is held out, ``"persons"`` or ``"images"``, and the names of those captures.

    Identities decide nothing but this: which captures measure the result. A training that reads none
    at all takes ``hold_out = images``; then captures of one person may stand on both sides.
    """
    known = any(entry.person >= 0 for entry in entries)
    if choices.hold_out == "persons" and not known:
        raise DrfmError("hold_out = persons: no person of this benchmark is known; give images")
    by = "persons" if known and choices.hold_out != "images" else "images"
    unit = {e.name: str(e.person) if by == "persons" and e.person >= 0 else e.name for e in entries}
    units = sorted(set(unit.values()), key=lambda text: hashlib.blake2b(f"{salt}|{text}".encode()).digest())
    chosen = set(units[: min(len(units) - 1, max(1, round(choices.held * len(units))))])
    return by, {name for name, value in unit.items() if value in chosen}


def patches(captures: Captures, choices: SRChoices) -> Patches:
    """Random patches of the captures to train on."""
    paths = [entry.path for entry in captures.train]
    return Patches(
        count=len(paths),
        read=lambda row: open_image(paths[row]),
        patch=choices.patch,
        magnify=choices.rate,
        rates=captures.rates,
        kernels=captures.kernels,
        kind=choices.degradation,
        seed=choices.seed,
    )
