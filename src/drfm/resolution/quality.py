"""How close a super-resolved image is to the sharp one: PSNR and SSIM."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

Pixels = npt.NDArray[np.uint8]
_LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of ITU-R BT.601."""


def psnr(image: Pixels, sharp: Pixels) -> float:
    """Peak signal-to-noise ratio in dB over all pixels and channels; 100 at most, for equal images.

    Args:
        image: ``(H, W, 3)`` uint8.
        sharp: the same.
    """
    error = np.mean((image.astype(np.float64) - sharp.astype(np.float64)) ** 2)
    return float(min(100.0, 10 * np.log10(255**2 / error))) if error > 0 else 100.0


def ssim(image: Pixels, sharp: Pixels) -> float:
    """Structural similarity of the luma, -1..1 (Wang et al., IEEE TIP 2004, Eq. 13).

    Means, variances and covariance under a Gaussian of 1.5 pixels on 11 x 11 (mirrored at the
    border), K1 = 0.01, K2 = 0.03, averaged over all pixels.

    Args:
        image: ``(H, W, 3)`` uint8.
        sharp: the same.
    """
    a, b = (part.astype(np.float64) @ _LUMA for part in (image, sharp))

    def mean(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(gaussian_filter(values, 1.5, radius=5, mode="reflect"))

    first, second = mean(a), mean(b)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    spread = mean(a * a) - first**2 + mean(b * b) - second**2
    shared = mean(a * b) - first * second
    score = (2 * first * second + c1) * (2 * shared + c2)
    return float((score / ((first**2 + second**2 + c1) * (spread + c2))).mean())
