"""From rows to batches: what is drawn, shared and reported."""

import numpy as np
import torch

from drfm.config import AugmentConfig
from drfm.learning.batches import make_batch
from drfm.resolution.pairs import PairSet


def pairs(lr_size=(32, 16)):
    random = np.random.default_rng(0)
    hr = random.integers(0, 256, (6, 32, 16, 3), dtype=np.uint8)
    lr = hr if lr_size == (32, 16) else random.integers(0, 256, (6, *lr_size, 3), dtype=np.uint8)
    blank = np.zeros(6, dtype=np.int64)
    return PairSet(hr, lr, blank.astype(np.int8), blank, blank.astype(np.int32), tuple("abcdef"))


ROWS = np.array([4, 1, 1, 5, 0, 1])
STRONG = AugmentConfig(pad=40, erase=0.5)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_shapes_rows_and_repeats():
    batch = make_batch(pairs(lr_size=(16, 8)), ROWS, AugmentConfig(), generator())
    assert batch.hr.shape == (6, 3, 32, 16)
    assert batch.lr.shape == (6, 3, 16, 8)
    assert batch.rows.tolist() == ROWS.tolist()
    assert batch.repeats == 3


def test_the_generator_decides_everything():
    one, same, other = (make_batch(pairs(), ROWS, STRONG, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(one.hr, same.hr)
    assert torch.equal(one.lr, same.lr)
    assert not torch.equal(one.hr, other.hr)


def test_the_two_images_share_a_draw_if_asked():
    apart = make_batch(pairs(), ROWS, STRONG, generator())
    together = make_batch(pairs(), ROWS, AugmentConfig(pad=40, erase=0.5, shared=True), generator())
    assert torch.equal(together.hr, together.lr)
    assert not torch.equal(apart.hr, apart.lr)


def test_a_shared_flip_reaches_images_of_another_size():
    store = pairs(lr_size=(16, 8))
    store.hr[:, :, :8], store.hr[:, :, 8:] = 0, 255
    store.lr[:, :, :4], store.lr[:, :, 4:] = 0, 255
    batch = make_batch(store, np.arange(6).repeat(5), AugmentConfig(pad=0, shared=True), generator())
    flipped = batch.hr[:, 0, 0, 0] > 0
    assert torch.equal(flipped, batch.lr[:, 0, 0, 0] > 0)
    assert 0 < flipped.sum() < 30


def test_no_rows():
    batch = make_batch(pairs(), np.empty(0, dtype=np.int64), STRONG, generator())
    assert batch.hr.shape == (0, 3, 32, 16)
    assert batch.repeats == 0


def test_the_store_is_left_alone():
    store = pairs()
    before = store.hr.copy()
    make_batch(store, ROWS, STRONG, generator())
    assert np.array_equal(before, store.hr)
