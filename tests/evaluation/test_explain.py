"""Grad-CAM on embeddings, against a case done by hand and against finite differences."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from drfm.config import ModelConfig
from drfm.errors import DrfmError
from drfm.evaluation.explain import describe, explain, explain_pair, explain_rows, overlay
from drfm.models.backbone import Backbone
from drfm.models.backbones import BACKBONES
from drfm.models.build import new_model
from drfm.resolution.pairs import pairs_from_arrays


class Channels(Backbone):
    """The map is the first two channels of the image: what is said of it can be checked by hand."""

    out_channels = 2
    stem = ()

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, images):
        return self.scale * images[:, :2]


class Convolution(Backbone):
    out_channels = 4
    stem = ()

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, 2, 1)

    def forward(self, images):
        return torch.relu(self.conv(images))


@pytest.fixture(autouse=True)
def backbones(monkeypatch):
    monkeypatch.setitem(BACKBONES, "channels", Channels)
    monkeypatch.setitem(BACKBONES, "convolution", Convolution)


def model(backbone="channels", **options):
    torch.manual_seed(0)
    return new_model(ModelConfig(backbone=backbone, weights="random", **options))


def images(*size, count=1):
    return torch.from_numpy(np.random.default_rng(0).uniform(0, 1, (count, 3, *size))).float()


# Means 3 and 4, so the feature is (0.6, 0.8). With the target (1, 0) the gradient by the means is
# (1 - 0.36, -0.48) / 5 = (0.128, -0.096): 0.128 * 12 in one place, below zero where the other channel is.
BY_HAND = torch.tensor([[[[12.0, 0.0], [0.0, 0.0]], [[0.0, 16.0], [0.0, 0.0]], [[9.0, 9.0], [9.0, 9.0]]]])


def test_a_case_done_by_hand():
    net = model(encoders="hr")
    maps = explain(net, [BY_HAND], torch.tensor([[1.0, 0.0]]))
    assert list(maps[0]) == ["hr"]
    np.testing.assert_allclose(maps[0]["hr"], [[1, 0], [0, 0]])
    mixed = explain(net, [BY_HAND], torch.tensor([[1.0, 1.0]]))[0]["hr"]
    # (1, 1) / sqrt(2) against (0.6, 0.8): gradient (0.112, -0.084) / (sqrt(2) * 5), the same place again.
    np.testing.assert_allclose(mixed, [[1, 0], [0, 0]])
    np.testing.assert_allclose(explain(net, [BY_HAND], torch.tensor([[0.0, 1.0]]))[0]["hr"], [[0, 1], [0, 0]])


def test_the_length_of_a_feature_by_hand():
    # d length = (0.6, 0.8): 0.6 * 12 = 7.2 and 0.8 * 16 = 12.8.
    (maps,) = explain(model(encoders="hr"), [BY_HAND])
    np.testing.assert_allclose(maps["hr"], [[7.2 / 12.8, 1], [0, 0]], rtol=1e-6)


def test_an_image_has_no_similarity_to_gain_with_itself():
    net = model(encoders="hr")
    own = describe(net, [BY_HAND])
    np.testing.assert_allclose(own, [[0.6, 0.8]])
    shared = torch.autograd.functional.jacobian(lambda f: functional.cosine_similarity(f, own).sum(), own)
    np.testing.assert_allclose(shared, 0, atol=1e-7)


@pytest.mark.parametrize("features", ["fused", "hr", "lr", "mean", "concat"])
@pytest.mark.parametrize("fusion_gradient", ["flow", "detach"])
def test_weights_are_mean_gradients_as_finite_differences_give_them(features, fusion_gradient):
    net = model("convolution", fusion_gradient=fusion_gradient, encoders="dual").eval()
    with torch.no_grad():
        net.lr_encoder.backbone.conv.weight.add_(0.1)
    pair = [images(8, 4), 1 - images(8, 4)]
    target = torch.from_numpy(np.random.default_rng(1).normal(size=(1, 12))).float()
    target = target[:, : describe(net, pair, features).shape[1]]
    (maps,) = explain(net, pair, target, features=features)
    for place, view in enumerate(("hr", "lr")):
        encoder = (net.hr_encoder, net.lr_encoder)[place]
        inner = encoder.backbone(pair[place]).detach()
        weighed = sum(
            difference(net, pair, place, inner, channel, target, features) * inner[:, channel]
            for channel in range(4)
        )
        heat = functional.interpolate(weighed.clamp(min=0)[None], size=(8, 4), mode="bilinear")[0, 0]
        expected = heat / heat.max() if heat.max() > 1e-9 else torch.zeros(8, 4)
        np.testing.assert_allclose(maps[view], expected, atol=0.02)
    assert (maps["lr"].max() > 0) == (features != "hr")


def difference(net, pair, place, inner, channel, target, features):
    """How the similarity changes when every position of one channel grows."""
    found = []
    for step in (1e-2, -1e-2):
        changed = inner.clone()
        changed[:, channel] += step
        encoder = (net.hr_encoder, net.lr_encoder)[place]
        kept, encoder.backbone = encoder.backbone, Given(changed)
        found.append(functional.cosine_similarity(describe(net, pair, features), target))
        encoder.backbone = kept
    return (found[0] - found[1]) / 2e-2


class Given(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, images):
        return self.value


def test_each_image_of_a_batch_is_explained_by_itself():
    net, pair = model("convolution"), [images(8, 4, count=3), images(12, 6, count=3)]
    targets = functional.normalize(images(1, 4, count=3)[:, 0, 0])
    together = explain(net, pair, targets)
    for row in range(3):
        (alone,) = explain(net, [image[row : row + 1] for image in pair], targets[row : row + 1])
        for view in ("hr", "lr"):
            np.testing.assert_allclose(together[row][view], alone[view], rtol=1e-4, atol=1e-6)
    assert together[0]["hr"].shape == (8, 4)
    assert together[0]["lr"].shape == (12, 6)
    for heat in (heat for maps in together for heat in maps.values()):
        assert heat.dtype == np.float32
        assert heat.min() >= 0
        assert heat.max() == pytest.approx(1) or not heat.any()


def test_a_pair_is_explained_in_both_directions_and_the_model_is_left_alone():
    net = model("convolution").train()
    net.fusion.eval()
    query, match = ([images(8, 4), images(8, 4)], [1 - images(8, 4), 1 - images(8, 4)])
    found = explain_pair(net, query, match)
    for maps, own, other in zip(found, (query, match), (match, query), strict=True):
        (wanted,) = explain(net, own, describe(net, other))
        for view in ("hr", "lr"):
            np.testing.assert_array_equal(maps[0][view], wanted[view])
    assert net.training
    assert not net.fusion.training
    assert all(parameter.grad is None for parameter in net.parameters())


@pytest.mark.parametrize("encoders", ["dual", "native", "hr"])
def test_rows_of_a_store(encoders):
    pixels = np.random.default_rng(0).integers(0, 255, (2, 4, 8, 4, 3)).astype(np.uint8)
    pairs = pairs_from_arrays(*pixels, [0, 1, 0, 1])
    net = model("convolution", encoders=encoders)
    found = explain_rows(net, pairs, [3, 1])
    assert [list(maps) for maps in found] == [list(net.views)] * 2
    again = explain_rows(net, pairs, [1], torch.ones(1, 4))
    assert again[0][net.views[0]].shape == (8, 4)


def test_nothing_that_speaks_for_the_target_is_a_map_of_zeros():
    (maps,) = explain(model(encoders="hr"), [torch.zeros(1, 3, 2, 2)], torch.tensor([[1.0, 0.0]]))
    assert not maps["hr"].any()


def test_a_target_that_does_not_fit_is_told():
    with pytest.raises(DrfmError, match=r"target = \(1, 5\): give one feature, or 1, of 2 numbers"):
        explain(model(), [images(4, 2), images(4, 2)], torch.ones(1, 5))


def test_an_overlay_greys_what_is_cold_and_lights_what_is_hot():
    image = np.full((1, 2, 3), (200, 100, 0), np.uint8)
    cold, hot = overlay(image, np.array([[0.0, 1.0]], np.float32))[0]
    assert cold.tolist() == [100, 100, 100]
    assert hot[0] > hot[2]
    assert hot[0] > 200
    with pytest.raises(DrfmError, match="of the same size"):
        overlay(image, np.zeros((2, 2), np.float32))
