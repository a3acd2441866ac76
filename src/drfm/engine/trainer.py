"""The training loop: extract, relabel, steps, validate, save."""

import itertools
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from drfm.config import Config
from drfm.engine.checkpoint import CheckpointWriter, load_checkpoint
from drfm.engine.journal import Entry, Journal, epoch_line
from drfm.engine.processes import Processes
from drfm.engine.profile import Clock, bare_seconds, beside, lines, summary, write_profile
from drfm.engine.schedule import Stream, epoch_seed, learning_rate
from drfm.engine.shortage import memory_said
from drfm.engine.step import Step
from drfm.engine.tracking import write_curves
from drfm.errors import DrfmError
from drfm.files import write_json
from drfm.labels.pseudo import PseudoLabels
from drfm.labels.state import labels_from_state, labels_to_state
from drfm.learning.batch import Selection
from drfm.learning.batchnorm import kernels_refused
from drfm.methods.base import Method
from drfm.models.extract import extract
from drfm.models.features import Features
from drfm.progress import progress_bar
from drfm.resolution.pairs import PairSet

Observe = Callable[[PseudoLabels], dict[str, float]]
"""Pseudo-label quality for the journal. It alone knows identities; the loop cannot see them."""
Validate = Callable[[], dict[str, float]]
"""Test figures of the model as it is now, for the journal; nothing is chosen by them."""


class Interrupted(Exception):
    """The user asked to stop; the state was saved."""


@dataclass
class Progress:
    """Where a run stands: the next step to take."""

    epoch: int = 0
    step: int = 0
    images: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


