"""Activation checkpointing: less memory for more arithmetic, with the same gradients.

Only what enters a block is kept for the backward pass; the block is computed once more there.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from drfm.models.backbone import Backbone


def checkpoint_blocks(model: nn.Module) -> int:
    """Make the blocks of every backbone in ``model`` compute their activations anew in the backward pass.

    A block is an entry of a ``Sequential`` or ``ModuleList`` right within the backbone, or the backbone
    itself where it has none. Names, parameters and results stay as they are, BatchNorm's running
    statistics included, which the second pass leaves alone.

    Returns:
        Number of blocks.
    """
    found: dict[nn.Module, None] = {}
    for backbone in (child for child in model.modules() if isinstance(child, Backbone)):
        lists = [c for c in backbone.children() if isinstance(c, (nn.Sequential, nn.ModuleList))]
        blocks = [block for part in lists for block in part if any(True for _ in block.parameters())]
        found |= dict.fromkeys(blocks or [backbone])
    for block in found:
        # The class is swapped, not the object, so that shared blocks stay shared and copies are copies.
        block.__class__ = _checkpointed(type(block))
    return len(found)


_KNOWN: dict[type[nn.Module], type[nn.Module]] = {}


def _checkpointed(kind: type[nn.Module]) -> type[nn.Module]:
    if kind in _KNOWN.values():
        return kind
    if kind not in _KNOWN:

        def forward(self: nn.Module, x: Tensor) -> Any:
            if not (self.training and torch.is_grad_enabled()):
                return kind.forward(self, x)

            def contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
                return nullcontext(), _statistics_kept(self)

            return checkpoint(lambda y: kind.forward(self, y), x, use_reentrant=False, context_fn=contexts)

        _KNOWN[kind] = type(kind.__name__, (kind,), {"forward": forward})
    return _KNOWN[kind]


@contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    """Let BatchNorm count on copies of its running statistics, and put the true ones back."""
    names = ("running_mean", "running_var", "num_batches_tracked")
    norms = [child for child in module.modules() if isinstance(child, _BatchNorm)]
    kept = [{name: norm._buffers[name] for name in names} for norm in norms]
    for norm, buffers in zip(norms, kept, strict=True):
        norm._buffers.update({k: None if v is None else v.clone() for k, v in buffers.items()})
    try:
        yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            norm._buffers.update(buffers)
