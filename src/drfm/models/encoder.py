"""One encoder: backbone, global pooling, BatchNorm neck, optional L2 norm."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from drfm.models.backbone import Backbone
from drfm.models.graphs import Graphs
from drfm.models.layers import neck

Pooling = Literal["average", "gem", "gem_fixed"]
_GEM_START = 3.0


def average_pool(features: Tensor) -> Tensor:
    """Mean over the positions of a map: ``(B, D, h, w)`` to ``(B, D)``."""
    return features.mean((-2, -1))


def gem_pool(features: Tensor, exponent: Tensor | float, floor: float = 1e-6) -> Tensor:
    """Generalised mean over the positions of a map: ``(B, D, h, w)`` to ``(B, D)``.

    ``(mean_x max(f_x, floor)^p)^(1/p)`` after Radenovic et al., TPAMI 2019: the
    average for p = 1, the maximum for p towards infinity.
    """
    return features.clamp(min=floor).pow(exponent).mean((-2, -1)).pow(1 / exponent)


class Head(nn.Module):
    """From a map to a feature: global pooling, neck, optional L2 norm.

    The neck is a BatchNorm1d whose bias is frozen at 0. Until it has seen a training
    batch it changes nothing but the length of a vector in eval mode, so the first
    clustering compares pooled ImageNet features.

    Args:
        channels: D, channels of the map.
        pooling: ``average``, ``gem`` (one learnt exponent that starts at 3) or ``gem_fixed`` (3).
        normalise: L2-normalise features in training too (B3); in eval mode they always are.
    """

    def __init__(self, channels: int, pooling: Pooling = "average", normalise: bool = True) -> None:
        super().__init__()
        self.out_channels = channels
        self.normalise = normalise
        self.exponent = None
        if pooling != "average":
            self.exponent = nn.Parameter(torch.tensor([_GEM_START]), requires_grad=pooling == "gem")
        self.neck = neck(self.out_channels)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Describe ``(B, D, h, w)`` maps.

        Returns:
            The feature ``(B, D)`` behind the neck, and the pooled vector ``(B, D)`` before it; float32
            whatever the arithmetic of the map.
        """
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            pooled = average_pool(features) if self.exponent is None else gem_pool(features, self.exponent)
            feature = self.neck(pooled)
            if self.normalise or not self.training:
                feature = functional.normalize(feature)
        return feature, pooled


class Encoder(Head):
    """E_h or E_l: images to features, a backbone with a :class:`Head`.

    Args:
        backbone: computes the map.
        pooling: see :class:`Head`.
        normalise: see :class:`Head`.

    Attributes:
        graphs: replays the backbone's training passes on a GPU, where the engine wants it.
    """

    def __init__(self, backbone: Backbone, pooling: Pooling = "average", normalise: bool = True) -> None:
        super().__init__(backbone.out_channels, pooling, normalise)
        self.backbone = backbone
        self.graphs: Graphs | None = None

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Encode ``(B, 3, H, W)`` ImageNet-normalised RGB; returns what :class:`Head` does."""
        return super().forward(self.map(images))

    def map(self, images: Tensor) -> Tensor:
        """The backbone's ``(B, D, h, w)`` map of the images."""
        return self.graphs(images) if self.graphs is not None else self.backbone(images)


def add_graphs(model: nn.Module) -> list[Graphs]:
    """Let every encoder in ``model`` replay its backbone's training passes on a GPU; what does so."""
    found = []
    for child in model.modules():
        if isinstance(child, Encoder):
            child.graphs = Graphs(child.backbone)
            found.append(child.graphs)
    return found
