import numpy as np
import pytest
import torch

from drfm.config import AugmentConfig
from drfm.learning.batch import View
from drfm.learning.batches import make_batch
from drfm.learning.resident import Images
from drfm.resolution.pairs import pairs_from_arrays

ROWS = np.array([4, 0, 4, 2])


@pytest.fixture
def pairs():
    images = np.random.default_rng(0).integers(0, 256, (2, 6, 32, 16, 3), dtype=np.uint8)
    return pairs_from_arrays(images[0], images[1], [0, 1, 0, 1, 0, 1])


@pytest.mark.parametrize("view", [View("hr"), View("lr", augmented=False), View("native")])
@pytest.mark.parametrize("blur", [0.0, 1.0])
def test_images_on_the_device_make_the_batch_that_the_store_makes(pairs, view, blur):
    config = AugmentConfig(erase=0.5, blur=blur)
    device = torch.device("cpu")
    there = Images(pairs, [view.source], device)
    assert not there.resident  # the store is as near on a CPU
    there.put([view.source], device)
    assert there.resident
    one, two = (
        make_batch(pairs, ROWS, config, torch.Generator().manual_seed(3), views=[view], images=images).images[
            0
        ]
        for images in (None, there)
    )
    torch.testing.assert_close(one, two, rtol=0, atol=1e-6)


@pytest.mark.parametrize("source", ["hr", "lr", "native"])
def test_consecutive_images_are_the_same_from_the_device_and_from_the_store(pairs, source):
    there = Images(pairs, [source], torch.device("cpu"))
    before = there.take(source, slice(1, 4))
    there.put([source], torch.device("cpu"))
    after = there.take(source, slice(1, 4))
    assert isinstance(after, torch.Tensor)
    np.testing.assert_array_equal(before, pairs.take(source, slice(1, 4)))
    np.testing.assert_array_equal(after.numpy(), before)


@pytest.mark.parametrize(
    ("free", "resident"), [(6 * 32 * 16 * 3 * 4, True), (6 * 32 * 16 * 3 * 4 - 1, False)]
)
def test_images_are_put_on_a_gpu_that_has_room_for_them(pairs, monkeypatch, free, resident):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, free))
    put = []
    monkeypatch.setattr(Images, "put", lambda self, sources, device: put.append(device.type))
    Images(pairs, ["hr", "lr"], torch.device("cuda"))
    assert put == ["cuda"] * resident
