"""From rows to batches: what is drawn, shared and reported."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from drfm.config import AugmentConfig
from drfm.data.records import HR
from drfm.errors import DrfmError
from drfm.learning.augment import ERASED_VALUE
from drfm.learning.batch import View
from drfm.learning.batches import make_batch
from drfm.learning.resident import Images
from drfm.models.inputs import to_input
from drfm.resolution.pairs import PairSet


def pairs(lr_size=(32, 16)):
    random = np.random.default_rng(0)
    hr = random.integers(0, 256, (6, 32, 16, 3), dtype=np.uint8)
    lr = hr if lr_size == (32, 16) else random.integers(0, 256, (6, *lr_size, 3), dtype=np.uint8)
    blank = np.zeros(6, dtype=np.int64)
    return PairSet(
        hr, lr, np.array([0, 1, 1, 0, 0, 1], np.int8), blank, blank.astype(np.int32), tuple("abcdef")
    )


ROWS = np.array([4, 1, 1, 5, 0, 1])
STRONG = AugmentConfig(pad=40, erase=0.5)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_shapes_rows_and_repeats():
    batch = make_batch(pairs(lr_size=(16, 8)), ROWS, AugmentConfig(), generator())
    assert batch.images[0].shape == (6, 3, 32, 16)
    assert batch.images[1].shape == (6, 3, 16, 8)
    assert batch.rows.tolist() == ROWS.tolist()
    assert batch.repeats == 3


def test_the_generator_decides_everything():
    one, same, other = (make_batch(pairs(), ROWS, STRONG, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(one.images[0], same.images[0])
    assert torch.equal(one.images[1], same.images[1])
    assert not torch.equal(one.images[0], other.images[0])


def test_the_two_images_share_a_draw_if_asked():
    apart = make_batch(pairs(), ROWS, STRONG, generator())
    together = make_batch(pairs(), ROWS, AugmentConfig(pad=40, erase=0.5, shared=True), generator())
    assert torch.equal(together.images[0], together.images[1])
    assert not torch.equal(apart.images[0], apart.images[1])


def test_a_shared_flip_reaches_images_of_another_size():
    store = pairs(lr_size=(16, 8))
    store.hr[:, :, :8], store.hr[:, :, 8:] = 0, 255
    store.lr[:, :, :4], store.lr[:, :, 4:] = 0, 255
    batch = make_batch(store, np.arange(6).repeat(5), AugmentConfig(pad=0, shared=True), generator())
    flipped = batch.images[0][:, 0, 0, 0] > 0
    assert torch.equal(flipped, batch.images[1][:, 0, 0, 0] > 0)
    assert 0 < flipped.sum() < 30


def test_no_rows():
    batch = make_batch(pairs(), np.empty(0, dtype=np.int64), STRONG, generator())
    assert batch.images[0].shape == (0, 3, 32, 16)
    assert batch.repeats == 0


def test_the_store_is_left_alone():
    store = pairs()
    before = store.hr.copy()
    make_batch(store, ROWS, STRONG, generator())
    assert np.array_equal(before, store.hr)


def test_native_images_are_the_captures():
    store = pairs()
    store.hr[:] = np.arange(1, 7, dtype=np.uint8)[:, None, None, None]
    store.lr[:] = np.arange(101, 107, dtype=np.uint8)[:, None, None, None]
    rows = np.array([5, 0, 3, 0, 2])
    view = View("native", augmented=False)
    found = make_batch(store, rows, STRONG, generator(), views=[view]).images
    expected = np.where(store.origin == HR, store.hr[:, 0, 0, 0], store.lr[:, 0, 0, 0])[rows]
    blue = found[0][:, 2, 0, 0] * 0.225 + 0.406
    assert len(found) == 1
    assert np.array_equal(np.rint(blue.numpy() * 255).astype(int), expected)
    assert (found[0] == found[0][:, :, :1, :1]).all()


def test_each_augmented_view_has_draws_of_its_own():
    one, two = make_batch(pairs(), ROWS, STRONG, generator(), views=[View("hr"), View("hr")]).images
    assert not torch.equal(one, two)


def test_one_encoder_needs_one_size():
    with pytest.raises(DrfmError, match="needs the same"):
        make_batch(pairs(lr_size=(16, 8)), ROWS, STRONG, generator(), views=[View("native")])


def test_blur_changes_sharp_images_and_comes_before_erasing():
    plain = make_batch(pairs(), ROWS, AugmentConfig(pad=0, flip=0, erase=1.0), generator())
    blurred = make_batch(pairs(), ROWS, AugmentConfig(pad=0, flip=0, erase=1.0, blur=1.0), generator())
    erased = plain.images[0] == torch.tensor(ERASED_VALUE).view(1, 3, 1, 1)
    boxes = erased.all(dim=1, keepdim=True).expand_as(erased)
    assert boxes.any()
    assert torch.equal(plain.images[0][boxes], blurred.images[0][boxes])
    assert not torch.equal(plain.images[0], blurred.images[0])


def test_images_that_are_not_augmented_stay_sharp():
    views = (View("hr"), View("hr", False))
    sharp, blurred = (
        make_batch(pairs(), ROWS, AugmentConfig(blur=blur), generator(), views=views) for blur in (0.0, 1.0)
    )
    assert torch.equal(sharp.images[1], blurred.images[1])


STILL = AugmentConfig(flip=0, pad=0)


def with_twins():
    plain = pairs()
    return replace(plain, twins=tuple(np.random.default_rng(n).permutation(plain.lr) for n in (1, 2)))


@pytest.mark.parametrize("there", [False, True])
def test_an_image_is_drawn_among_the_twins_of_its_row(there):
    several, rows = with_twins(), np.tile(np.arange(6), 50)
    images = Images(several, ["hr", "lr"], torch.device("cpu"))
    if there:
        images.put(["hr", "lr"], torch.device("cpu"))
    hr, lr = make_batch(several, rows, STILL, generator(), images=images).images
    torch.testing.assert_close(hr, to_input(several.hr[rows], "cpu"))
    stores = [to_input(store[rows], "cpu") for store in (several.lr, *several.twins)]
    like = torch.stack([(store - lr).abs().amax((1, 2, 3)) < 1e-5 for store in stores])
    assert like.any(dim=0).all()
    drawn = like.sum(dim=1)
    assert (drawn > 60).all()  # of 300, a hundred each and chance hits
    again = make_batch(several, rows, STILL, generator(), images=images).images[1]
    assert torch.equal(lr, again)
    part = make_batch(several, rows, STILL, generator(), own=slice(100, 200)).images[1]
    torch.testing.assert_close(part, lr[100:200])


def test_twins_are_for_augmented_images_of_the_lr_space_alone():
    several, plain = with_twins(), pairs()
    for view in (View("hr"), View("native"), View("lr", augmented=False)):
        one, other = (make_batch(p, ROWS, STRONG, generator(), views=[view]) for p in (several, plain))
        assert torch.equal(one.images[0], other.images[0])
    np.testing.assert_array_equal(several.take("lr", slice(0, 6)), plain.lr)
