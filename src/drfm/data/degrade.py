"""Down-sampling a sharp image to an LR one."""

from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from drfm.data.choices import Kernel
from drfm.errors import DrfmError

_PILLOW = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}

Pixels = npt.NDArray[np.uint8]


def downsampled_size(
    size: tuple[int, int], rate: int, rounding: Literal["floor", "round"]
) -> tuple[int, int]:
    """Height and width after down-sampling by ``rate``; halves round up, and at least 1 pixel stays."""
    extra = rate // 2 if rounding == "round" else 0
    return max(1, (size[0] + extra) // rate), max(1, (size[1] + extra) // rate)


def downsample(
    image: Pixels, rate: int, kernel: Kernel = "bicubic", rounding: Literal["floor", "round"] = "floor"
) -> Pixels:
    """An image at 1/``rate`` of its size.

    Args:
        image: ``(H, W, 3)`` uint8, 0..255.
        rate: whole number, 1 or more; 1 gives the image itself.
        kernel: as in :class:`~drfm.data.choices.BuildChoices`.
        rounding: of the size where ``rate`` does not divide it.

    Returns:
        ``(h, w, 3)`` uint8.

    Raises:
        DrfmError: ``rate`` is below 1 or the kernel is unknown.
    """
    if rate < 1:
        raise DrfmError(f"rate = {rate}: give 1 or more")
    if rate == 1:
        return image
    height, width = downsampled_size((image.shape[0], image.shape[1]), rate, rounding)
    if kernel == "maxpool":
        return _maxpool(image, rate, height, width)
    if kernel == "linear":
        return _linear(_linear(image, height).swapaxes(0, 1), width).swapaxes(0, 1).round().astype(np.uint8)
    if kernel not in _PILLOW:
        raise DrfmError(f"kernel = {kernel}: give {', '.join([*_PILLOW, 'linear', 'maxpool'])}")
    return np.array(Image.fromarray(image).resize((width, height), _PILLOW[kernel]))


def _maxpool(image: Pixels, rate: int, height: int, width: int) -> Pixels:
    # The last block is smaller where rounding up made one; the border rows that floor drops stay out.
    rows = np.maximum.reduceat(image[: height * rate], np.arange(height) * rate, axis=0)
    return np.maximum.reduceat(rows[:, : width * rate], np.arange(width) * rate, axis=1)


def _linear(image: npt.NDArray[np.generic], length: int) -> npt.NDArray[np.float64]:
    """Bilinear along axis 0 at pixel centres, two taps and no antialiasing: OpenCV's INTER_LINEAR."""
    at = (np.arange(length) + 0.5) * (image.shape[0] / length) - 0.5
    low = np.floor(at).astype(np.int64)
    share = (at - low)[:, None, None]
    last = image.shape[0] - 1
    below = image[np.clip(low, 0, last)].astype(np.float64)
    above = image[np.clip(low + 1, 0, last)].astype(np.float64)
    mixed: npt.NDArray[np.float64] = below * (1 - share) + above * share
    return mixed
