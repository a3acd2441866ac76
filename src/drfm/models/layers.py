"""Layers that several heads are made of."""

from typing import Literal

from torch import nn


def linear(inputs: int, outputs: int, init: Literal["kaiming", "torch"]) -> nn.Linear:
    """A fully connected layer: Kaiming normal (fan out) with zero bias, or PyTorch's default (B8)."""
    layer = nn.Linear(inputs, outputs)
    if init == "kaiming":
        nn.init.kaiming_normal_(layer.weight, mode="fan_out")
        nn.init.zeros_(layer.bias)
    return layer


def neck(dimension: int) -> nn.BatchNorm1d:
    """BatchNorm with weight 1 and a bias that stays 0 (Luo et al., CVPRW 2019)."""
    layer = nn.BatchNorm1d(dimension)
    layer.bias.requires_grad_(False)
    return layer