class Trainer:
    """Trains one method on one pair table and keeps the run's checkpoint and journal.

    Args:
        method: the method; the loop knows nothing of its losses or memories.
        pairs: the training pairs.
        config: the run's configuration.
        run: the run's folder.
        device: where the network is.
        identity: fingerprint of everything that must not change between two parts of a run.
        observe: quality of pseudo-labels, where identities are known.
        validate: test figures, where there is a test set.
        say: receives one plain line an epoch.
        processes: those that train together; the first one alone writes files and tests.
        profile: say at the end of every epoch where its time went, and keep it in ``profile.json``.
    """

    def __init__(
        self,
        method: Method,
        pairs: PairSet,
        config: Config,
        run: Path,
        device: torch.device,
        identity: str,
        *,
        observe: Observe | None = None,
        validate: Validate | None = None,
        say: Callable[[str], None] = lambda line: None,
        processes: Processes = Processes(),  # noqa: B008 - frozen
        profile: bool = False,
    ) -> None:
        self.processes = processes
        self.method, self.pairs, self.config, self.run, self.device = method, pairs, config, run, device
        self.identity, self.observe, self.validate, self.say = identity, observe, validate, say
        self.journal = Journal(run / "journal.jsonl")
        self.checkpoint = run / "checkpoint.pt"
        self.at = Progress()
        self.labels: PseudoLabels | None = None
        self.clock = Clock(device, profile)
        self.clock.watch(method)
        self._step = Step(method, pairs, config, device, processes, self.clock)
        self.optimiser, self.augment = self._step.optimiser, self._step.augment
        self._images, self._graphs = self._step.images, self._step.graphs
        self._said: set[str] = set()
        self._bare: float | None = None
        self._first_step = self._fresh = 0
        self._stop = self._preparing = False
        self._saved: dict[str, Any] | None = None
        self._writer = CheckpointWriter()

    def read_checkpoint(self) -> None:
        """Read the run's checkpoint, if there is one, without any change to the model or a file.

        Raises:
            DrfmError: it is damaged, belongs to another run, or is already beyond ``train.epochs``.
        """
        if not self.checkpoint.exists():
            return
        state = load_checkpoint(self.checkpoint)
        if state.get("identity") != self.identity:
            raise DrfmError(
                f"{self.checkpoint}: was made with another configuration or benchmark; "
                "use the run's own, or choose another run folder"
            )
        at, epochs = Progress(**state["progress"]), self.config.train.epochs
        begun = at.epoch + (at.step > 0)
        if begun > epochs:
            raise DrfmError(
                f"train.epochs = {epochs}: {self.run} is in epoch {begun} already; "
                "give as many or more, or choose another run folder"
            )
        self._saved = state

    def fit(self) -> None:
        """Train to ``train.epochs``, from the checkpoint if there is one.

        Raises:
            DrfmError: the checkpoint belongs to another run, a loss is not finite, or memory is short.
            Interrupted: after Ctrl-C or SIGTERM, when the state is saved.
        """
        if self._saved is None:
            self.read_checkpoint()
        if self._saved is not None:
            self._restore(self._saved)
            self._saved = None
        if self.processes.first:
            self.journal.cut(self.at.epoch)
        with self._stop_on_signal(), memory_said(self.config), self._writer:
            for epoch in range(self.at.epoch, self.config.train.epochs):
                self.clock.start()
                self._first_step = self.at.step
                if self.at.step == 0:
                    self._preparing = True
                    self._begin(epoch)
                    self._preparing = False
                entry = self._train(epoch)
                self._end(epoch, entry)

    # One epoch ------------------------------------------------------------------------------------

    def _begin(self, epoch: int) -> None:
        """Extract, relabel, and seed the epoch."""
        start = time.perf_counter()
        with self.clock.part("extract"):
            features = self._extract()
        extracted = time.perf_counter()
        with self.clock.part("relabel"):
            self.labels = self.method.relabel(features, epoch)
        self.processes.same("pseudo-labels", self.labels.labels.tobytes(), self.labels.ambiguous.tobytes())
        relabelled = time.perf_counter()
        self.at.seconds = {"extract": extracted - start, "relabel": relabelled - extracted, "steps": 0.0}
        self.at.sums, self.at.images = {}, 0
        self.augment.manual_seed(epoch_seed(self.config.seed, epoch, Stream.AUGMENT))
        torch.manual_seed(epoch_seed(self.config.seed, epoch, Stream.TORCH))

    def _extract(self) -> Features:
        train, count = self.config.train, len(self.pairs)
        self.processes.share_buffers(self.method.model)
        self.processes.share_buffers(self.method.labeller)
        features = extract(
            self.method.labeller,
            self.pairs,
            device=self.device,
            batch_size=train.extract_batch,
            precision=train.precision,
            rows=self.processes.part(count),
            take=self._images.take,
            stay=True,
        )
        return {space: self.processes.whole(part, count, self.device) for space, part in features.items()}

    def _train(self, epoch: int) -> Entry:
        """The steps of one epoch; returns its journal entry."""
        labels, config = self._current_labels(), self.config
        rate = learning_rate(config.train, self.method.rate_epoch(epoch))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.method.model.train()
        random = np.random.default_rng(epoch_seed(config.seed, epoch, Stream.SAMPLER))
        stream = itertools.islice(
            self.method.selections(labels, epoch, random), self.at.step, config.train.iterations
        )
        # Losses are fetched in groups, so that a GPU is not made to wait at every step.
        fetch_every = 1 if self.device.type == "cpu" else 25
        waiting: deque[tuple[int, Selection, dict[str, Tensor]]] = deque()
        start, self._fresh = time.perf_counter(), 0
        with progress_bar(f"epoch {epoch + 1}/{config.train.epochs}", config.train.iterations) as bar:
            bar.advance(self.at.step)
            for selection in stream:
                waiting.append((self.at.step, selection, self._step(selection, epoch)))
                self.at.step += 1
                here = (len(selection.labelled) + len(selection.ambiguous)) * len(self.method.views)
                self.at.images += here
                self._fresh += here
                bar.advance(note=f"{self._fresh / (time.perf_counter() - start):.0f} images/s")
                if len(waiting) < fetch_every and (not self._stop or self.processes.count > 1):
                    continue
                self._fetch(waiting, epoch)
                # A signal reaches the processes at different steps; they have to stop at one and the same.
                self._stop = self.processes.any(self._stop)
                if self._stop and self.at.step < config.train.iterations:
                    self.at.seconds["steps"] += time.perf_counter() - start
                    self._save()
                    raise Interrupted
        self._fetch(waiting, epoch)
        self.at.seconds["steps"] += time.perf_counter() - start
        return self._entry(epoch, labels, rate)

    def _fetch(self, waiting: deque[tuple[int, Selection, dict[str, Tensor]]], epoch: int) -> None:
        """Add waiting losses to the epoch's sums; stop at the first that is not finite."""
        while waiting:
            step, selection, losses = waiting.popleft()
            for name, value in losses.items():
                number = float(value)
                if not np.isfinite(number):
                    self._not_finite(epoch, step, selection, losses)
                self.at.sums[name] = self.at.sums.get(name, 0.0) + number

    def _not_finite(self, epoch: int, step: int, selection: Selection, losses: dict[str, Tensor]) -> None:
        record = self.run / "not_finite.json"
        rows = [*selection.labelled.tolist(), *selection.ambiguous.tolist()]
        if self.processes.first:
            write_json(
                record,
                {
                    "epoch": epoch,
                    "step": step,
                    "losses": {name: str(float(value)) for name, value in losses.items()},
                    "images": [self.pairs.names[row] for row in rows],
                },
            )
        bad = ", ".join(name for name, value in losses.items() if not np.isfinite(float(value)))
        raise DrfmError(
            f"loss {bad} is not finite in epoch {epoch + 1}, step {step + 1}; "
            f"{record} names the images; lower train.lr (now {self.config.train.lr}) or use float32"
        )

    def _entry(self, epoch: int, labels: PseudoLabels, rate: float) -> Entry:
        steps = self.config.train.iterations
        clustered = int((labels.labels >= 0).sum())
        entry: Entry = {
            "epoch": epoch,
            "lr": rate,
            "loss": {name: value / steps for name, value in self.at.sums.items()},
            "clusters": labels.clusters,
            "outliers": len(labels.labels) - clustered,
            "coverage": clustered / max(1, len(labels.labels)),
            "labels": labels.facts,
            "images": self.at.images,
            "seconds": self.at.seconds,
        }
        if self.observe is not None:
            entry["quality"] = self.observe(labels)
        return entry

    def _end(self, epoch: int, entry: Entry) -> None:
        """Validate where asked, write the journal, save."""
        train = self.config.train
        steps, images = train.iterations - self._first_step, self._fresh
        self.at = Progress(epoch=epoch + 1)
        self.processes.share_buffers(self.method.model)
        for line in sorted(self._slower() - self._said):
            self.say(line)
            self._said.add(line)
        if self.processes.first:
            self._record(epoch, entry)
        if self.clock.watching:
            self._profile(epoch, steps, images)
        if self.processes.any(self._stop) and epoch + 1 < train.epochs:
            raise Interrupted

    def _slower(self) -> set[str]:
        """What this machine was found not to do, with the reasons."""
        refused = {"no CUDA graphs": {graphs.refused for graphs in self._graphs}}
        refused["BatchNorm without Triton's kernels"] = {kernels_refused()}
        return {
            f"{what}, steps take longer: {why}" for what, found in refused.items() for why in found if why
        }

    def _record(self, epoch: int, entry: Entry) -> None:
        train = self.config.train
        due = train.evaluate_every and (epoch + 1) % train.evaluate_every == 0
        if self.validate is not None and due:
            start = time.perf_counter()
            with self.clock.part("evaluation"):
                entry["evaluation"] = self.validate()
            entry["seconds"]["evaluate"] = time.perf_counter() - start
        with self.clock.part("record"):
            self.journal.append(entry)
            if train.tensorboard:
                write_curves(self.run / "tensorboard", self.journal.read())
            self._save()
        self.say(epoch_line(entry, train.epochs))

    def _profile(self, epoch: int, steps: int, images: int) -> None:
        """Say where the epoch's time went; the first time beside what the bare network takes."""
        found = summary(self.clock, epoch, steps, images)
        if self._bare is None and self.clock.calls:
            self._bare = bare_seconds(self.clock.calls, self.device)
        found = beside(found, self._bare)
        if self.processes.first:
            self.say(lines(found))
            write_profile(self.run / "profile.json", self.device, found)

    # State ----------------------------------------------------------------------------------------

    def _current_labels(self) -> PseudoLabels:
        if self.labels is None:
            raise DrfmError(f"{self.checkpoint}: holds no labels; delete it to start this run again")
        return self.labels

    def _save(self) -> None:
        if not self.processes.first:
            return
        state: dict[str, Any] = {
            "identity": self.identity,
            "progress": vars(self.at),
            "model": self.method.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "method": self.method.state_dict(),
            "augment": self.augment.get_state(),
            "torch": torch.get_rng_state(),
            "labels": labels_to_state(self.labels),
        }
        self._writer.save(self.checkpoint, state)

    def _restore(self, state: dict[str, Any]) -> None:
        self.method.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.method.load_state_dict(state["method"])
        self.augment.set_state(state["augment"])
        torch.set_rng_state(state["torch"])
        self.at = Progress(**state["progress"])
        self.labels = labels_from_state(state["labels"])

    @contextmanager
    def _stop_on_signal(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM end the loop at the next step, with everything saved."""

        def stop(signum: int, frame: object) -> None:
            self._stop = True
            # Nothing of this epoch can be lost yet, and extraction can take long.
            if self._preparing and self.processes.count == 1:
                raise Interrupted

        try:
            before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not the main thread: the caller handles signals
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
