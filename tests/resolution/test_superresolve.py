"""The built-in interpolation and the registry of back ends."""

import json
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from drfm.config.schema import ImagesConfig
from drfm.errors import DrfmError
from drfm.resolution.superresolve import RESOLVERS, Bicubic, make_resolver


def test_bicubic_is_pillows():
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in [(6, 4), (1, 1), (9, 5)]]
    for image, large in zip(images, Bicubic(3)(images), strict=True):
        height, width = image.shape[:2]
        want = Image.fromarray(image).resize((3 * width, 3 * height), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(large, np.asarray(want))


def test_bicubic_says_that_it_is_an_interpolation():
    facts = make_resolver(ImagesConfig()).facts()
    assert facts == {"sr": "bicubic (interpolation)", "sr_rate": 4}
    json.dumps(facts)


def test_light_back_ends_travel_to_processes():
    resolver = make_resolver(ImagesConfig(sr_rate=2))
    assert resolver.light
    assert pickle.loads(pickle.dumps(resolver)) == resolver


def test_unknown_back_end():
    with pytest.raises(DrfmError, match=r"images\.sr = magic: choose one of bicubic, swin2sr"):
        make_resolver(SimpleNamespace(sr="magic"))


def test_another_back_end_can_be_registered(monkeypatch):
    monkeypatch.setitem(RESOLVERS, "mine", lambda images, device: Bicubic(2, name=device))
    assert make_resolver(SimpleNamespace(sr="mine"), "cpu").name == "cpu"
