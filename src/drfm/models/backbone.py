"""What every image backbone has in common."""

from torch import Tensor, nn

from drfm.errors import DrfmError


class Backbone(nn.Module):
    """Maps ``(B, 3, H, W)`` ImageNet-normalised RGB to a feature map ``(B, out_channels, h, w)``.

    Attributes:
        out_channels: channels of the map, and so the dimension D of a feature.
        stem: names of the submodules before the first stage, which two encoders may share.
        head_keys: prefixes of checkpoint entries that belong to a classifier and are dropped.
        folds: every BatchNorm2d is registered right behind the convolution that feeds it.
    """

    out_channels: int
    stem: tuple[str, ...]
    head_keys: tuple[str, ...] = ()
    folds: bool = True

    def forward(self, images: Tensor) -> Tensor:
        """Compute the feature map."""
        raise NotImplementedError

    def load_pretrained(self) -> dict[str, str]:
        """Load the weights that this backbone's own library knows; its source, for the record."""
        raise NotImplementedError


def share_stem(target: Backbone, source: Backbone) -> None:
    """Make ``target`` use the very stem modules of ``source``, a backbone of the same kind (B1).

    Raises:
        DrfmError: this kind of backbone names no stem.
    """
    if not source.stem:
        raise DrfmError("model.sharing = stem: this backbone has none; give separate or shared")
    for name in source.stem:
        target.set_submodule(name, source.get_submodule(name))


def initialise(module: nn.Module) -> None:
    """Kaiming normal (fan out) for convolutions, identity for BatchNorm, as in He et al. 2016."""
    for child in module.modules():
        if isinstance(child, nn.Conv2d):
            nn.init.kaiming_normal_(child.weight, mode="fan_out", nonlinearity="relu")
            if child.bias is not None:
                nn.init.zeros_(child.bias)
        elif isinstance(child, nn.BatchNorm2d):
            nn.init.ones_(child.weight)
            nn.init.zeros_(child.bias)
