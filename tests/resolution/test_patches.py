"""Patches lie where they should, and depend on seed and step alone."""

import numpy as np
import pytest
import torch

from drfm.resolution.downsample import resize
from drfm.resolution.patches import Patches, charbonnier

RANDOM = np.random.default_rng(5)
IMAGES = [RANDOM.integers(0, 256, (40 + row, 30 - row, 3), dtype=np.uint8) for row in range(4)]


def patches(**changes):
    options = {
        "count": len(IMAGES), "read": lambda row: IMAGES[row], "patch": (8, 8), "magnify": 4, "rates": (2, 3),
        "kernels": ("box",), "kind": "benchmark", "seed": 1,
    }  # fmt: skip
    return Patches(**(options | changes))


def pixels(tensor):
    return (tensor * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("rate", [1, 2, 3])
def test_a_small_pixel_lies_over_the_block_it_is_the_mean_of(rate):
    example = patches(rates=(rate,)).batch(0, 6)
    small, sharp, base = pixels(example.small), pixels(example.sharp), pixels(example.base)
    assert small.shape == (6, 8, 8, 3)
    assert sharp.shape == (6, 8 * rate, 8 * rate, 3)
    blocks = sharp.reshape(6, 8, rate, 8, rate, 3).astype(float).mean(axis=(2, 4))
    assert np.abs(blocks - small).max() <= 1  # Pillow rounds after each of two passes
    for row in range(6):
        np.testing.assert_array_equal(base[row], resize(small[row], (32, 32)))


def test_batches_depend_on_seed_and_step():
    one = patches()
    np.testing.assert_array_equal(one.batch(7, 3).small, patches().batch(7, 3).small)
    assert (one.batch(7, 3).small != one.batch(8, 3).small).any()
    assert (one.batch(7, 3).small != patches(seed=2).batch(7, 3).small).any()
    for workers in (1, 3):
        for step, example in enumerate(one.stream(range(5, 15), 2, workers), start=5):
            np.testing.assert_array_equal(example.sharp, one.batch(step, 2).sharp)
    assert {one.batch(step, 1).sharp.shape[-1] for step in range(20)} == {16, 24}


def test_charbonnier():
    large, sharp = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    pairs = list(zip(large.flatten().tolist(), sharp.flatten().tolist(), strict=True))
    want = sum(((a - b) ** 2 + 1e-6) ** 0.5 for a, b in pairs) / len(pairs)
    assert charbonnier(large, sharp).item() == pytest.approx(want, rel=1e-5)
    constant = torch.full((1, 3, 8, 8), 0.5)
    assert charbonnier(constant, constant[..., ::2, ::2]).item() == pytest.approx(1e-3, rel=1e-3)
