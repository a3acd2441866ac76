"""Blur against a loop over pixels."""

import math

import pytest
import torch

from drfm.learning.blur import blur, draw_radii


def images(count=3, height=64, width=9):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def pixel(plane, y, x, sigma, reach):
    height, width = plane.shape
    weight = [math.exp(-((d / sigma) ** 2) / 2) for d in range(-reach, reach + 1)]
    total = 0.0
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            near = plane[min(max(y + dy, 0), height - 1), min(max(x + dx, 0), width - 1)]
            total += weight[dy + reach] * weight[dx + reach] * float(near)
    return total / sum(weight) ** 2


def test_every_image_is_blurred_by_its_own_radius_scaled_with_the_height():
    sharp = images()
    found = blur(sharp, torch.tensor([0.0, 2.0, 1.2], dtype=torch.float64))
    torch.testing.assert_close(found[0], sharp[0])
    for image, radius in ((1, 2.0), (2, 1.2)):
        for y, x in ((0, 0), (30, 4), (63, 8)):
            expected = pixel(sharp[image, 1], y, x, radius / 4, 1)
            assert found[image, 1, y, x].item() == pytest.approx(expected, abs=1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_an_even_image_stays_even():
    torch.testing.assert_close(
        blur(torch.ones(1, 3, 256, 16), torch.tensor([2.0])), torch.ones(1, 3, 256, 16)
    )


def test_nothing_to_blur():
    sharp = images()
    assert blur(sharp, torch.zeros(3)) is sharp
    assert blur(images(0), torch.zeros(0)).shape == (0, 3, 64, 9)
    blur(images(height=2, width=2), torch.full((3,), 2.0))


def test_radii_are_in_their_range_as_often_as_asked():
    radii = draw_radii(4000, 0.3, torch.Generator().manual_seed(0))
    drawn = radii[radii > 0]
    assert len(drawn) / 4000 == pytest.approx(0.3, abs=0.03)
    assert (drawn.min() >= 0.1, drawn.max() <= 2.0) == (True, True)
    assert drawn.mean().item() == pytest.approx(1.05, abs=0.05)
