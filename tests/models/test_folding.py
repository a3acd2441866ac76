import pytest
import torch
from torch import nn

from drfm.config import ModelConfig
from drfm.learning.batchnorm import group_batchnorm
from drfm.models.dual import DualEncoder
from drfm.models.folding import folded, lighten


def _lived_in(config: ModelConfig) -> DualEncoder:
    """A model whose BatchNorm layers all have their own statistics, scales and shifts."""
    model = DualEncoder(config)
    generator = torch.Generator().manual_seed(3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_var, module.weight.data):
                tensor.uniform_(0.7, 1.4, generator=generator)
            for tensor in (module.running_mean, module.bias.data):
                tensor.uniform_(-0.2, 0.2, generator=generator)
    return model


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50", "mobilenetv2", "efficientnet_lite0"])
@pytest.mark.parametrize("sharing", ["separate", "stem", "shared"])
def test_a_folded_model_computes_the_same(backbone: str, sharing: str) -> None:
    model = _lived_in(ModelConfig(backbone=backbone, weights="random", sharing=sharing))
    group_batchnorm(model, 2)
    copied = folded(model)
    assert model.training
    assert not copied.training
    assert not any(isinstance(m, nn.BatchNorm2d) for m in copied.modules())
    hr, lr = torch.rand(2, 3, 64, 32), torch.rand(2, 3, 64, 32)
    with torch.no_grad():
        wanted, found = model.eval()(hr, lr), copied(hr, lr)
    for space in ("hr", "lr", "fused"):
        torch.testing.assert_close(getattr(found, space), getattr(wanted, space), atol=2e-5, rtol=1e-3)


def test_the_model_itself_is_left_alone() -> None:
    model = _lived_in(ModelConfig(backbone="resnet18", weights="random"))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    folded(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("backbone", ["resnet50", "efficientnet_lite0"])
def test_rounding_once_gives_the_bits_of_rounding_in_every_batch(backbone: str) -> None:
    model = _lived_in(ModelConfig(backbone=backbone, weights="random"))
    once, always = lighten(model, torch.device("cpu"), "bfloat16"), folded(model)
    hr, lr = torch.rand(2, 3, 64, 32), torch.rand(2, 3, 64, 32)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found, wanted = once(hr, lr), always(hr, lr)
    for space in ("hr", "lr", "fused"):
        assert getattr(found, space).dtype == torch.float32
        assert torch.equal(getattr(found, space), getattr(wanted, space))


def test_a_gpu_keeps_batchnorm_and_float32_its_bits() -> None:
    model = _lived_in(ModelConfig(backbone="resnet18", weights="random"))
    kept = lighten(model, torch.device("cuda"), "float32")
    hr, lr = torch.rand(2, 3, 64, 32), torch.rand(2, 3, 64, 32)
    assert not kept.training
    assert model.training
    with torch.inference_mode():
        assert torch.equal(kept(hr, lr).fused, model.eval()(hr, lr).fused)
        plain = lighten(model, torch.device("cpu"), "float32")(hr, lr)
        assert torch.equal(plain.fused, folded(model)(hr, lr).fused)
