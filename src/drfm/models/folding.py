"""Copies of a model that compute the same in eval mode with less to do."""

import copy
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from drfm.models.backbone import Backbone


def folded(model: nn.Module) -> nn.Module:
    """A copy of ``model`` in eval mode whose backbones have BatchNorm folded into their convolutions.

    In every backbone of this library a BatchNorm2d is registered right behind the
    convolution that feeds it, and nothing comes between the two. Outputs equal those of
    ``model.eval()`` up to float32 rounding; ``model`` itself is not changed.
    """
    copied = copy.deepcopy(model).eval()
    for backbone in _own_backbones(copied):
        for part in backbone.modules():
            _fold_children(part)
    return copied


def lighten(model: nn.Module, device: torch.device, precision: str) -> nn.Module:
    """A copy of ``model`` in eval mode for many batches on ``device``.

    On a GPU BatchNorm stays: what is folded comes back as the bias of a convolution, and torch adds that
    there in a walk of its own, so that none is saved. With ``bfloat16`` the convolutions' weights are rounded
    once; autocast would round them to the same numbers in every batch. Everything else stays float32.

    Args:
        model: not changed.
        device: where it is.
        precision: what it will be called in, ``float32`` or ``bfloat16``, the latter under autocast.
    """
    copied = copy.deepcopy(model).eval() if device.type == "cuda" else folded(model)
    if precision == "bfloat16":
        for backbone in _own_backbones(copied):
            for child in backbone.modules():
                if isinstance(child, nn.Conv2d):
                    child.to(torch.bfloat16)
    return copied


def _own_backbones(model: nn.Module) -> Iterator[Backbone]:
    """Backbones of this library, whose modules are known."""
    return (child for child in model.modules() if isinstance(child, Backbone) and child.folds)


def _fold_children(module: nn.Module) -> None:
    before: tuple[str, nn.Conv2d] | None = None
    for name, child in list(module.named_children()):
        if before is not None and isinstance(child, nn.BatchNorm2d):
            setattr(module, before[0], fuse_conv_bn_eval(before[1], child))
            setattr(module, name, nn.Identity())
        before = (name, child) if isinstance(child, nn.Conv2d) else None
