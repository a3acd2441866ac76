"""Sharp images made blurry: the benchmark's way, or the way of real cameras."""

import io
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.signal import fftconvolve

from drfm.data.choices import Kernel
from drfm.data.degrade import downsample

Degradation = Literal["benchmark", "realistic"]
Pixels = npt.NDArray[np.uint8]

SIGMA = (0.2, 0.6)
"""Standard deviation of the blur along each axis, in pixels of the small image: from hardly any to strong."""
NOISE = (0.0, 8.0)
"""Standard deviation of the sensor noise in grey levels."""
QUALITY = (40, 95)
"""JPEG quality, both ends included."""
_RADIUS = 3.0
"""Extent of a blur kernel in standard deviations."""


def degrade(
    image: Pixels,
    rate: int,
    *,
    kind: Degradation = "benchmark",
    kernel: Kernel = "bicubic",
    rounding: Literal["floor", "round"] = "floor",
    random: np.random.Generator,
) -> Pixels:
    """An image at 1/``rate`` of its size.

    ``benchmark`` only resizes. ``realistic`` does what stands between a distant person and a stored
    crop: anisotropic Gaussian blur of random widths and direction, resizing, sensor noise, JPEG.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        rate: 1 or more.
        kind: of the degradation.
        kernel: as in :func:`drfm.data.degrade.downsample`.
        rounding: as there.
        random: draws for ``realistic``; ``benchmark`` draws nothing.

    Returns:
        ``(h, w, 3)`` uint8.
    """
    if kind == "benchmark":
        return downsample(image, rate, kernel, rounding)
    wide, narrow = rate * random.uniform(*SIGMA, size=2)
    blurred = blur(image, wide, narrow, random.uniform(0, np.pi))
    small = downsample(blurred, rate, kernel, rounding).astype(np.float64)
    small += random.normal(0, random.uniform(*NOISE), small.shape)
    return jpeg(small.round().clip(0, 255).astype(np.uint8), int(random.integers(QUALITY[0], QUALITY[1] + 1)))


def gaussian(wide: float, narrow: float, angle: float) -> npt.NDArray[np.float64]:
    """An anisotropic Gaussian on whole pixels, ``(K, K)`` with odd K, that sums to 1.

    Args:
        wide: standard deviation along the first axis, in pixels, above 0.
        narrow: the same along the second.
        angle: of the first axis against the horizontal, in radians.
    """
    reach = int(np.ceil(_RADIUS * max(wide, narrow)))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    weights = np.exp(-0.5 * ((along / wide) ** 2 + (across / narrow) ** 2))
    return np.asarray(weights / weights.sum())


def blur(image: Pixels, wide: float, narrow: float, angle: float) -> Pixels:
    """``(H, W, 3)`` uint8 under the kernel of :func:`gaussian`, its border pixels continued outwards."""
    kernel = gaussian(wide, narrow, angle)
    reach = kernel.shape[0] // 2
    padded = np.pad(image.astype(np.float64), ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    smooth = fftconvolve(padded, kernel[..., None], mode="valid", axes=(0, 1))
    return np.asarray(smooth.round().clip(0, 255).astype(np.uint8))


def jpeg(image: Pixels, quality: int) -> Pixels:
    """``(H, W, 3)`` uint8 after JPEG of a quality from 1 to 95."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.array(Image.open(buffer))
