"""The predictor Pred of Eq. 18, in three forms (B4)."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from drfm.models.layers import linear, neck


class Predictor(nn.Module):
    """Maps what the HR encoder says of an image to a guess of its LR feature.

    Args:
        dimension: D.
        kind: ``linear``, one layer on the feature, as the paper prints it; ``linear_bn``, a layer and
            a BatchNorm with frozen bias on the pooled vector before the neck, as in the code of its
            authors; ``mlp``, SimSiam's bottleneck of a quarter of the width on the feature
            (Chen and He, CVPR 2021).
        init: ``kaiming`` or ``torch`` (B8).
    """

    def __init__(
        self,
        dimension: int,
        kind: Literal["linear", "linear_bn", "mlp"] = "linear",
        init: Literal["kaiming", "torch"] = "kaiming",
    ) -> None:
        super().__init__()
        self.kind = kind
        if kind == "linear":
            self.layers: nn.Module = linear(dimension, dimension, init)
        elif kind == "linear_bn":
            self.layers = nn.Sequential(linear(dimension, dimension, init), neck(dimension))
        else:
            hidden = max(1, dimension // 4)
            self.layers = nn.Sequential(
                linear(dimension, hidden, init),
                nn.BatchNorm1d(hidden),
                nn.ReLU(inplace=True),
                linear(hidden, dimension, init),
            )

    def forward(self, feature: Tensor, pooled: Tensor) -> Tensor:
        """The first factor of Eq. 18, ``Pred(f) / ||Pred(f)||``.

        Args:
            feature: ``(B, D)`` features of the HR-space images.
            pooled: ``(B, D)`` pooled vectors before the neck, which ``linear_bn`` reads instead.

        Returns:
            ``(B, D)`` unit rows.
        """
        return functional.normalize(self.layers(pooled if self.kind == "linear_bn" else feature))
