"""Cross-resolution feature fusion, CRFF (Section 3.3, Eq. 10-13), and the single layer it is compared with.

Throughout, ``u`` is the feature of the HR-space image and ``v`` that of the LR-space
image of a pair, ``(B, D)`` each; one CRFF serves pairs of both origins (B9).
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from drfm.models.layers import linear, neck

Activation = Literal["none", "relu"]
Gate = Literal["softmax", "softmax_scaled", "sigmoid"]
Layer = tuple[Tensor, Tensor | None]
"""Weight ``(outputs, inputs)`` and bias ``(outputs,)`` of a fully connected layer."""


def gate_weights(a: Tensor, b: Tensor, *, gate: Gate = "softmax", temperature: float = 1.0) -> Tensor:
    """The gate of Eq. 10, ``Softmax[a * b]`` over channels, for ``a = F1(u)`` and ``b = F2(v)``.

    Args:
        a: ``(B, D)``.
        b: ``(B, D)``.
        gate: ``softmax`` as printed; ``softmax_scaled`` times D, so that the mean weight is 1;
            ``sigmoid`` of every channel by itself (B6).
        temperature: divides the product.

    Returns:
        ``(B, D)``; rows sum to 1 for ``softmax``.
    """
    product = a * b / temperature
    if gate == "sigmoid":
        return product.sigmoid()
    weights = product.softmax(dim=-1)
    return weights * weights.shape[-1] if gate == "softmax_scaled" else weights


def enhance(feature: Tensor, weights: Tensor) -> Tensor:
    """Eq. 11 and 12: ``f + f * g`` for a feature and the gate, ``(B, D)``."""
    return feature + feature * weights


def concatenate_project(u: Tensor, v: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Eq. 13: ``F3[Cat(u, v)]`` with ``weight`` ``(D, 2D)``; ``(B, D)``, not normalised."""
    return functional.linear(torch.cat([u, v], dim=-1), weight, bias)


def crff(
    u: Tensor,
    v: Tensor,
    f1: Layer,
    f2: Layer,
    f3: Layer,
    *,
    activation: Activation = "none",
    gate: Gate = "softmax",
    temperature: float = 1.0,
) -> Tensor:
    """Eq. 10 to 13 in one go.

    Args:
        u: ``(B, D)`` features of the HR-space images.
        v: ``(B, D)`` features of the LR-space images.
        f1: weight ``(D, D)`` and bias ``(D,)`` of F1.
        f2: weight ``(D, D)`` and bias ``(D,)`` of F2.
        f3: weight ``(D, 2D)`` and bias ``(D,)`` of F3.
        activation: behind F1 and F2 (B5).
        gate: see :func:`gate_weights`.
        temperature: see :func:`gate_weights`.

    Returns:
        ``(B, D)`` fused features as Eq. 13 gives them, not normalised.
    """
    a, b = functional.linear(u, *f1), functional.linear(v, *f2)
    if activation == "relu":
        a, b = a.relu(), b.relu()
    weights = gate_weights(a, b, gate=gate, temperature=temperature)
    return concatenate_project(enhance(u, weights), enhance(v, weights), *f3)


class CRFF(nn.Module):
    """The CRFF module, with the options of the list of ambiguities.

    Args:
        dimension: D.
        activation: behind F1 and F2 (B5).
        gate: form of the gate (B6).
        temperature: of the gate (B6).
        norm: ``l2``, or ``bn_l2`` for a BatchNorm with frozen bias before the L2 norm (B7).
        init: ``kaiming`` or ``torch`` (B8).
    """

    def __init__(
        self,
        dimension: int,
        *,
        activation: Activation = "none",
        gate: Gate = "softmax",
        temperature: float = 1.0,
        norm: Literal["l2", "bn_l2"] = "l2",
        init: Literal["kaiming", "torch"] = "kaiming",
    ) -> None:
        super().__init__()
        self.activation: Activation = activation
        self.gate: Gate = gate
        self.temperature = temperature
        self.f1 = linear(dimension, dimension, init)
        self.f2 = linear(dimension, dimension, init)
        self.f3 = linear(2 * dimension, dimension, init)
        self.norm = neck(dimension) if norm == "bn_l2" else nn.Identity()

    def forward(self, u: Tensor, v: Tensor) -> Tensor:
        """Unit rows ``(B, D)`` from ``u`` and ``v``, ``(B, D)`` each."""
        layers = [(layer.weight, layer.bias) for layer in (self.f1, self.f2, self.f3)]
        fused = crff(u, v, *layers, activation=self.activation, gate=self.gate, temperature=self.temperature)
        return functional.normalize(self.norm(fused))


class FullyConnectedFusion(nn.Module):
    """Ablation A5: F3 on the concatenation, without the gate.

    Args:
        dimension: D.
        norm: as in :class:`CRFF`.
        init: as in :class:`CRFF`.
    """

    def __init__(
        self,
        dimension: int,
        *,
        norm: Literal["l2", "bn_l2"] = "l2",
        init: Literal["kaiming", "torch"] = "kaiming",
    ) -> None:
        super().__init__()
        self.f3 = linear(2 * dimension, dimension, init)
        self.norm = neck(dimension) if norm == "bn_l2" else nn.Identity()

    def forward(self, u: Tensor, v: Tensor) -> Tensor:
        """Unit rows ``(B, D)`` from ``u`` and ``v``, ``(B, D)`` each."""
        fused = concatenate_project(u, v, self.f3.weight, self.f3.bias)
        return functional.normalize(self.norm(fused))
