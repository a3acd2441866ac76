"""Degradations against loops, and what their draws may depend on."""

import numpy as np
import pytest

from drfm.resolution.degradation import blur, degrade, gaussian, jpeg
from drfm.resolution.downsample import downsample

IMAGE = np.random.default_rng(0).integers(0, 256, (15, 11, 3), dtype=np.uint8)


@pytest.mark.parametrize(("wide", "narrow", "angle"), [(1.0, 1.0, 0.0), (1.5, 0.6, 0.7), (0.5, 2.0, 3.0)])
def test_kernel(wide, narrow, angle):
    kernel = gaussian(wide, narrow, angle)
    reach = kernel.shape[0] // 2
    assert kernel.shape == (2 * reach + 1, 2 * reach + 1)
    assert kernel.sum() == pytest.approx(1)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1])
    axis = np.array([np.cos(angle), np.sin(angle)])
    covariance = np.zeros((2, 2))
    for y in range(-reach, reach + 1):
        for x in range(-reach, reach + 1):
            covariance += kernel[y + reach, x + reach] * np.outer((x, y), (x, y))
    across = np.array([-axis[1], axis[0]])
    if min(wide, narrow) >= 1:
        assert axis @ covariance @ axis == pytest.approx(wide**2, rel=0.05)
        assert across @ covariance @ across == pytest.approx(narrow**2, rel=0.05)
    assert (axis @ covariance @ axis > across @ covariance @ across) == (wide > narrow) or wide == narrow


def test_blur_is_a_weighted_mean_with_the_border_continued():
    kernel = gaussian(1.2, 0.7, 0.4)
    reach = kernel.shape[0] // 2
    height, width = IMAGE.shape[:2]
    want = np.zeros(IMAGE.shape)
    for y in range(height):
        for x in range(width):
            for dy in range(-reach, reach + 1):
                for dx in range(-reach, reach + 1):
                    source = IMAGE[min(max(y - dy, 0), height - 1), min(max(x - dx, 0), width - 1)]
                    want[y, x] += kernel[dy + reach, dx + reach] * source
    assert np.abs(blur(IMAGE, 1.2, 0.7, 0.4) - want).max() <= 0.5 + 1e-6


def test_the_benchmarks_way_draws_nothing():
    random = np.random.default_rng(3)
    np.testing.assert_array_equal(degrade(IMAGE, 3, random=random), downsample(IMAGE, 3))
    assert random.random() == np.random.default_rng(3).random()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (15, 11)])
def test_realistic_way(size):
    image = IMAGE[: size[0], : size[1]]
    made = [degrade(image, 2, kind="realistic", random=np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert made[0].shape == downsample(image, 2).shape
    assert made[0].dtype == np.uint8
    np.testing.assert_array_equal(made[0], made[1])
    assert (made[0] != made[2]).any() or image.size <= 3


def test_jpeg_loses_more_at_lower_quality():
    smooth = blur(IMAGE, 2, 2, 0).astype(float)
    losses = [np.abs(jpeg(smooth.astype(np.uint8), quality) - smooth).mean() for quality in (10, 95)]
    assert losses[0] > losses[1]
