"""Resizing and down-sampling with Pillow's antialiased kernels."""

import hashlib
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from drfm.config.schema import ImagesConfig, Size

Kernel = Literal["bicubic", "bilinear", "lanczos", "box"]

KERNELS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}
"""Kernel name to Pillow's filter. All widen with the reduction, so none of them aliases."""

RANDOM_RATES = (2, 3, 4)
"""Rates that ``images.twin_rates`` draws from, those of the MLR benchmarks (A6)."""


def resize(image: npt.NDArray[np.uint8], size: Size, kernel: Kernel = "bicubic") -> npt.NDArray[np.uint8]:
    """Resize ``image``, ``(H, W, 3)`` uint8 RGB, to ``size`` = (height, width) in pixels.

    An image that has this size already is returned as it is.
    """
    if image.shape[:2] == tuple(size):
        return image
    height, width = size
    return np.asarray(Image.fromarray(image).resize((width, height), KERNELS[kernel]))


def downsample(image: npt.NDArray[np.uint8], rate: int, kernel: Kernel = "bicubic") -> npt.NDArray[np.uint8]:
    """Reduce ``(H, W, 3)`` uint8 RGB to ``(max(1, H // rate), max(1, W // rate), 3)`` (A5)."""
    height, width = image.shape[:2]
    return resize(image, (max(1, height // rate), max(1, width // rate)), kernel)


def twin_rate(name: str, seed: int, images: ImagesConfig) -> int:
    """Rate of the down-sampled twin of the HR capture called ``name`` (A6).

    ``images.twin_rate``, or with ``images.twin_rates = "random"`` one of 2, 3 and 4 from
    a hash of ``seed`` and ``name``: the same on every machine and in every order.
    """
    if images.twin_rates != "random":
        return images.twin_rate
    digest = hashlib.blake2b(f"{seed}|{name}".encode(), digest_size=8).digest()
    return RANDOM_RATES[int.from_bytes(digest, "big") % len(RANDOM_RATES)]


def sr_rate(height: int, known_rate: int, images: ImagesConfig) -> int:
    """Rate by which an LR capture is magnified in the end (A4).

    ``images.sr_rate``; with ``images.sr_rates = "native"`` the rate that made the capture or, where that
    is unknown, its height's ratio to that of HR-space images, rounded; 1 to ``images.sr_rate``.

    Args:
        height: of the capture in pixels.
        known_rate: that made it; 1 where unknown.
        images: sizes and rates.
    """
    if images.sr_rates == "fixed":
        return images.sr_rate
    native = known_rate if known_rate > 1 else round(images.hr_size[0] / height)
    return min(max(1, native), images.sr_rate)
