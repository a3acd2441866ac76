import copy
import dataclasses

import numpy as np
import pytest
import torch

import drfm.models.extract
from drfm.models.extract import extract
from drfm.models.inputs import MEAN, STD, to_input
from drfm.resolution.pairs import PairSet


def test_to_input_equals_loops():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3), dtype=np.uint8)
    pixels.flags.writeable = False
    got = to_input(pixels[:, ::1], "cpu")
    assert got.shape == (2, 3, 3, 4)
    assert got.is_contiguous(memory_format=torch.channels_last)
    for b in range(2):
        for y in range(3):
            for x in range(4):
                for c in range(3):
                    want = (pixels[b, y, x, c] / 255 - MEAN[c]) / STD[c]
                    assert got[b, c, y, x].item() == pytest.approx(want, abs=1e-5)


def test_features_are_those_of_the_model_in_order(model, pairs):
    features = extract(model, pairs, device="cpu", batch_size=2)
    twin = copy.deepcopy(model).eval()
    for row in range(len(pairs)):
        with torch.inference_mode():
            one = twin(to_input(pairs.hr[row][None], "cpu"), to_input(pairs.lr[row][None], "cpu")).spaces()
        for name, value in one.items():
            torch.testing.assert_close(features[name][row], value[0], atol=1e-5, rtol=1e-4)
    assert set(features) == {"hr", "lr", "fused"}
    for value in features.values():
        assert value.dtype == torch.float32
        assert not value.is_inference()
        torch.testing.assert_close(value.norm(dim=1), torch.ones(len(pairs)))


def test_features_are_the_same_from_other_images_in_groups_and_ahead(model, pairs, monkeypatch):
    whole = extract(model, pairs, device="cpu", batch_size=2)
    monkeypatch.setattr(drfm.models.extract._Rows, "GROUP", 2)
    taken = []

    def take(source, rows):
        taken.append((source, rows.start))
        return torch.from_numpy(np.array(pairs.take(source, rows)))

    other = extract(model, pairs, device="cpu", batch_size=2, take=take, stay=True)
    assert taken[:3] == [("hr", 0), ("lr", 0), ("hr", 2)]
    for name, value in whole.items():
        assert torch.equal(other[name], value)


def test_images_are_held_for_a_gpu_as_they_are(pairs):
    held = drfm.models.extract._pinned([pairs.hr[:2], pairs.lr[:2]])
    for one, two in zip(held, (pairs.hr[:2], pairs.lr[:2]), strict=True):
        np.testing.assert_array_equal(one.numpy(), two)
    there = [torch.zeros(1, 2, 2, 3, dtype=torch.uint8)]
    assert drfm.models.extract._pinned(there) is there


def test_mode_and_statistics_are_kept(model, pairs):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    model.lr_encoder.eval()
    try:
        extract(model, pairs, device="cpu", batch_size=5)
        assert model.training
        assert not model.lr_encoder.training
    finally:
        model.train()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_flip_makes_features_blind_to_mirroring(model, pairs):
    mirrored = PairSet(
        pairs.hr[:, :, ::-1], pairs.lr[:, :, ::-1], pairs.origin, pairs.camera, pairs.height, pairs.names
    )
    one = extract(model, pairs, device="cpu", batch_size=5, flip=True)
    other = extract(model, mirrored, device="cpu", batch_size=5, flip=True)
    plain = extract(model, pairs, device="cpu", batch_size=5)
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(one[name].norm(dim=1), torch.ones(5))
    assert not torch.allclose(one["hr"], plain["hr"], atol=1e-4)


def test_bfloat16_is_close(model, pairs):
    pairs = dataclasses.replace(pairs, hr=pairs.hr[:, :32, :16], lr=pairs.lr[:, :16, :16])
    exact = extract(model, pairs, device="cpu", batch_size=5)
    rough = extract(model, pairs, device="cpu", batch_size=5, precision="bfloat16")
    for name, value in rough.items():
        assert value.dtype == torch.float32
        assert (value * exact[name]).sum(1).min() > 0.99


def test_no_pairs(model, pairs):
    none = PairSet(pairs.hr[:0], pairs.lr[:0], pairs.origin[:0], pairs.camera[:0], pairs.height[:0], ())
    assert {name: value.shape for name, value in extract(model, none, device="cpu").items()} == {
        "hr": (0, 1280), "lr": (0, 1280), "fused": (0, 1280),
    }  # fmt: skip
