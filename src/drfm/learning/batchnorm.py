"""BatchNorm over parts of a batch, as that many devices would compute it (F3).

Published results of this family of methods come from several devices with one
BatchNorm each, which see a part of the batch and so only some of its classes. The
difference is large: single-device runs of the same code lose up to 20 points of mAP.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

Running = Literal["first", "mean"]
_DEVICE = "cuda"
"""Where all parts are computed by one kernel."""
_WHY_NOT: dict[torch.dtype, str] = {}
"""Types that the kernels were tried with, and why they do not work; empty where they do."""


@dataclass(frozen=True)
class _Follow:
    """Running statistics, changed in place.

    The share ``factor`` of them becomes the mean over the first ``counted`` parts. ``batches`` is the number
    of batches so far where it is still to be raised.
    """

    mean: Tensor
    variance: Tensor
    batches: Tensor | None
    counted: int
    factor: float


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
        parts = max(1, min(self.groups, len(x) // 2))
        kernels = _kernels_for(x, self)
        if parts < 2 and kernels is None:
            return super().forward(x)
        self._check_input_dim(x)  # type: ignore[no-untyped-call]
        follow = self._follow(parts, count=kernels is None or self.momentum is None)
        return _Parts.apply(x, self.weight, self.bias, follow, parts, self.eps, kernels)  # type: ignore[no-any-return,no-untyped-call]

    def _follow(self, parts: int, count: bool) -> _Follow | None:
        """What becomes of the statistics of a batch; ``count`` it, or leave that to the kernels."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return None
        batches = self.num_batches_tracked
        if count:
            batches.add_(1)
        factor = 1 / float(batches) if self.momentum is None else self.momentum
        counted = 1 if self.running == "first" else parts
        return _Follow(self.running_mean, self.running_var, None if count else batches, counted, factor)


class GroupBatchNorm1d(_Grouped, nn.BatchNorm1d):
    """A BatchNorm1d under :func:`group_batchnorm`."""


class GroupBatchNorm2d(_Grouped, nn.BatchNorm2d):
    """A BatchNorm2d under :func:`group_batchnorm`."""


class _Parts(torch.autograd.Function):
    """Normalises each part; by one kernel for all of them where there is one, else by torch's on slices.

    Splitting and concatenating with autograd would copy every activation twice more.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        follow: _Follow | None,
        parts: int,
        eps: float,
        kernels: ModuleType | None,
    ) -> Tensor:
        """Normalise ``x``, and keep mean and 1 / standard deviation of each part."""
        ctx.eps, ctx.kernels = eps, kernels
        if kernels is None:
            y, saved = _forward(x, weight, bias, follow, parts, eps)
        else:
            y, saved = _by_kernels(kernels, x, weight, bias, follow, parts, eps)
        ctx.save_for_backward(x, weight, saved)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the input, part by part, and of weight and bias, summed over the parts."""
        x, weight, saved = ctx.saved_tensors
        mask = ctx.needs_input_grad[:3]
        if ctx.kernels is None:
            gradients = _backward(gradient, x, weight, saved, ctx.eps, mask)
        else:
            gradients = ctx.kernels.backward(gradient, x, weight, saved, mask[1:])
        asked = (value if wanted else None for value, wanted in zip(gradients, mask, strict=True))
        return *asked, None, None, None, None


def _forward(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, follow: _Follow | None, parts: int, eps: float
) -> tuple[Tensor, Tensor]:
    y = torch.empty_like(x)
    # Half precision has float32 statistics, as in torch.
    wide = torch.promote_types(x.dtype, torch.float32)
    saved = torch.empty((2, parts, x.shape[1]), dtype=wide, device=x.device)
    running: list[tuple[Tensor | None, Tensor | None]] = [(None, None)] * parts
    factor = 0.0 if follow is None else follow.factor
    several = follow is not None and follow.counted > 1
    if follow is not None and several:
        means, variances = follow.mean.repeat(parts, 1), follow.variance.repeat(parts, 1)
        running = list(zip(means, variances, strict=True))
    elif follow is not None:
        running[0] = (follow.mean, follow.variance)
    slices = zip(x.tensor_split(parts), y.tensor_split(parts), strict=True)
    for index, (source, target) in enumerate(slices):
        out = (target, saved[0, index], saved[1, index])
        torch.native_batch_norm(source, weight, bias, *running[index], True, factor, eps, out=out)
    if follow is not None and several:
        follow.mean.copy_(means.mean(0))
        follow.variance.copy_(variances.mean(0))
    return y, saved


def _by_kernels(
    kernels: ModuleType,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    follow: _Follow | None,
    parts: int,
    eps: float,
) -> tuple[Tensor, Tensor]:
    running, counted, factor = None, 0, 0.0
    if follow is not None:
        running = (follow.mean, follow.variance, follow.batches)
        counted, factor = follow.counted, follow.factor
    return kernels.forward(x, weight, bias, running, parts, counted, factor, eps)  # type: ignore[no-any-return]


def _backward(
    gradient: Tensor, x: Tensor, weight: Tensor | None, saved: Tensor, eps: float, mask: tuple[bool, ...]
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    parts = saved.shape[1]
    dx = torch.empty_like(x)
    dw: Tensor | None = None
    db: Tensor | None = None
    slices = zip(*(whole.tensor_split(parts) for whole in (gradient, x, dx)), strict=True)
    for (dy, source, target), mean, scale in zip(slices, saved[0], saved[1], strict=True):
        gx, gw, gb = torch.ops.aten.native_batch_norm_backward(
            dy, source, weight, None, None, mean, scale, True, eps, mask
        )
        dw = gw if dw is None else dw.add_(gw)
        db = gb if db is None else db.add_(gb)  # None throughout where the bias is frozen
        if mask[0]:
            target.copy_(gx)
    return dx, dw, db


def _kernels_for(x: Tensor, norm: _BatchNorm) -> ModuleType | None:
    """What computes all parts of ``x`` at once, where that can be done."""
    halves = (torch.float32, torch.bfloat16, torch.float16)
    if x.device.type != _DEVICE or x.dim() != 4 or x.dtype not in halves:
        return None
    own = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    if any(each is not None and each.dtype != torch.float32 for each in own):
        return None
    if not x.is_contiguous(memory_format=torch.channels_last):
        return None
    if x.dtype not in _WHY_NOT:
        if (
            x.is_cuda and torch.cuda.is_current_stream_capturing()
        ):  # nothing may be compiled while a graph is recorded
            return None
        _WHY_NOT[x.dtype] = _try_kernels(x)
    if _WHY_NOT[x.dtype]:
        return None
    from drfm.learning import batchnorm_triton

    return batchnorm_triton


def _try_kernels(like: Tensor) -> str:
    """Compile every kernel for numbers as those of ``like`` and run it; why that fails, in one line."""
    try:
        from drfm.learning import batchnorm_triton as kernels

        x = like.new_ones((2, 64, 2, 2)).contiguous(memory_format=torch.channels_last)
        weight, bias, *running = torch.ones((4, 64), device=x.device)
        batches = torch.zeros((), dtype=torch.int64, device=x.device)
        y, saved = kernels.forward(x, weight, bias, (*running, batches), 2, 1, 0.1, 1e-5)
        kernels.backward(y, x, weight, saved, (True, True))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a compiler, a driver and Triton itself each fail in their own way
        return (str(error) or type(error).__name__).splitlines()[0]
    return ""


def kernels_refused() -> str:
    """Why maps on a GPU are normalised part by part after all, in one line; empty while they are not."""
    return next((reason for reason in _WHY_NOT.values() if reason), "")
