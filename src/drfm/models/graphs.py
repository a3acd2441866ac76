"""CUDA graphs of a backbone's training passes: recorded once, replayed in every step.

A backbone is hundreds of small operations, and a GPU finishes them faster than Python can ask for
them. A recorded pass is one request. What is recorded are the same kernels in the same order, on
tensors that stay where they are; weights are read and BatchNorm's statistics are written in place.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from drfm.models.backbone import Backbone

T = TypeVar("T")
Run = Callable[[Tensor], Tensor]
SEEN = 2
"""Calls with a shape before it is recorded: a shape that comes once is not worth it."""
SHAPES = 8
"""Recordings of one backbone at most; each holds the activations of its batch."""


class Graphs:
    """Replays the forward and backward passes of one backbone in training.

    A pass keeps its activations until its backward pass, so two passes of one step need two recordings:
    :meth:`begin` says where a step begins. Copies of a network that has one have none, since a
    recording knows the weights that it was made with.

    Attributes:
        refused: why passes are no longer recorded, in one line; empty while they are.
    """

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        self._count: dict[Any, int] = {}
        self._used: dict[Any, int] = {}
        self._made: dict[Any, list[Run]] = {}
        self.refused = ""

    def __deepcopy__(self, memo: dict[int, Any]) -> None:
        """A copy of the network replays nothing of this one."""

    def begin(self) -> None:
        """A step begins: what was replayed in the last one may be replayed again."""
        self._used = {}

    def __call__(self, images: Tensor) -> Tensor:
        """The map of ``(B, 3, H, W)`` images, replayed where that can be done."""
        if self.refused or not self._fits(images):
            return self._backbone(images)  # type: ignore[no-any-return]
        kind = images.device.type
        key = (images.shape, images.dtype, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))
        used = self._used[key] = self._used.get(key, 0) + 1
        made = self._made.setdefault(key, [])
        if used > len(made):
            self._count[key] = self._count.get(key, 0) + 1
            full = sum(map(len, self._made.values())) >= SHAPES
            if self._count[key] <= SEEN or full or not self._record(images, made):
                return self._backbone(images)  # type: ignore[no-any-return]
        return made[used - 1](images)

    def _fits(self, images: Tensor) -> bool:
        """Whether this is a pass of the kind that is recorded, on a GPU."""
        training = self._backbone.training and torch.is_grad_enabled()
        return images.is_cuda and training and not torch.cuda.is_current_stream_capturing()

    def _record(self, images: Tensor, made: list[Run]) -> bool:
        """Add a recording to ``made``; say why in ``refused`` where there cannot be one."""
        norms = [child for child in self._backbone.modules() if isinstance(child, _BatchNorm)]
        kept = [(buffer, buffer.clone()) for norm in norms for buffer in norm.buffers()]
        try:
            made.append(record(_Pass(self._backbone), images.clone()))
        except RuntimeError as error:
            self.refused = (str(error) or type(error).__name__).splitlines()[0]
        # Recording runs some passes first, which BatchNorm must not count.
        for buffer, value in kept:
            buffer.copy_(value)
        return not self.refused


class _Pass(nn.Module):
    """A backbone without the hooks that watch it, and without a state of its own."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        return self.backbone.forward(images)


def record(network: nn.Module, images: Tensor) -> Run:
    """The training pass of ``network`` on images of this shape, recorded on their GPU under today's autocast.

    Raises:
        RuntimeError: the network does what cannot be recorded, or memory is short.
    """
    low, dtype = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    # A recording is made on a stream of its own, on which gradients are then added up; that costs little.
    if hasattr(torch.autograd.graph, "set_warn_on_accumulate_grad_stream_mismatch"):
        torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)
    # Casts of weights become part of the recording; what autocast keeps over several calls cannot.
    with torch.autocast("cuda", dtype, enabled=low, cache_enabled=False):
        made: Any = torch.cuda.make_graphed_callables(network, (images,), allow_unused_input=True)
    return made  # type: ignore[no-any-return]


def side_by_side(
    first: Callable[[], T], second: Callable[[Tensor], tuple[Tensor, ...]], images: Tensor
) -> tuple[T, tuple[Tensor, ...]]:
    """Results of ``first()`` and ``second(images)``, which the GPU of the images computes at the same time.

    One pass alone leaves much of a GPU idle. The backward passes of the two run side by side too, as
    autograd keeps to the streams of the forward passes. The two may share no weights.
    """
    here, side = torch.cuda.current_stream(images.device), _side_stream(images.device)
    side.wait_stream(here)
    # Memory is given out again by stream: say which other one still reads it.
    images.record_stream(side)
    with torch.cuda.stream(side):
        theirs = second(images)
    ours = first()
    here.wait_stream(side)
    for made in theirs:
        made.record_stream(here)
    return ours, theirs


@functools.cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
