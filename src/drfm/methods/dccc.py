"""DCCC (He et al., ICASSP 2024): everything about clusters changes while the encoder learns."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from drfm.config import Config
from drfm.errors import DrfmError
from drfm.learning.averages import Average
from drfm.learning.batch import Batch
from drfm.learning.cluster_memory import ClusterMemory
from drfm.methods.cluster_contrast import ClusterContrast
from drfm.methods.clusters import cluster_or_adjust
from drfm.models.features import Features
from drfm.models.single import SingleEncoder

Decay = Literal["expo", "linear", "step", "log", "none"]
FLOOR = 0.399
"""Radius at which all decays but ``log`` stop."""
DECAY, RAMP = 0.999, 99
"""Weight of the old value in the moving average, and the steps before its ramp begins."""


class DCCC(ClusterContrast):
    """Cluster Contrast with a shrinking radius, a weighted memory, and labels softened by a moving average.

    ``labels.eps`` is the radius to begin with, ``memory.alpha`` the weight of the old value in the memory.
    """

    @dataclass(frozen=True)
    class Options:
        """Options of DCCC."""

        tau: float = 0.05
        """Temperature of the loss."""
        tau_w: float = 0.03
        """Temperature of the weights in the memory's update; 0.03 for Market-1501, 0.6 for MSMT17."""
        share: float = 0.3
        """Share of the averaged model's prediction in the target; 0.3 for Market-1501, 0.1 elsewhere."""
        decay: Decay = "expo"
        """How the radius shrinks: 1 % an epoch; by 0.005 an epoch; by steps; with the logarithm; not."""
        result: Literal["average", "student"] = "average"
        """Which of the two models is tested and saved."""

        def __post_init__(self) -> None:
            for name in ("tau", "tau_w"):
                if getattr(self, name) <= 0:
                    raise DrfmError(f"options: {name} = {getattr(self, name)}: give a temperature above 0")
            if not 0 <= self.share <= 1:
                raise DrfmError(f"options: share = {self.share}: give a share between 0 and 1")

    def __init__(self, config: Config, model: SingleEncoder, *others: Any, **named: Any) -> None:
        super().__init__(config, model, *others, **named)
        self.views = 2 * self.views
        self.average = Average(model)
        self.steps = 0
        if self.options.result == "average":
            self.result = self.average.module

    @classmethod
    def needs_epochs(cls, options: Any) -> bool:
        """The radius follows the share of the run that is over."""
        return bool(options.decay == "log")

    def find(self, features: Features, epoch: int) -> tuple[npt.NDArray[np.int64] | None, str]:
        """Cluster with the radius of the epoch."""
        config = self.config.labels
        eps = decayed(self.options.decay, config.eps, epoch, self.config.train.epochs)
        return cluster_or_adjust(features["image"], replace(config, eps=eps), self.clusterer)

    def terms(self, batch: Batch, labels: Tensor, epoch: int) -> dict[str, Tensor]:
        """Cross-entropy over all clusters with labels that the averaged model softens."""
        assert self.memory is not None
        features = self.encode(batch.images[0]).image
        with torch.no_grad():
            averaged = self.encode(batch.images[1], self.average.module).image
        self._pending = labels, features.detach()
        centroids, tau = self.memory.centroids.T, self.options.tau
        softened = functional.normalize(averaged) @ centroids / tau
        return {"contrast": soft_contrast(features @ centroids / tau, softened, labels, self.options.share)}

    def after_step(self) -> None:
        """Memory and moving average."""
        super().after_step()
        self.average.update(self.network, average_decay(self.steps))
        self.steps += 1

    def memory_state(self) -> dict[str, Any]:
        """The vectors of the clusters, the averaged model, and how often it was updated."""
        return {"memory": super().memory_state(), "average": self.average.state_dict(), "steps": self.steps}

    def load_memory_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`memory_state` gave."""
        super().load_memory_state(state["memory"])
        self.average.load_state_dict(state["average"])
        self.steps = state["steps"]

    def _new(self, centroids: Tensor) -> ClusterMemory:
        return ClusterMemory(
            centroids, alpha=self.config.memory.alpha, update="weighted", tau_w=self.options.tau_w
        )


def decayed(decay: Decay, eps: float, epoch: int, epochs: int) -> float:
    """The radius of a 0-based epoch, as the code of DCCC computes it.

    Args:
        decay: ``expo``: times 0.99 in every epoch, the first included, while above 0.399; ``linear``:
            0.005 less an epoch; ``step``: 0.03 less every 5 epochs, both not below 0.399; ``log``:
            ``eps (1 - ln(1 + (e - 1) epoch / epochs) / 2)``; ``none``: always ``eps``.
        eps: the radius to begin with; one below 0.399 stays as it is, but for ``log``.
        epoch: 0 or more.
        epochs: of the whole run; for ``log`` alone.
    """
    if decay == "log":
        return eps * (1 - math.log(1 + (math.e - 1) * epoch / epochs) / 2)
    if decay == "expo":
        for _ in range(epoch + 1):
            eps *= 0.99 if eps > FLOOR else 1
        return eps
    less = {"linear": 0.005 * epoch, "step": 0.03 * (epoch // 5), "none": 0.0}[decay]
    return max(eps - less, min(eps, FLOOR))


def average_decay(step: int) -> float:
    """Weight of the old value in the moving average at a 0-based step.

    0.999 at first; at step 99 the average begins anew from the student and slows down to 0.999 again.
    """
    return DECAY if step < RAMP else min(1 - 1 / (step - RAMP + 1), DECAY)


def soft_contrast(logits: Tensor, averaged: Tensor, labels: Tensor, share: float) -> Tensor:
    """Cross-entropy with labels that the averaged model softens.

    Args:
        logits: ``(B, M)`` of the student.
        averaged: ``(B, M)`` of the averaged model on other views; without gradient here.
        labels: ``(B,)`` int64 in 0..M-1.
        share: weight of the averaged model's prediction in the target, 0..1.

    Returns:
        Scalar mean over the rows.
    """
    target = share * torch.softmax(averaged.detach(), dim=1)
    target = target + (1 - share) * functional.one_hot(labels, logits.shape[1]).to(target.dtype)
    return -(target * torch.log_softmax(logits, dim=1)).sum(dim=1).mean()
