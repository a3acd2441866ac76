"""Several processes that train one model: each encodes its part of a batch, all see the whole of it.

Losses, pseudo-labels and memories belong to the whole batch, so they are computed by every process,
from the same features, to the same bits. What is shared out is what costs: the encoders. Features are
gathered in the order of the batch; going back, each process keeps the gradient of its own part.
"""

import hashlib
import importlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from drfm.config import Config
from drfm.errors import DrfmError
from drfm.learning.batchnorm import group_batchnorm
from drfm.models.build import Model
from drfm.models.dual import DualEncoder

T = TypeVar("T")

PATIENCE = timedelta(hours=6)
"""How long a process waits for the others, which may build an image store or run a test meanwhile."""


@dataclass(frozen=True)
class Processes:
    """This process among those that train together; alone by default.

    Attributes:
        rank: number of this process, from 0.
        count: number of processes.
    """

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files and speaks."""
        return self.rank == 0

    def part(self, count: int) -> slice:
        """This process's part of ``count`` rows, as even as can be."""
        return slice(count * self.rank // self.count, count * (self.rank + 1) // self.count)

    def gather(self, part: Tensor) -> Tensor:
        """Rows of all processes, in their order; every process gives as many.

        Gradients reach the own rows alone, times the number of processes, so that
        :meth:`average_gradients` gives those of the whole batch.
        """
        if self.count == 1:
            return part
        return _Gather.apply(part, self.rank, self.count)  # type: ignore[no-any-return,no-untyped-call]

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over the processes, in one message for each type."""
        if self.count == 1:
            return
        grouped: dict[torch.dtype, list[Tensor]] = {}
        for parameter in parameters:
            if parameter.grad is not None:
                grouped.setdefault(parameter.grad.dtype, []).append(parameter.grad)
        for gradients in grouped.values():
            flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
            dist.all_reduce(flat)
            flat /= self.count
            means = torch.split(flat, [gradient.numel() for gradient in gradients])
            for gradient, mean in zip(gradients, means, strict=True):
                gradient.copy_(mean.view_as(gradient))

    def whole(self, part: Tensor, count: int, device: torch.device) -> Tensor:
        """All ``count`` rows, where the part lies, from each process's :meth:`part` of them; no gradients."""
        if self.count == 1:
            return part
        tallest = -(-count // self.count)
        padded = part.new_zeros((tallest, *part.shape[1:]))
        padded[: len(part)] = part
        parts = [torch.empty_like(padded, device=device) for _ in range(self.count)]
        dist.all_gather(parts, padded.to(device))
        edges = [count * rank // self.count for rank in range(self.count + 1)]
        return torch.cat([parts[r][: edges[r + 1] - edges[r]].to(part.device) for r in range(self.count)])

    def share_buffers(self, module: nn.Module) -> None:
        """Give every process the buffers of the first: running statistics of BatchNorm."""
        if self.count > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, 0)

    def same(self, what: str, *parts: bytes) -> None:
        """Make sure that all processes hold the same bytes.

        Raises:
            DrfmError: they do not; training on would mix different things.
        """
        if self.count == 1:
            return
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part)
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, digest.hexdigest())
        if len(set(found)) > 1:
            raise DrfmError(
                f"{what} differ between the {self.count} processes: their machines or versions of PyTorch "
                "are not alike; train with one process, or on machines of one kind"
            )

    def first_says(self, value: T) -> T:
        """The first process's value, in every process; small things alone."""
        if self.count == 1:
            return value
        said = [value]
        dist.broadcast_object_list(said, 0)
        return said[0]

    def wait(self) -> None:
        """Go on when every process is here."""
        if self.count > 1:
            dist.barrier()

    @contextmanager
    def first_goes_ahead(self) -> Iterator[None]:
        """The first process runs the block alone, then the others do."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` is set in any process."""
        if self.count == 1:
            return flag
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, flag)
        return any(found)


def share_out(model: Model, config: Config, processes: Processes) -> None:
    """Prepare a model: BatchNorm in ``train.bn_groups`` parts of the whole batch, features gathered.

    Copies that a method makes of the model afterwards, such as a moving average, gather too.

    Raises:
        DrfmError: batches or BatchNorm's parts cannot be shared evenly among the processes.
    """
    count, groups = processes.count, config.train.bn_groups
    even = {
        "sampler.batch": config.sampler.batch,
        "train.bn_groups": groups,
        "loss.ps_batch": config.loss.ps_batch,
    }
    if config.sampler.origins == "balanced":
        even["sampler.batch / 2"] = config.sampler.batch // 2
    for option, value in even.items():
        if value % count:
            raise DrfmError(f"{option} = {value}: give a multiple of the number of processes ({count})")
    if count > 1 and config.train.bn_ambiguous == "joint":
        raise DrfmError(f"train.bn_ambiguous = joint: {count} processes cannot share it out; give separate")
    group_batchnorm(model, groups // count)
    if count > 1:
        model.gather = processes.gather
    if isinstance(model, DualEncoder):  # the predictor sees gathered features, hence the whole batch
        group_batchnorm(model.predictor, groups)


@contextmanager
def joined(device: str) -> Iterator[tuple[Processes, str]]:
    """Join the processes that ``torchrun`` started; alone without it.

    Args:
        device: the run's ``train.device``.

    Yields:
        This process, and its own device: with several processes and GPUs, the one of its local rank.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or dist.is_initialized():
        alone = not dist.is_initialized()
        yield (Processes() if alone else Processes(dist.get_rank(), dist.get_world_size())), device
        return
    # Its functions keep the group that exists when they are first imported, as Adam does at its first step;
    # threads of a group that is never freed may abort the process at its end.
    importlib.import_module("torch.distributed.nn.functional")
    gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    own = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if gpu else device
    if gpu:
        torch.cuda.set_device(own)
    dist.init_process_group("nccl" if gpu else "gloo", timeout=PATIENCE)
    try:
        yield Processes(dist.get_rank(), dist.get_world_size()), own
        dist.barrier()  # gloo may abort a process that ends while another still speaks to it
    finally:
        dist.destroy_process_group()


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor, rank: int, count: int) -> Tensor:
        ctx.own = slice(rank * len(part), (rank + 1) * len(part))
        ctx.count = count
        parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(count)]
        dist.all_gather(parts, part.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient[ctx.own] * ctx.count, None, None
