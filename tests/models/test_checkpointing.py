import copy

import pytest
import torch

from drfm.learning.batchnorm import group_batchnorm
from drfm.models.backbones import build_backbone
from drfm.models.checkpointing import checkpoint_blocks


def passed(backbone, images):
    """The map of two passes, the second in another mode of gradient, and all gradients of the first."""
    out = backbone(images)
    out.square().mean().backward()
    return out.detach(), [parameter.grad for parameter in backbone.parameters()]


@pytest.mark.parametrize(
    ("name", "blocks"), [("resnet18", 8), ("mobilenetv2", 19), ("efficientnet_lite0", 16)]
)
@pytest.mark.parametrize("groups", [1, 2])
def test_gradients_and_running_statistics_are_those_without_it(name, blocks, groups):
    torch.manual_seed(0)
    plain = build_backbone(name, 1).train()
    group_batchnorm(plain, groups)
    saving = copy.deepcopy(plain)
    assert checkpoint_blocks(saving) == blocks
    images = torch.randn(4, 3, 32, 16)
    out, gradients = passed(plain, images)
    other, others = passed(saving, images)
    assert torch.equal(out, other)
    assert all(torch.equal(a, b) for a, b in zip(gradients, others, strict=True))
    assert plain.state_dict().keys() == saving.state_dict().keys()
    for key, value in plain.state_dict().items():
        assert torch.equal(value, saving.state_dict()[key]), key


def test_less_is_kept_for_the_backward_pass():
    kept = []
    for saving in (False, True):
        torch.manual_seed(0)
        backbone = build_backbone("resnet18", 1).train()
        if saving:
            checkpoint_blocks(backbone)
        sizes = {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, sizes=sizes: sizes.setdefault(t.data_ptr(), t.numel()) and t, lambda t: t
        ):
            out = backbone(torch.randn(4, 3, 64, 32))
        kept.append(sum(sizes.values()) - sum(p.numel() for p in backbone.parameters()))
        del out
    assert kept[1] < 0.5 * kept[0]


def test_a_copy_computes_with_its_own_weights():
    """As a moving average of a model does."""
    backbone = build_backbone("resnet18", 1).train()
    checkpoint_blocks(backbone)
    other = copy.deepcopy(backbone)
    torch.nn.init.zeros_(other.layer4[1].conv1.weight)
    images = torch.randn(2, 3, 32, 16)
    assert not torch.equal(backbone.eval()(images), other.eval()(images))
    assert checkpoint_blocks(backbone) == 8  # once more changes nothing
    assert type(backbone.layer1[0]) is type(other.layer1[0])
