"""One encoder for images of every resolution, as the methods have it that know no pairs."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from drfm.config import ModelConfig
from drfm.models.backbones import build_backbone
from drfm.models.encoder import Encoder, Head
from drfm.models.features import Features
from drfm.resolution.pairs import Source


@dataclass(frozen=True)
class Described:
    """One forward pass over B images.

    Attributes:
        image: ``(B, D)`` float32 feature, unit rows if ``model.normalise`` and in eval mode.
        parts: the same for each stripe, from top to bottom; empty without ``model.parts``.
        pooled: ``(B, D)`` pooled vector before the neck.
    """

    image: Tensor
    parts: tuple[Tensor, ...]
    pooled: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> "Described":
        """The same with ``function`` applied to every tensor."""
        return Described(function(self.image), tuple(map(function, self.parts)), function(self.pooled))

    def spaces(self) -> Features:
        """The features by name, ``image``, ``part0`` and so on, detached."""
        named = {"image": self.image} | {f"part{number}": part for number, part in enumerate(self.parts)}
        return {name: value.detach().to(torch.float32) for name, value in named.items()}


class SingleEncoder(nn.Module):
    """Encodes one image of each pair: the capture, or the HR-space image.

    Its weights are random; :func:`drfm.models.build.build_model` gives one with those of the configuration.

    Attributes:
        views: the image of a pair that :meth:`forward` takes.
        config: the options that it was built from.
        dimension: D of every feature.
        encoder: backbone, pooling and neck.
        parts: a head for each horizontal stripe of the map.
        gather: as in :class:`~drfm.models.dual.DualEncoder`.
        facts: for the record, as in :class:`~drfm.models.dual.DualEncoder`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.gather: Callable[[Tensor], Tensor] | None = None
        self.views: tuple[Source, ...] = ("hr",) if config.encoders == "hr" else ("native",)
        backbone = build_backbone(config.backbone, config.last_stride)
        self.encoder = Encoder(backbone, config.pooling, config.normalise)
        self.dimension = backbone.out_channels
        self.parts = nn.ModuleList(
            Head(self.dimension, config.pooling, config.normalise) for _ in range(config.parts)
        )
        self.facts: dict[str, Any] = {"backbone": config.backbone, "dimension": self.dimension}
        self.facts["parameters"] = sum(parameter.numel() for parameter in self.parameters())

    def forward(self, images: Tensor) -> Described:
        """Encode ``(B, 3, H, W)`` ImageNet-normalised RGB."""
        described = self._describe(images)
        return described if self.gather is None or not self.training else described.map(self.gather)

    def _describe(self, images: Tensor) -> Described:
        if not self.parts:
            feature, pooled = self.encoder(images)
            return Described(feature, (), pooled)
        whole = self.encoder.map(images)
        feature, pooled = Head.forward(self.encoder, whole)
        stripes = _stripes(whole, len(self.parts))
        parts = tuple(head(stripe)[0] for head, stripe in zip(self.parts, stripes, strict=True))
        return Described(feature, parts, pooled)


def _stripes(whole: Tensor, count: int) -> list[Tensor]:
    """``count`` horizontal stripes of a map, with the rows that adaptive pooling would take for each."""
    height = whole.shape[-2]
    ends = [(i * height // count, math.ceil((i + 1) * height / count)) for i in range(count)]
    return [whole[..., first:last, :] for first, last in ends]
