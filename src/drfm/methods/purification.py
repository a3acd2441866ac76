"""Purification (Lan et al., TIP 2023): half bodies purify features, a finished teacher purifies labels."""

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from drfm.config import Config, LabelsConfig
from drfm.errors import DrfmError
from drfm.labels.cpg import class_centroids
from drfm.labels.dbscan import dbscan
from drfm.labels.jaccard import mean_graph
from drfm.labels.pseudo import PseudoLabels
from drfm.learning.batch import Batch
from drfm.learning.cluster_memory import ClusterMemory
from drfm.methods.clusters import cluster_or_adjust, jaccard_alone, whole_graph
from drfm.methods.one_encoder import OneEncoder
from drfm.models.features import Features
from drfm.models.single import SingleEncoder


class Purification(OneEncoder):
    """Cluster contrast with a memory for the whole and for each half; first a teacher, then a student.

    Both stages are one run, so ``train.epochs`` counts them together: the teacher's, the student's warm ones
    and the student's own. Both start from the weights that the model has, and the learning rate begins
    again. The student learns from the teacher of its last epoch.
    """

    @dataclass(frozen=True)
    class Options:
        """Options of Purification."""

        teacher_epochs: int = 0
        """Epochs of the teacher; 0 gives student and teacher the same number."""
        warm_epochs: int = 2
        """Epochs in which the student learns on labels and memories of the teacher that stand still."""
        distance_share: float = 0.15
        """Weight of each half's distance in the clustering."""
        loss_share: float = 0.2
        """Weight of each half's loss; the whole has 1 minus it."""
        teaching: float = 1.0
        """Weight of the distance to the teacher's features beside the cross-entropy."""
        tau: float = 0.05
        """Temperature of the loss."""

        def __post_init__(self) -> None:
            for name in ("teacher_epochs", "warm_epochs", "teaching"):
                if getattr(self, name) < 0:
                    raise DrfmError(f"options: {name} = {getattr(self, name)}: give 0 or more")
            for name in ("distance_share", "loss_share"):
                if not 0 < getattr(self, name) < 1:
                    raise DrfmError(f"options: {name} = {getattr(self, name)}: give a share between 0 and 1")
            if self.tau <= 0:
                raise DrfmError(f"options: tau = {self.tau}: give a temperature above 0")

    def __init__(self, config: Config, model: SingleEncoder, *others: Any, **named: Any) -> None:
        super().__init__(config, model, *others, **named)
        jaccard_alone(config)
        options, parts, epochs = self.options, config.model.parts, config.train.epochs
        if parts == 0:
            raise DrfmError("model.parts = 0: purification splits a body into parts; give 2")
        if parts * options.distance_share >= 1:
            raise DrfmError(
                f"options: distance_share = {options.distance_share}: {parts} parts leave nothing for the "
                "whole; give less"
            )
        if config.train.schedule == "cosine":
            raise DrfmError("train.schedule = cosine: has one end, and purification two stages; give step")
        own = options.teacher_epochs or max((epochs - options.warm_epochs) // 2, min(1, epochs - 1))
        if own >= epochs:
            raise DrfmError(f"train.epochs = {epochs}: {own} are the teacher's; give more, for the student")
        self.student, self.teacher = model, copy.deepcopy(model)
        self.model = nn.ModuleDict({"teacher": self.teacher, "student": self.student})
        self.warm_from, self.student_from = own, own + options.warm_epochs
        self.memories: dict[str, ClusterMemory] = {}
        self._pending: tuple[Tensor, Features] | None = None
        self._enter(-1)

    @classmethod
    def needs_epochs(cls, options: Any) -> bool:
        """The stages share ``train.epochs``, unless the teacher has a number of its own."""
        return int(options.teacher_epochs) == 0

    def rate_epoch(self, epoch: int) -> int:
        """Each stage begins at the full rate; all warm epochs count as the student's first one."""
        stage, own = self._stage(epoch)
        if stage == "warm":
            return 0
        return own + (stage == "student" and self.student_from > self.warm_from)

    def relabel(self, features: Features, epoch: int) -> PseudoLabels:
        """Cluster by the mean of the distances; within the warm epochs labels and memories stay."""
        self._enter(epoch)
        stage, own = self._stage(epoch)
        if stage == "warm" and own > 0 and self.labels is not None:
            labels = replace(self.labels, facts=self.labels.facts | {"reused": "warm_epochs"})
        else:
            labels = super().relabel(features, own)
        self.labels = replace(labels, facts=labels.facts | {"stage": stage})
        return self.labels

    def find(self, features: Features, epoch: int) -> tuple[npt.NDArray[np.int64] | None, str]:
        """Cluster by the weighted mean of the Jaccard distances of whole and halves."""
        share, config = self.options.distance_share, self.config.labels
        whole, *halves = (whole_graph(rows, config) for rows in features.values())
        graph = mean_graph([whole, *halves], [1 - share * len(halves)] + [share] * len(halves))

        def clusters(_: Tensor, config: LabelsConfig) -> npt.NDArray[np.int64]:
            return dbscan(graph, config.eps, config.min_samples)

        return cluster_or_adjust(features["image"], config, clusters)

    def remember(self, features: Features, epoch: int) -> None:
        """The mean of each cluster in each space, of unit length."""
        assert self.labels is not None
        count = self.labels.clusters
        self._hold(
            {name: class_centroids(rows, self.row_labels, count, True) for name, rows in features.items()}
        )

    def terms(self, batch: Batch, labels: Tensor, epoch: int) -> dict[str, Tensor]:
        """Cross-entropy over all clusters in each space, and the distance to the teacher's features."""
        options = self.options
        described = self.encode(batch.images[0])
        features = (described.image, *described.parts)
        self._pending = labels, described.spaces()
        share = [1 - options.loss_share] + [options.loss_share] * len(described.parts)
        contrast = [
            weight * functional.cross_entropy(rows @ memory.centroids.T / options.tau, labels)
            for weight, rows, memory in zip(share, features, self.memories.values(), strict=True)
        ]
        losses = {"contrast": torch.stack(contrast).sum()}
        if self.network is self.student and options.teaching:
            with torch.no_grad():
                taught = self.encode(batch.images[0], self.teacher)
            apart = [
                weight * (rows - goal).square().sum(dim=1).mean()
                for weight, rows, goal in zip(share, features, (taught.image, *taught.parts), strict=True)
            ]
            losses["teacher"] = options.teaching * torch.stack(apart).sum()
        return losses

    def after_step(self) -> None:
        """The features of the last batch, into their clusters' vectors; not in warm epochs."""
        if self._pending is not None and self._stage(self._epoch)[0] != "warm":
            labels, features = self._pending
            for name, memory in self.memories.items():
                memory.update(labels, features[name])
        self._pending = None

    def memory_state(self) -> dict[str, Any]:
        """The epoch, and the vectors of the clusters in each space."""
        vectors = {name: memory.centroids for name, memory in self.memories.items()}
        return {"epoch": self._epoch, "memories": vectors}

    def load_memory_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`memory_state` gave."""
        self._enter(state["epoch"])
        self._hold({name: rows.to(self.device) for name, rows in state["memories"].items()})
        self._pending = None

    def _hold(self, vectors: Features) -> None:
        alpha = self.config.memory.alpha
        self.memories = {name: ClusterMemory(rows, alpha=alpha) for name, rows in vectors.items()}

    def _stage(self, epoch: int) -> tuple[str, int]:
        """The stage of an epoch, and its number within the stage."""
        if epoch < self.warm_from:
            return "teacher", epoch
        if epoch < self.student_from:
            return "warm", epoch - self.warm_from
        return "student", epoch - self.student_from

    def _enter(self, epoch: int) -> None:
        """Train and test what the epoch does; the next one's features are extracted before it begins."""
        self._epoch = epoch
        self.network = self.result = self.teacher if epoch < self.warm_from else self.student
        self.labeller = self.teacher if epoch + 1 < self.student_from else self.student
