"""Augmentation against a loop over pixels, and the ranges of what is drawn."""

import numpy as np
import pytest
import torch

from drfm.config import AugmentConfig
from drfm.learning.augment import ERASED_VALUE, Draws, Plan, apply_plan, draw, plan, transform
from drfm.models.inputs import MEAN, STD

CPU = torch.device("cpu")


def images(count=4, height=12, width=7, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def pixel_by_pixel(image, flip, shift, box):
    height, width, _ = image.shape
    out = np.zeros((3, height, width))
    for y in range(height):
        for x in range(width):
            sy, sx = y + shift[0], x + shift[1]
            inside = 0 <= sy < height and 0 <= sx < width
            pixel = image[sy, width - 1 - sx if flip else sx] if inside else np.zeros(3)
            out[:, y, x] = (pixel / 255 - np.array(MEAN)) / np.array(STD)
            if box[0] <= y < box[2] and box[1] <= x < box[3]:
                out[:, y, x] = ERASED_VALUE
    return out


PLANS = Plan(
    flip=torch.tensor([0, 1, 1, 0, 1, 0]),
    shift=torch.tensor([[0, 0], [0, 0], [2, -3], [-4, 5], [-2, 3], [20, -30]]),
    box=torch.tensor([[0, 0, 0, 0], [1, 2, 5, 6], [0, 0, 12, 7], [0, 0, 0, 0], [3, 0, 4, 7], [0, 0, 0, 0]]),
)
ROWS = np.array([2, 0, 0, 1, 3, 2])


def test_both_ways_equal_the_loop_over_pixels():
    store = images()
    expected = np.stack(
        [pixel_by_pixel(store[r], *(p[i].tolist() for p in PLANS)) for i, r in enumerate(ROWS)]
    )
    compiled = apply_plan(store, ROWS, PLANS, CPU)
    assert compiled.dtype == torch.float32
    np.testing.assert_allclose(compiled.numpy(), expected, atol=1e-5)
    assert torch.equal(compiled, transform(torch.from_numpy(store[ROWS]), PLANS))


def test_result_has_the_layout_of_extraction():
    result = apply_plan(images(), ROWS, PLANS, CPU)
    assert result.is_contiguous(memory_format=torch.channels_last)


def test_read_only_memory_map(tmp_path):
    np.save(tmp_path / "store.npy", images())
    mapped = np.load(tmp_path / "store.npy", mmap_mode="r")
    assert torch.equal(apply_plan(mapped, ROWS, PLANS, CPU), apply_plan(images(), ROWS, PLANS, CPU))


def test_no_rows():
    nothing = plan(draw(0, torch.Generator()), AugmentConfig(erase=0.5), 12, 7)
    assert apply_plan(images(), np.empty(0, dtype=np.int64), nothing, CPU).shape == (0, 3, 12, 7)
    assert transform(torch.from_numpy(images(0)), nothing).shape == (0, 3, 12, 7)


@pytest.mark.parametrize(("height", "pad"), [(256, 10), (128, 5), (64, 2), (32, 1)])
def test_border_is_scaled_with_the_height(height, pad):
    todo = plan(draw(4000, torch.Generator().manual_seed(0)), AugmentConfig(), height, height // 2)
    assert (todo.shift.min().item(), todo.shift.max().item()) == (-pad, pad)
    share = torch.bincount(todo.shift[:, 0] + pad) / 4000
    assert (share - 1 / (2 * pad + 1)).abs().max() < 0.03


def test_nothing_is_changed_where_nothing_is_asked():
    todo = plan(draw(50, torch.Generator().manual_seed(0)), AugmentConfig(flip=0, pad=0, erase=0), 32, 16)
    assert not any(part.any() for part in todo)


def test_erased_boxes_fit_and_have_the_right_sizes():
    todo = plan(draw(4000, torch.Generator().manual_seed(0)), AugmentConfig(erase=1.0), 256, 128)
    top, left, bottom, right = todo.box.T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (bottom <= 256).all()
    assert (right <= 128).all()
    tall, wide = (bottom - top).double(), (right - left).double()
    assert (tall > 0).all()
    assert ((wide > 0) & (wide < 128)).all()
    area, aspect = tall * wide / (256 * 128), tall / wide
    assert 0.019 < area.min() < 0.03
    assert 0.39 < area.max() < 0.41
    assert 0.28 < aspect.min() < 0.35
    assert 3.2 < aspect.max() < 3.5


def test_probabilities():
    todo = plan(draw(4000, torch.Generator().manual_seed(1)), AugmentConfig(flip=0.3, erase=0.6), 256, 128)
    assert todo.flip.double().mean() == pytest.approx(0.3, abs=0.03)
    assert (todo.box[:, 2] > 0).double().mean() == pytest.approx(0.6, abs=0.03)


def test_options_do_not_shift_the_random_numbers():
    one, other = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    assert all(torch.equal(a, b) for a, b in zip(draw(5, one), draw(5, other), strict=True))
    assert torch.equal(one.get_state(), other.get_state())


def test_an_image_too_small_for_any_box_is_left_whole():
    middle = torch.full((1,), 0.5, dtype=torch.float64)
    draws = Draws(
        middle, middle.repeat(1, 2), middle * 0, torch.ones(1, 3, 2, dtype=torch.float64), middle.repeat(1, 2)
    )
    assert not plan(draws, AugmentConfig(erase=1.0), 8, 64).box.any()
