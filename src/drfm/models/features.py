"""What an encoder says of a batch of pairs."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Features = dict[str, Tensor]
"""Space (``"hr"``, ``"lr"``, ``"fused"``) to ``(N, D)`` float32 rows of unit length, row i for pair i."""


@dataclass(frozen=True)
class Encoded:
    """One forward pass over B pairs.

    Attributes:
        hr: ``(B, D)`` feature of the HR-space image, E_h(.), unit rows if ``model.normalise``.
        lr: ``(B, D)`` feature of the LR-space image, E_l(.).
        fused: ``(B, D)`` CRFF(hr, lr), or ``None`` for a model without a fusion space.
        hr_pooled: ``(B, D)`` pooled vector of the HR-space image before the neck, for some predictors.
    """

    hr: Tensor
    lr: Tensor
    fused: Tensor | None
    hr_pooled: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> "Encoded":
        """The same with ``function`` applied to every tensor."""
        fused = None if self.fused is None else function(self.fused)
        return Encoded(function(self.hr), function(self.lr), fused, function(self.hr_pooled))

    def spaces(self) -> Features:
        """The features by space, detached, as float32."""
        named = {"hr": self.hr, "lr": self.lr, "fused": self.fused}
        return {name: value.detach().to(torch.float32) for name, value in named.items() if value is not None}
