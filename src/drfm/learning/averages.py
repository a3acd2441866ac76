"""A moving average of a network (mean teacher; Tarvainen and Valpola, NeurIPS 2017)."""

import copy
from collections.abc import Iterator
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


class Average(Generic[M]):
    """A copy of a network whose parameters follow it slowly.

    Buffers are not averaged: the running statistics of BatchNorm come from the copy's own
    forward passes in training mode, as in the code of ICE, PPLR and DCCC.

    Attributes:
        module: the copy; without gradient. Extract with it, and test and save it.
    """

    def __init__(self, source: M) -> None:
        """Copy ``source`` as it is now, with its mode, device and memory layout."""
        self.module = copy.deepcopy(source).requires_grad_(False)

    @torch.no_grad()
    def update(self, source: M, decay: float) -> None:
        """Parameters become ``decay`` times their own and ``1 - decay`` times those of ``source``."""
        for mine, theirs in _pairs(self.module, source):
            mine.lerp_(theirs, 1 - decay)

    def state_dict(self) -> dict[str, Tensor]:
        """Parameters and buffers of the copy."""
        return dict(self.module.state_dict())

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what :meth:`state_dict` gave."""
        self.module.load_state_dict(state)


def _pairs(one: nn.Module, other: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(one.parameters(), other.parameters(), strict=True)
