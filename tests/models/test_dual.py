import copy
import dataclasses
from itertools import chain

import pytest
import torch

from drfm.config import ModelConfig
from drfm.models.build import build_model
from drfm.models.dual import DualEncoder

TINY = ModelConfig(backbone="efficientnet_lite0", weights="random", last_stride=2, fusion="none")


def images(n=4):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, n, 3, 32, 32, generator=generator)


def test_eval_output(model):
    model = copy.deepcopy(model).eval()
    hr, lr = images()
    with torch.inference_mode():
        encoded = model(hr, lr[..., :16])
        for feature in encoded.spaces().values():
            assert feature.shape == (4, 1280)
            assert feature.dtype == torch.float32
            torch.testing.assert_close(feature.norm(dim=1), torch.ones(4))
        torch.testing.assert_close(encoded.fused, model.fusion(encoded.hr, encoded.lr))
        torch.testing.assert_close(model.predict(encoded).norm(dim=1), torch.ones(4))


def test_encoders_start_alike_and_apart(model):
    for (name, a), b in zip(
        model.hr_encoder.state_dict().items(), model.lr_encoder.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
        assert a.data_ptr() != b.data_ptr()


@pytest.mark.parametrize("sharing", ["separate", "shared", "stem"])
def test_sharing(sharing):
    model = build_model(dataclasses.replace(TINY, sharing=sharing), seed=0)
    one = {id(p) for p in model.hr_encoder.parameters()}
    other = {id(p) for p in model.lr_encoder.parameters()}
    shared = {name for name, p in model.lr_encoder.named_parameters() if id(p) in one}
    if sharing == "separate":
        assert not shared
    elif sharing == "shared":
        assert one == other
    else:
        assert shared == {f"backbone.{n}" for n in ("_conv_stem.weight", "_bn0.weight", "_bn0.bias")}
    assert model.facts["parameters"] == sum(p.numel() for p in model.parameters())


def test_seed_decides_everything_and_the_global_state_nothing():
    state = torch.get_rng_state()
    one = build_model(TINY, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    again, other = build_model(TINY, seed=1), build_model(TINY, seed=2)
    torch.set_rng_state(state)
    for (name, a), b in zip(one.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert not torch.equal(one.predictor.layers.weight, other.predictor.layers.weight)


@pytest.mark.parametrize("gradient", ["flow", "detach"])
def test_fusion_gradient(model, gradient):
    model = copy.deepcopy(model)
    model.config = dataclasses.replace(model.config, fusion_gradient=gradient)
    encoded = model(*images())
    (encoded.fused * torch.randn(4, 1280)).sum().backward()
    reached = model.hr_encoder.backbone._conv_head.weight.grad is not None
    assert reached == (gradient == "flow")
    assert model.fusion.f3.weight.grad is not None


def test_every_parameter_but_frozen_ones_is_trained(model):
    model = copy.deepcopy(model)
    encoded = model(*images())
    (encoded.fused * torch.randn(4, 1280)).sum().backward(retain_graph=True)
    (model.predict(encoded) * torch.randn(4, 1280)).sum().backward()
    without = {name for name, p in model.named_parameters() if p.grad is None}
    assert without == {"hr_encoder.neck.bias", "lr_encoder.neck.bias"}


def test_prediction_reads_what_its_kind_says():
    model = build_model(dataclasses.replace(TINY, predictor="linear_bn"), seed=0).eval()
    with torch.inference_mode():
        encoded = model(*images())
        expected = model.predictor(encoded.hr, encoded.hr_pooled)
        changed = dataclasses.replace(encoded, hr=torch.zeros_like(encoded.hr))
        assert torch.equal(model.predict(changed), expected)


def test_options_reach_the_modules():
    config = ModelConfig(
        backbone="resnet18", weights="random", pooling="gem", normalise=False, predictor="mlp",
        fusion="fc", crff_norm="bn_l2",
    )  # fmt: skip
    model = DualEncoder(config)
    assert model.hr_encoder.exponent is not None
    assert model.lr_encoder.normalise is False
    assert isinstance(model.fusion.norm, torch.nn.BatchNorm1d)
    assert not any("f1" in name for name, _ in model.named_parameters())
    assert model.hr_encoder.backbone.layer4[0].conv1.stride == (1, 1)
    assert model.dimension == 512


def test_no_fusion_space():
    model = build_model(TINY, seed=0).eval()
    with torch.inference_mode():
        encoded = model(*images(1))
    assert encoded.fused is None
    assert set(encoded.spaces()) == {"hr", "lr"}
    assert not any(
        name.startswith("fusion") for name, _ in chain(model.named_parameters(), model.named_buffers())
    )


def test_heads_stay_float32_under_autocast(model):
    model = copy.deepcopy(model).eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        encoded = model(*(x[:1, ..., :16] for x in images()))
        assert encoded.hr.dtype == encoded.fused.dtype == model.predict(encoded).dtype == torch.float32
