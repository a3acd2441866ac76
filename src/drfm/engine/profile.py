"""Where an epoch's time goes, and how far from the bare network its steps are."""

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from drfm.errors import DrfmError
from drfm.files import read_json, write_json
from drfm.methods.base import Method
from drfm.models.backbone import Backbone

PARTS = (
    "extract", "relabel", "images", "forward", "losses", "backward", "optimiser", "memory", "evaluation",
    "record",
)  # fmt: skip
"""What an epoch's seconds are given to; the rest is ``other``."""
STEP = ("images", "forward", "losses", "backward", "optimiser", "memory")
"""The parts that make a step."""


class Call(NamedTuple):
    """A forward pass of a backbone within a step: which one, on what shape, in what arithmetic."""

    backbone: Backbone
    shape: tuple[int, ...]
    gradient: bool
    low: bool


class Clock:
    """Seconds by part. A part within a part is taken out of it, so that the sum is the whole.

    A clock that does not watch does nothing at all. On a GPU one that watches waits for the device at
    every border, which makes a step slower than it is without.

    Attributes:
        seconds: by part, since the last :meth:`start`.
        calls: forward passes of backbones in the first step that was watched.
    """

    def __init__(self, device: torch.device, watching: bool = False) -> None:
        self.device, self.watching = device, watching
        self.seconds: dict[str, float] = {}
        self.calls: list[Call] = []
        self._complete = False
        self._open: list[tuple[str, float, float]] = []
        self._inner = 0.0
        self.start()

    def start(self) -> None:
        """Begin an epoch."""
        self.seconds = {}
        self._begun = self._now() if self.watching else 0.0
        if self.watching and self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Give the seconds of the block to ``name``."""
        if not self.watching:
            yield
            return
        self._enter(name)
        try:
            yield
        finally:
            self._leave()

    def watch(self, method: Method) -> None:
        """Tell the forward passes of backbones from the losses around them."""
        if not self.watching:
            return
        modules = [child for whole in (method.model, method.labeller, method.result)
                   for child in whole.modules() if isinstance(child, Backbone)]  # fmt: skip
        for backbone in dict.fromkeys(modules):
            backbone.register_forward_pre_hook(self._before)
            backbone.register_forward_hook(self._after)

    def whole(self) -> float:
        """Seconds since :meth:`start`."""
        return self._now() - self._begun

    def _before(self, module: nn.Module, inputs: Any) -> None:
        # Extraction works on copies of the backbones, which carry the hooks along.
        if self._open and self._open[-1][0] == "losses" and isinstance(module, Backbone):
            if not self._complete:
                low = torch.is_autocast_enabled(self.device.type)
                self.calls.append(Call(module, tuple(inputs[0].shape), torch.is_grad_enabled(), low))
            self._enter("forward")

    def _after(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if self._open and self._open[-1][0] == "forward":
            self._leave()

    def _enter(self, name: str) -> None:
        self._open.append((name, self._now(), self._inner))
        self._inner = 0.0

    def _leave(self) -> None:
        name, begun, outer = self._open.pop()
        self._complete |= name == "backward"
        passed = self._now() - begun
        self.seconds[name] = self.seconds.get(name, 0.0) + passed - self._inner
        self._inner = outer + passed

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def bare_seconds(calls: list[Call], device: torch.device, repeats: int = 2) -> float:
    """Seconds of a step of the bare network: copies of the backbones on random images of the same shapes.

    Forward passes, backward through those that had a gradient, one step of Adam; neither necks, losses and
    memories nor the making of images. The least of ``repeats``, after one that does not count.
    """
    copies: dict[int, Backbone] = {id(c.backbone): copy.deepcopy(c.backbone) for c in calls}
    for backbone in copies.values():
        backbone._forward_pre_hooks.clear()
        backbone._forward_hooks.clear()
    parameters = [p for p in nn.ModuleList(list(copies.values())).parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=1e-6, fused=True)
    clock, best = Clock(device, watching=True), float("inf")
    generator = torch.Generator().manual_seed(0)
    images = [torch.randn(c.shape, generator=generator).to(device, memory_format=torch.channels_last)
              for c in calls]  # fmt: skip
    for turn in range(repeats + 1):
        clock.start()
        optimiser.zero_grad(set_to_none=True)
        sums = []
        for call, image in zip(calls, images, strict=True):
            with (
                torch.set_grad_enabled(call.gradient),
                torch.autocast(device.type, torch.bfloat16, enabled=call.low),
            ):
                out: Tensor = copies[id(call.backbone)](image)
            if call.gradient:
                sums.append(out.float().sum())
        torch.stack(sums).sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        best = min(best, clock.whole()) if turn else best
    return best


def peak_memory(device: torch.device) -> int:
    """Bytes at the highest: of the GPU since the epoch began, or of this process since it did."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def summary(clock: Clock, epoch: int, steps: int, images: int) -> dict[str, Any]:
    """What is known of an epoch: seconds by part, images a second, peak memory."""
    whole = clock.whole()
    seconds = {name: clock.seconds[name] for name in PARTS if name in clock.seconds}
    seconds["other"] = max(0.0, whole - sum(seconds.values()))
    stepping = sum(seconds.get(name, 0.0) for name in STEP)
    found: dict[str, Any] = {
        "epoch": epoch,
        "steps": steps,
        "seconds": {name: round(value, 6) for name, value in seconds.items()},
        "whole": round(whole, 6),
        "images_per_second": images / stepping if stepping else 0.0,
        "peak_memory_bytes": peak_memory(clock.device),
    }
    return found


def beside(found: dict[str, Any], bare: float | None) -> dict[str, Any]:
    """A summary with the seconds of a bare step, and the share of its rate that the epoch's steps reached."""
    stepping = sum(found["seconds"].get(name, 0.0) for name in STEP)
    if bare is None or not stepping:
        return found
    return {**found, "bare_step_seconds": bare, "share_of_bare_rate": bare * found["steps"] / stepping}


def lines(found: dict[str, Any]) -> str:
    """The summary as a small table."""
    whole = found["whole"]
    rows = [f"  {name:<10} {value:9.2f} s {value / whole:6.1%}" for name, value in found["seconds"].items()]
    last = f"  {found['images_per_second']:.0f} images/s in steps"
    if "share_of_bare_rate" in found:
        last += f", {found['share_of_bare_rate']:.0%} of the bare network's rate"
    last += f"; peak memory {found['peak_memory_bytes'] / 1e9:.2f} GB"
    return "\n".join([f"profile of epoch {found['epoch'] + 1}: {whole:.1f} s", *rows, last])


def write_profile(path: Path, device: torch.device, found: dict[str, Any]) -> None:
    """Put an epoch into ``profile.json``, in the place of what it says of that epoch and later ones."""
    epochs: list[dict[str, Any]] = []
    # Where there is none yet, or one of another make, it is written anew.
    with suppress(DrfmError, KeyError, TypeError):
        epochs = [e for e in read_json(path)["epochs"] if e["epoch"] < found["epoch"]]
    write_json(path, {"device": str(device), "epochs": [*epochs, found]})
