"""BatchNorm folded into the convolution before it: the same function in eval mode, with less to compute."""

import copy

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
    for module in copied.modules():
        if isinstance(module, Backbone) and module.folds:
            for part in module.modules():
                _fold_children(part)
    return copied


def _fold_children(module: nn.Module) -> None:
    before: tuple[str, nn.Conv2d] | None = None
    for name, child in list(module.named_children()):
        if before is not None and isinstance(child, nn.BatchNorm2d):
            setattr(module, before[0], fuse_conv_bn_eval(before[1], child))
            setattr(module, name, nn.Identity())
        before = (name, child) if isinstance(child, nn.Conv2d) else None
