"""PSNR and SSIM against their definitions."""

import math

import numpy as np
import pytest

from drfm.resolution.quality import psnr, ssim

RANDOM = np.random.default_rng(1)
SHARP = RANDOM.integers(0, 256, (13, 9, 3), dtype=np.uint8)
OTHER = np.clip(SHARP + RANDOM.normal(0, 12, SHARP.shape), 0, 255).astype(np.uint8)


def test_psnr():
    total = sum((int(a) - int(b)) ** 2 for a, b in zip(OTHER.ravel(), SHARP.ravel(), strict=True))
    assert psnr(OTHER, SHARP) == pytest.approx(20 * math.log10(255) - 10 * math.log10(total / SHARP.size))
    assert psnr(SHARP, SHARP) == 100
    assert psnr(np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)) == pytest.approx(0)


def mirrored(index, length):
    """The index that a symmetric border shows."""
    index %= 2 * length
    return index if index < length else 2 * length - 1 - index


def test_ssim_by_loops():
    def luma(image):
        return [[0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2] for p in row] for row in image.tolist()]

    a, b = luma(OTHER), luma(SHARP)
    weights = [math.exp(-0.5 * (d / 1.5) ** 2) for d in range(-5, 6)]
    weights = [w / sum(weights) for w in weights]
    height, width = len(a), len(a[0])
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    total = 0.0
    for y in range(height):
        for x in range(width):
            sums = [0.0] * 5
            for dy in range(-5, 6):
                for dx in range(-5, 6):
                    w = weights[dy + 5] * weights[dx + 5]
                    p = a[mirrored(y + dy, height)][mirrored(x + dx, width)]
                    q = b[mirrored(y + dy, height)][mirrored(x + dx, width)]
                    for k, value in enumerate((p, q, p * p, q * q, p * q)):
                        sums[k] += w * value
            ma, mb, aa, bb, ab = sums
            total += ((2 * ma * mb + c1) * (2 * (ab - ma * mb) + c2)) / (
                (ma**2 + mb**2 + c1) * (aa - ma**2 + bb - mb**2 + c2)
            )
    assert ssim(OTHER, SHARP) == pytest.approx(total / (height * width), abs=1e-9)


def test_ssim_of_equal_and_of_tiny_images():
    assert ssim(SHARP, SHARP) == pytest.approx(1)
    assert 0 < ssim(OTHER[:1, :1], SHARP[:1, :1]) <= 1
    assert ssim(255 - SHARP, SHARP) < ssim(OTHER, SHARP)
