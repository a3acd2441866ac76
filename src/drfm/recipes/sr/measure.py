"""PSNR and SSIM of super-resolved captures beside bicubic interpolation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from drfm.data.imagefile import open_image
from drfm.data.parallel import map_files
from drfm.data.records import Entry
from drfm.recipes.sr.captures import Captures
from drfm.resolution.degradation import Degradation, degrade
from drfm.resolution.downsample import resize
from drfm.resolution.quality import psnr, ssim

Pixels = npt.NDArray[np.uint8]
Resolve = Callable[[Sequence[Pixels]], list[Pixels]]
_GROUP = 256
"""Captures in memory at once."""


@dataclass(frozen=True)
class Shown:
    """One capture: made small, interpolated, super-resolved, and itself; ``(H, W, 3)`` uint8 each."""

    small: Pixels
    bicubic: Pixels
    resolved: Pixels
    sharp: Pixels


def examples(
    captures: Captures, entries: Sequence[Entry], rate: int, kind: Degradation, resolve: Resolve
) -> list[Shown]:
    """Captures made small by ``rate`` and brought back to their own size, by interpolation and by a back end.

    What a back end magnifies by another rate is resized, as in the image store. The interpolation goes to
    the final size at once. The realistic degradation of a capture depends on its name alone.
    """
    made = map_files(lambda entry: _small(captures, entry, rate, kind), entries, "making small")
    large = resolve([small for small, _ in made])
    return [
        Shown(small, resize(small, _size(sharp)), resize(image, _size(sharp)), sharp)
        for (small, sharp), image in zip(made, large, strict=True)
    ]


def _size(image: Pixels) -> tuple[int, int]:
    return image.shape[0], image.shape[1]


def _small(captures: Captures, entry: Entry, rate: int, kind: Degradation) -> tuple[Pixels, Pixels]:
    sharp = open_image(entry.path)
    random = np.random.default_rng(np.frombuffer(entry.name.encode(), dtype=np.uint8))
    kernel, rounding = captures.kernels[0], captures.rounding
    return degrade(sharp, rate, kind=kind, kernel=kernel, rounding=rounding, random=random), sharp


def measure(
    captures: Captures, rate: int, kind: Degradation, resolve: Resolve, limit: int = 0
) -> dict[str, Any]:
    """Scores of the held-out captures at one rate: means, and the gain over bicubic with its spread.

    Args:
        captures: whose ``held`` are measured.
        rate: at which they are made small.
        kind: of the degradation.
        resolve: magnifies a list of images.
        limit: measure the first so many only; 0 means all.
    """
    entries = captures.held[: limit or None]
    rows: list[list[float]] = []
    for start in range(0, len(entries), _GROUP):
        group = entries[start : start + _GROUP]
        shown = examples(captures, group, rate, kind, resolve)
        rows += map_files(_scores, shown, "measuring")
    return {"rate": rate, "degradation": kind, "images": len(rows), **summary(np.array(rows))}


def _scores(shown: Shown) -> list[float]:
    return [score(image, shown.sharp) for score in (psnr, ssim) for image in (shown.bicubic, shown.resolved)]


def summary(rows: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Means of ``(N, 4)`` scores (PSNR and SSIM, each bicubic and network), and gains with their spread."""
    found: dict[str, Any] = {}
    for name, first in (("psnr", 0), ("ssim", 2)):
        gain = rows[:, first + 1] - rows[:, first]
        found[name] = {
            "bicubic": float(rows[:, first].mean()),
            "model": float(rows[:, first + 1].mean()),
            "gain": float(gain.mean()),
            "gain_std": float(gain.std(ddof=1)) if len(gain) > 1 else 0.0,
            "better": float((gain > 0).mean()),
        }
    return found


def line(scores: dict[str, Any]) -> str:
    """One rate in one plain line."""
    p, s = scores["psnr"], scores["ssim"]
    return (
        f"x{scores['rate']} {scores['degradation']}: PSNR {p['model']:.2f} dB, bicubic {p['bicubic']:.2f} "
        f"({p['gain']:+.2f} ± {p['gain_std']:.2f} over {scores['images']} images); "
        f"SSIM {s['model']:.4f}, bicubic {s['bicubic']:.4f} ({s['gain']:+.4f} ± {s['gain_std']:.4f})"
    )
