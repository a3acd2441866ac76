"""BatchNorm over parts of a batch, as that many devices would compute it (F3).

Published results of this family of methods come from several devices with one
BatchNorm each, which see a part of the batch and so only some of its classes. The
difference is large: single-device runs of the same code lose up to 20 points of mAP.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

Running = Literal["first", "mean"]
_Statistics = tuple[Tensor | None, Tensor | None]


def group_batchnorm(module: nn.Module, groups: int, running: Running = "first") -> None:
    """Let every BatchNorm1d and BatchNorm2d in ``module`` normalise training batches in parts.

    A batch of B is cut into ``groups`` contiguous parts whose sizes differ by one at
    most, and into fewer where a part would have less than 2 samples. Nothing changes in
    eval mode, and neither do parameters, their names or the running statistics so far.
    With one group the result is that of torch. Where torch refuses to train, on a batch
    with a single value per channel, the running statistics are used and left alone.

    Args:
        module: changed in place; may be called again with another number.
        groups: number of parts.
        running: running statistics follow part 0 alone, as those of torch's ``DataParallel`` do,
            or the mean over the parts.

    Raises:
        ValueError: ``groups`` is less than 1.
    """
    if groups < 1:
        raise ValueError(f"groups = {groups}: give 1 or more")
    for child in module.modules():
        # The class is swapped, not the object, so that shared modules stay shared.
        if type(child) is nn.BatchNorm1d:
            child.__class__ = GroupBatchNorm1d
        elif type(child) is nn.BatchNorm2d:
            child.__class__ = GroupBatchNorm2d
        if isinstance(child, _Grouped):
            child.groups, child.running = groups, running


class _Grouped(_BatchNorm):
    groups: int
    running: Running

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(B, C, ...)``, part by part in training mode."""
        if not self.training:
            return super().forward(x)
        if x.numel() == x.shape[1]:
            mean, var = self.running_mean, self.running_var
            return torch.batch_norm(x, self.weight, self.bias, mean, var, False, 0.0, self.eps, False)
        parts = min(self.groups, len(x) // 2)
        if parts < 2:
            return super().forward(x)
        self._check_input_dim(x)  # type: ignore[no-untyped-call]
        return self._forward_parts(x, parts)

    def _forward_parts(self, x: Tensor, parts: int) -> Tensor:
        statistics: list[_Statistics] = [(None, None)] * parts
        factor = 0.0
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return _normalise(x, self.weight, self.bias, statistics, factor, self.eps)
        self.num_batches_tracked.add_(1)
        factor = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        if self.running == "first":
            statistics[0] = (self.running_mean, self.running_var)
            return _normalise(x, self.weight, self.bias, statistics, factor, self.eps)
        means, variances = self.running_mean.repeat(parts, 1), self.running_var.repeat(parts, 1)
        statistics = list(zip(means, variances, strict=True))
        y = _normalise(x, self.weight, self.bias, statistics, factor, self.eps)
        self.running_mean.copy_(means.mean(0))
        self.running_var.copy_(variances.mean(0))
        return y


class GroupBatchNorm1d(_Grouped, nn.BatchNorm1d):
    """A BatchNorm1d under :func:`group_batchnorm`."""


class GroupBatchNorm2d(_Grouped, nn.BatchNorm2d):
    """A BatchNorm2d under :func:`group_batchnorm`."""


class _Parts(torch.autograd.Function):
    """Torch's BatchNorm kernel on slices of one input, writing into slices of one output.

    Splitting and concatenating with autograd would copy every activation twice more.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        statistics: list[_Statistics],
        factor: float,
        eps: float,
    ) -> Tensor:
        """Normalise each part; ``statistics`` are the running ones of each, changed in place."""
        y = torch.empty_like(x)
        # Half precision has float32 statistics, as in torch.
        wide = torch.promote_types(x.dtype, torch.float32)
        saved = torch.empty((2, len(statistics), x.shape[1]), dtype=wide, device=x.device)
        parts = zip(x.tensor_split(len(statistics)), y.tensor_split(len(statistics)), strict=True)
        for index, (source, target) in enumerate(parts):
            out = (target, saved[0, index], saved[1, index])
            torch.native_batch_norm(
                source, weight, bias, *statistics[index], True, factor, eps, out=out
            )  # fmt: skip
        ctx.save_for_backward(x, weight, saved)
        ctx.eps = eps
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the input, part by part, and of weight and bias, summed over the parts."""
        x, weight, saved = ctx.saved_tensors
        mask = ctx.needs_input_grad[:3]
        parts = saved.shape[1]
        dx = torch.empty_like(x)
        dw: Tensor | None = None
        db: Tensor | None = None
        slices = zip(*(whole.tensor_split(parts) for whole in (gradient, x, dx)), strict=True)
        for (dy, source, target), mean, scale in zip(slices, saved[0], saved[1], strict=True):
            gx, gw, gb = torch.ops.aten.native_batch_norm_backward(
                dy, source, weight, None, None, mean, scale, True, ctx.eps, mask
            )
            dw = gw if dw is None else dw.add_(gw)
            db = gb if db is None else db.add_(gb)  # None throughout where the bias is frozen
            if mask[0]:
                target.copy_(gx)
        gradients = (dx, dw, db)
        return *(value if wanted else None for value, wanted in zip(gradients, mask, strict=True)), *[
            None
        ] * 3


def _normalise(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    statistics: list[_Statistics],
    *constants: float,
) -> Tensor:
    return _Parts.apply(x, weight, bias, statistics, *constants)  # type: ignore[no-any-return,no-untyped-call]
