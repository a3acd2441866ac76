"""The dual-resolution model: E_h, E_l, CRFF and Pred."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from drfm.config import ModelConfig
from drfm.models.backbone import share_stem
from drfm.models.backbones import build_backbone
from drfm.models.encoder import Encoder
from drfm.models.features import Encoded
from drfm.models.fusion import CRFF, FullyConnectedFusion
from drfm.models.graphs import side_by_side
from drfm.models.predictor import Predictor
from drfm.resolution.pairs import Source


class DualEncoder(nn.Module):
    """Encodes pairs.

    Its weights are random; :func:`build_model` gives one with those of the configuration.

    Attributes:
        views: the images of a pair that :meth:`forward` takes, in this order.
        config: the options that it was built from.
        dimension: D of every feature.
        hr_encoder: E_h.
        lr_encoder: E_l; the same module as ``hr_encoder`` if shared.
        fusion: CRFF, its ablation, or ``None``.
        predictor: Pred.
        gather: where several processes train, what makes features of the whole batch of those of its part;
            applied to all that :meth:`forward` gives in training mode.
        facts: for the record: backbone, D, number of parameters, source and checksum of the weights.
    """

    views: tuple[Source, ...] = ("hr", "lr")

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.gather: Callable[[Tensor], Tensor] | None = None
        backbone = build_backbone(config.backbone, config.last_stride)
        self.hr_encoder = Encoder(backbone, config.pooling, config.normalise)
        self.lr_encoder = self.hr_encoder
        self.dimension = backbone.out_channels
        self.fusion = _fusion(config, self.dimension)
        self.predictor = Predictor(self.dimension, config.predictor, config.fc_init)
        self.facts: dict[str, Any] = {"backbone": config.backbone, "dimension": self.dimension}
        self.split()

    def split(self) -> None:
        """Start E_l as a copy of E_h, sharing what the configuration says (B1)."""
        if self.config.sharing != "shared":
            self.lr_encoder = copy.deepcopy(self.hr_encoder)
        if self.config.sharing == "stem":
            share_stem(self.lr_encoder.backbone, self.hr_encoder.backbone)
        self.facts["parameters"] = sum(parameter.numel() for parameter in self.parameters())

    def forward(self, hr: Tensor, lr: Tensor) -> Encoded:
        """Encode B pairs.

        Args:
            hr: ``(B, 3, H, W)`` ImageNet-normalised HR-space images.
            lr: ``(B, 3, h, w)`` ImageNet-normalised LR-space images.

        Returns:
            Features in the three spaces, float32 ``(B, D)``. In eval mode their rows have unit length; in
            training the rows of ``hr`` and ``lr`` do if ``model.normalise``, those of ``fused`` always.
        """
        if self._side_by_side(lr):
            (hr_feature, hr_pooled), (lr_feature, _) = side_by_side(
                lambda: self.hr_encoder(hr), self.lr_encoder, lr
            )
        else:
            hr_feature, hr_pooled = self.hr_encoder(hr)
            lr_feature, _ = self.lr_encoder(lr)
        encoded = Encoded(hr_feature, lr_feature, self.fuse(hr_feature, lr_feature), hr_pooled)
        return encoded if self.gather is None or not self.training else encoded.map(self.gather)

    def _side_by_side(self, images: Tensor) -> bool:
        """Whether this is a pass that the encoders replay on a GPU, and they share nothing."""
        replayed = self.training and self.hr_encoder.graphs is not None
        return replayed and images.is_cuda and self.config.sharing == "separate"

    def fuse(self, hr: Tensor, lr: Tensor) -> Tensor | None:
        """Fused features ``(B, D)`` of features in the HR and LR space, or ``None`` without a fusion space.

        With ``model.fusion_gradient = detach`` no gradient passes into ``hr`` and ``lr`` (B10).
        """
        if self.fusion is None:
            return None
        if self.config.fusion_gradient == "detach":
            hr, lr = hr.detach(), lr.detach()
        with torch.autocast(hr.device.type, enabled=False):
            return self.fusion(hr, lr)  # type: ignore[no-any-return]

    def predict(self, encoded: Encoded) -> Tensor:
        """Pred of the HR-space images (Eq. 18), ``(B, D)`` float32 with unit rows."""
        with torch.autocast(encoded.hr.device.type, enabled=False):
            return self.predictor(encoded.hr, encoded.hr_pooled)  # type: ignore[no-any-return]


def _fusion(config: ModelConfig, dimension: int) -> nn.Module | None:
    if config.fusion == "none":
        return None
    if config.fusion == "fc":
        return FullyConnectedFusion(dimension, norm=config.crff_norm, init=config.fc_init)
    return CRFF(
        dimension,
        activation=config.crff_activation,
        gate=config.crff_gate,
        temperature=config.crff_temperature,
        norm=config.crff_norm,
        init=config.fc_init,
    )
