"""Train a Swin2SR on the sharp captures of a benchmark's training part."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from drfm import __version__
from drfm.engine.checkpoint import load_checkpoint, save_checkpoint
from drfm.errors import DrfmError
from drfm.files import fingerprint, folder_lock, write_atomic, write_json
from drfm.progress import progress_bar
from drfm.recipes.data import choose_device
from drfm.recipes.sr.captures import Captures, find_captures, patches
from drfm.recipes.sr.measure import examples, line, measure
from drfm.recipes.sr.sheet import write_sheet
from drfm.resolution.choices import SRChoices
from drfm.resolution.network import enlarge, new_network, save_network
from drfm.resolution.patches import Example, charbonnier
from drfm.resolution.swin2sr import Magnifier

Say = Callable[[str], None]
CHECKPOINT = "checkpoint.pt"
_LOOK = 64
"""Held-out captures that a look measures; the end measures all."""
_FREE = ("device", "workers", "every")


@dataclass
class State:
    """What a training goes on from.

    Attributes:
        network: the Swin2SR.
        average: moving average of its weights, by name.
        optimiser: Adam.
        step: finished steps.
        seconds: of wall clock spent in steps, over all parts of the training.
        cpu_seconds: of processor time, over all threads, which another load on the machine changes less.
        history: one entry for each look.
    """

    network: Any
    average: dict[str, Tensor]
    optimiser: torch.optim.Adam
    step: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)


def train_sr(
    folder: Path, out: Path, choices: SRChoices, *, split: int = 0, say: Say = lambda line: None
) -> dict[str, Any]:
    """Train on the benchmark in ``folder``; ``out`` becomes a folder that ``images.sr_model`` names.

    Query and gallery are never opened; identities decide nothing but which captures are held out to
    measure the result. A training that was cut goes on bit for bit on the CPU of one machine.

    Args:
        folder: a built benchmark.
        out: receives the model (``config.json``, ``model.safetensors``, ``sr.json``), ``checkpoint.pt``,
            ``result.json``, ``result.md`` and ``sheet.png``. The model can be used from the first look on.
        choices: how to train.
        split: split of the benchmark.
        say: receives plain lines.

    Returns:
        The content of ``result.json``.

    Raises:
        DrfmError: bad input, or ``out`` holds another training.
    """
    with folder_lock(out):
        device = choose_device(choices.device)
        state = _new(choices, device)
        captures = find_captures(folder, choices, split)
        for _, reason in captures.skipped:
            say(f"skipped: {reason}")
        bound = {name: value for name, value in asdict(choices).items() if name not in _FREE}
        identity = fingerprint([bound, captures.benchmark.id, [entry.name for entry in captures.train]])
        _read(out / CHECKPOINT, state, identity)
        say(
            f"Swin2SR {choices.size} x{choices.rate} on {len(captures.train)} HR captures of "
            f"{captures.benchmark.name} (id {captures.benchmark.id}), {len(captures.held)} held out by "
            f"{captures.held_by}; steps {state.step} to {choices.steps}"
        )
        _steps(state, captures, choices, device, out, identity, say)
        return _finish(state, captures, choices, device, out, say)


def _new(choices: SRChoices, device: torch.device) -> State:
    network = new_network(choices.size, choices.rate, choices.seed).to(device).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=choices.lr, betas=(0.9, 0.99))
    return State(
        network, {n: v.detach().clone() for n, v in network.state_dict().items()}, optimiser, history=[]
    )


def _read(path: Path, state: State, identity: str) -> None:
    """Go on from a checkpoint, if there is one of this training."""
    if not path.exists():
        return
    saved = load_checkpoint(path)
    if saved.get("identity") != identity:
        raise DrfmError(
            f"{path.parent}: holds a training with other choices or data; choose another --out folder"
        )
    state.network.load_state_dict(saved["network"])
    for name, value in saved["average"].items():
        state.average[name].copy_(value)
    state.optimiser.load_state_dict(saved["optimiser"])
    state.step, state.history = saved["step"], saved["history"]
    state.seconds, state.cpu_seconds = saved["seconds"], saved["cpu_seconds"]


def _write(path: Path, state: State, identity: str) -> None:
    content = {
        "identity": identity,
        "network": state.network.state_dict(),
        "average": state.average,
        "optimiser": state.optimiser.state_dict(),
        "step": state.step,
        "seconds": state.seconds,
        "cpu_seconds": state.cpu_seconds,
        "history": state.history,
    }
    save_checkpoint(path, content)


def _steps(
    state: State,
    captures: Captures,
    choices: SRChoices,
    device: torch.device,
    out: Path,
    identity: str,
    say: Say,
) -> None:
    """The steps that are left, with a checkpoint and a look every so many."""
    left = range(state.step, choices.steps)
    stream = patches(captures, choices).stream(left, choices.batch, choices.workers)
    losses: list[float] = []
    with progress_bar("steps", len(left)) as bar:
        start = (time.perf_counter(), time.process_time())
        for example in stream:
            losses.append(step(state, example, choices, device))
            bar.advance()
            if state.step % choices.every == 0 or state.step == choices.steps:
                state.seconds += time.perf_counter() - start[0]
                state.cpu_seconds += time.process_time() - start[1]
                say(look(state, captures, choices, device, sum(losses) / len(losses)))
                _write(out / CHECKPOINT, state, identity)
                # Usable from the first look on; the end writes it again.
                save_network(state.network, state.average, out, _facts(state, captures, choices))
                losses, start = [], (time.perf_counter(), time.process_time())


def look(state: State, captures: Captures, choices: SRChoices, device: torch.device, loss: float) -> str:
    """Measure a few held-out captures, for the eye alone; note it in the history and return one line."""
    rate, resolve = max(captures.rates), magnifier(state, device)
    scores = measure(captures, rate, choices.degradation, resolve, _LOOK)
    state.history.append({"step": state.step, "loss": loss, "seconds": state.seconds, "scores": scores})
    return f"step {state.step}/{choices.steps}  loss {loss:.5f}  {line(scores)}  {state.seconds:.0f} s"


def step(state: State, example: Example, choices: SRChoices, device: torch.device) -> float:
    """One step of Adam on Charbonnier's loss, and of the moving average; returns the loss.

    Raises:
        DrfmError: the loss is not finite.
    """
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate(choices, state.step)
    with torch.autocast(device.type, torch.bfloat16, enabled=choices.precision == "bfloat16"):
        large = enlarge(state.network, example.small.to(device), example.base.to(device))
    loss = charbonnier(large, example.sharp.to(device))
    if not torch.isfinite(loss):
        raise DrfmError(f"step {state.step}: the loss is {loss.item()}; start again with a lower --lr")
    state.optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), 1.0)
    state.optimiser.step()
    state.step += 1
    # A short training must not remember its start: the average begins as a plain mean.
    decay = min(choices.ema, state.step / (state.step + 10))
    with torch.no_grad():
        for name, value in state.network.state_dict().items():
            state.average[name].lerp_(value, 1 - decay)
    return float(loss.item())


def learning_rate(choices: SRChoices, step: int) -> float:
    """Rate of a 0-based step: a linear rise over ``warmup`` steps, then a cosine to 0 at the last."""
    rise = min(1.0, (step + 1) / (choices.warmup + 1))
    return choices.lr * rise * 0.5 * (1 + math.cos(math.pi * step / choices.steps))


def magnifier(state: State, device: torch.device) -> Magnifier:
    """The averaged network at work; the one in training stays as it is."""
    network = copy.deepcopy(state.network).eval()
    network.load_state_dict(state.average)
    return Magnifier(network, device, residual=True)


def _facts(state: State, captures: Captures, choices: SRChoices) -> dict[str, Any]:
    """What the model was made from, for its record."""
    return {
        "choices": asdict(choices),
        **captures.facts(),
        "step": state.step,
        "parameters": sum(parameter.numel() for parameter in state.network.parameters()),
        "software": {"drfm": __version__, "torch": torch.__version__},
        "threads": torch.get_num_threads(),
    }


def _finish(
    state: State, captures: Captures, choices: SRChoices, device: torch.device, out: Path, say: Say
) -> dict[str, Any]:
    """Measure on all held-out captures, and write model, result and sheet."""
    resolve = magnifier(state, device)
    scores = [measure(captures, rate, choices.degradation, resolve) for rate in captures.rates]
    facts = _facts(state, captures, choices)
    save_network(state.network, state.average, out, facts)
    clock = {"seconds": round(state.seconds, 1), "cpu_seconds": round(state.cpu_seconds, 1)}
    result = {**facts, **clock, "scores": scores, "history": state.history}
    write_json(out / "result.json", result)
    write_atomic(out / "result.md", "".join(f"- {line(score)}\n" for score in scores))
    entries = captures.held[:: max(1, len(captures.held) // 10)][:10]
    shown = examples(captures, entries, max(captures.rates), choices.degradation, resolve)
    write_sheet(out / "sheet.png", shown)
    for score in scores:
        say(line(score))
    say(f"use it with --images.sr swin2sr --images.sr_model {out}")
    return result
