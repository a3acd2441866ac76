"""One encoder with DRFM's own identification losses: what its ablations begin with (A1, A2 and A7)."""

from typing import Any

import torch
from torch import Tensor

from drfm.data.records import LR
from drfm.labels.cpg import class_centroids
from drfm.learning.batch import Batch
from drfm.learning.centroids import Groups, resolution_groups
from drfm.learning.cluster_memory import ClusterMemory
from drfm.learning.losses import softmax_classification
from drfm.learning.memory import FeatureMemory
from drfm.methods.objective import contrast_in_space
from drfm.methods.one_encoder import OneEncoder
from drfm.models.features import Features


class Single(OneEncoder):
    """Clusters of all images, with L_sc (A1 on captures, A2 on the HR space) or L_cc (A7).

    The options are those of DRFM: ``loss.identification``, ``loss.tau_c``, ``loss.negatives`` and the
    section ``memory``. L_cc tells captures of high from captures of low resolution by the origin of a pair,
    so that A7 has one centroid for the HR captures of a cluster and one for its super-resolved ones.
    """

    memory: FeatureMemory | ClusterMemory | None = None
    _pending: tuple[Batch, Tensor, Tensor] | None = None

    def remember(self, features: Features, epoch: int) -> None:
        """Fill the memory anew, or keep it under the new labels (D1)."""
        assert self.labels is not None
        config, memory = self.config.memory, self.memory
        rows = features["image"]
        if self.config.loss.identification == "sc":
            slots = class_centroids(rows, self.row_labels, self.labels.clusters, True)
            self.memory = ClusterMemory(slots, alpha=config.slot_alpha)
        elif isinstance(memory, FeatureMemory) and config.life == "run":
            memory.regroup(self._groups())
        else:
            self.memory = FeatureMemory(rows, self._groups(), config)

    def terms(self, batch: Batch, labels: Tensor, epoch: int) -> dict[str, Tensor]:
        """L_sc or L_cc of one space."""
        features, memory, config = self.encode(batch.images[0]).image, self.memory, self.config.loss
        self._pending = batch, labels, features.detach()
        if isinstance(memory, ClusterMemory):
            return {"sc": softmax_classification(features, labels, memory.centroids, config.tau_sc)}
        assert memory is not None
        return {"cc": contrast_in_space(features, labels, memory, config)}

    def after_step(self) -> None:
        """The features of the last batch, into the memory."""
        if self._pending is None:
            return
        batch, labels, features = self._pending
        self._pending = None
        if isinstance(self.memory, ClusterMemory):
            self.memory.update(labels, features)
        elif self.memory is not None:
            self.memory.update(batch.rows, features, batch.repeats)

    def memory_state(self) -> dict[str, Any]:
        """Slots of clusters, or of images with their sums and centroids."""
        if isinstance(self.memory, ClusterMemory):
            return {"slots": self.memory.centroids}
        return {} if self.memory is None else self.memory.state_dict()

    def load_memory_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`memory_state` gave."""
        self.memory = self._pending = None
        if "slots" in state:
            self.memory = ClusterMemory(state["slots"].to(self.device), alpha=self.config.memory.slot_alpha)
        elif state:
            self.memory = FeatureMemory.from_state(state, self._groups(), self.config.memory)

    def _groups(self) -> Groups:
        is_lr = torch.from_numpy(self.origin == LR).to(self.device)
        return resolution_groups(self.row_labels, is_lr * LR)
