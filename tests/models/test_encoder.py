import numpy as np
import pytest
import torch
from torch import Tensor

from drfm.models.backbone import Backbone
from drfm.models.encoder import Encoder, average_pool, gem_pool
from drfm.models.predictor import Predictor


class Identity(Backbone):
    out_channels = 3
    stem = ()

    def forward(self, images: Tensor) -> Tensor:
        return images


def test_pools_equal_loops():
    features = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    for p in (1.0, 3.0, 2.5):
        got = gem_pool(features, p)
        for b in range(2):
            for d in range(3):
                values = [max(float(x), 1e-6) ** p for x in features[b, d].flatten()]
                assert got[b, d] == pytest.approx((sum(values) / 20) ** (1 / p))
                mean = sum(float(x) for x in features[b, d].flatten()) / 20
                assert average_pool(features)[b, d] == pytest.approx(mean)


def test_gem_lies_between_mean_and_maximum():
    features = torch.rand(4, 3, 5, 5)
    gem = gem_pool(features, 3.0)
    assert (gem >= features.mean((2, 3)) - 1e-6).all()
    assert (gem <= features.amax((2, 3)) + 1e-6).all()
    assert torch.isfinite(gem_pool(torch.zeros(1, 3, 2, 2), 3.0)).all()


def test_neck_is_the_identity_until_it_is_trained():
    images = torch.randn(4, 3, 5, 5)
    feature, pooled = Encoder(Identity()).eval()(images)
    torch.testing.assert_close(pooled, images.mean((2, 3)))
    torch.testing.assert_close(feature, pooled / pooled.norm(dim=1, keepdim=True), atol=1e-5, rtol=1e-4)


def test_training_output():
    images = torch.randn(6, 3, 5, 5)
    pooled = images.mean((2, 3)).numpy()
    normed = (pooled - pooled.mean(0)) / np.sqrt(pooled.var(0) + 1e-5)
    raw = Encoder(Identity(), normalise=False)
    np.testing.assert_allclose(raw(images)[0].detach(), normed, atol=1e-5)
    unit = Encoder(Identity())(images)[0].detach()
    np.testing.assert_allclose(unit, normed / np.linalg.norm(normed, axis=1, keepdims=True), atol=1e-5)
    raw.eval()
    torch.testing.assert_close(raw(images)[0].norm(dim=1), torch.ones(6))


def test_learnt_and_fixed_exponent():
    images = torch.rand(4, 3, 5, 5)
    learnt, fixed = Encoder(Identity(), "gem"), Encoder(Identity(), "gem_fixed")
    assert torch.equal(learnt(images)[0], fixed(images)[0])
    learnt(images)[1].sum().backward()
    assert learnt.exponent.grad.abs() > 0
    assert not fixed.exponent.requires_grad
    assert Encoder(Identity()).exponent is None


def test_frozen_bias_and_float32_under_autocast():
    encoder = Encoder(Identity(), "gem")
    assert not encoder.neck.bias.requires_grad
    with torch.autocast("cpu", torch.bfloat16):
        feature, pooled = encoder(torch.rand(4, 3, 5, 5, dtype=torch.bfloat16))
    assert feature.dtype == pooled.dtype == torch.float32


def test_predictors_by_hand():
    feature, pooled = torch.randn(2, 5, 8)
    linear = Predictor(8, "linear")
    raw = feature @ linear.layers.weight.T + linear.layers.bias
    torch.testing.assert_close(linear(feature, pooled), raw / raw.norm(dim=1, keepdim=True))

    with_norm = Predictor(8, "linear_bn").eval()
    raw = pooled @ with_norm.layers[0].weight.T
    torch.testing.assert_close(
        with_norm(feature, pooled), raw / raw.norm(dim=1, keepdim=True), atol=1e-5, rtol=1e-4
    )
    assert not with_norm.layers[1].bias.requires_grad

    mlp = Predictor(8, "mlp", "torch")
    assert mlp.layers[0].out_features == 2
    out = mlp(feature, pooled)
    torch.testing.assert_close(out.norm(dim=1), torch.ones(5))
    assert torch.equal(out, mlp(feature, pooled * 2))
