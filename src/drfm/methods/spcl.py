"""SpCL (Ge et al., NeurIPS 2020) without a source domain: a hybrid memory and reliable clusters."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from drfm.config import LabelsConfig
from drfm.errors import DrfmError
from drfm.labels.clustering import cluster_radii
from drfm.labels.reliable import reliable
from drfm.learning.batch import Batch
from drfm.learning.centroids import Groups, resolution_groups
from drfm.learning.losses_rivals import unified_contrastive
from drfm.learning.memory import FeatureMemory
from drfm.methods.clusters import cluster_or_adjust
from drfm.methods.one_encoder import OneEncoder, Source
from drfm.models.features import Features


class SpCL(OneEncoder):
    """Clusters its memory of all images, and keeps of each cluster what other radii agree with.

    Images without a reliable cluster are classes of one (``labels.outliers: singletons``). The section
    ``memory`` has the weight of the old value and how long the memory lives.
    """

    sources: ClassVar[tuple[Source, ...]] = ("memory", "features", "ground_truth")

    @dataclass(frozen=True)
    class Options:
        """Options of SpCL."""

        tau: float = 0.05
        """Temperature of the loss."""
        gap: float = 0.02
        """The tight and the loose clusters have this much less and more than `labels.eps`."""
        share: float = 0.9
        """Share of the first epoch's clusters whose change with the radius sets the limit for all epochs."""

        def __post_init__(self) -> None:
            for name in ("tau", "gap"):
                if getattr(self, name) <= 0:
                    raise DrfmError(f"options: {name} = {getattr(self, name)}: give a number above 0")
            if not 0 <= self.share <= 1:
                raise DrfmError(f"options: share = {self.share}: give a share between 0 and 1")

    memory: FeatureMemory | None = None
    limit: float | None = None
    """Largest change of a cluster with the radius, found in the first epoch that has clusters."""
    _pending: tuple[Batch, Tensor] | None = None

    def find(self, features: Features, epoch: int) -> tuple[npt.NDArray[np.int64] | None, str]:
        """Reliable clusters of the memory, or of the features where there is none yet."""
        remembered = self.memory is not None and self.config.labels.source == "memory"
        rows = self.memory.features if remembered and self.memory is not None else features["image"]
        limit = self.limit

        def clusters(rows: Tensor, config: LabelsConfig) -> npt.NDArray[np.int64]:
            nonlocal limit
            gap, share = self.options.gap, self.options.share
            radii = (config.eps, max(config.eps - gap, 0), config.eps + gap)
            labels, tight, loose = cluster_radii(rows, config, radii)
            found, limit = reliable(labels, tight, loose, self.limit, share)
            return found

        found, fallback = cluster_or_adjust(rows, self.config.labels, clusters)
        self.limit = limit
        return found, fallback

    def remember(self, features: Features, epoch: int) -> None:
        """Fill the memory once, or in every epoch with ``memory.life: epoch``."""
        if self.memory is not None and self.config.memory.life == "run":
            self.memory.regroup(self._groups())
        else:
            self.memory = FeatureMemory(features["image"], self._groups(), self.config.memory)

    def terms(self, batch: Batch, labels: Tensor, epoch: int) -> dict[str, Tensor]:
        """The unified contrastive loss over all classes."""
        assert self.memory is not None
        features = self.encode(batch.images[0]).image
        self._pending = batch, features.detach()
        return {"contrast": unified_contrastive(features, labels, self.memory.centroids, self.options.tau)}

    def after_step(self) -> None:
        """The features of the last batch, into their slots."""
        if self.memory is not None and self._pending is not None:
            batch, features = self._pending
            self.memory.update(batch.rows, features, batch.repeats)
        self._pending = None

    def memory_state(self) -> dict[str, Any]:
        """Slots and sums, and the limit."""
        memory = {} if self.memory is None else self.memory.state_dict()
        return {"memory": memory, "limit": self.limit}

    def load_memory_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`memory_state` gave."""
        self.limit, self.memory, self._pending = state["limit"], None, None
        if state["memory"]:
            self.memory = FeatureMemory.from_state(state["memory"], self._groups(), self.config.memory)

    def _groups(self) -> Groups:
        """A group for each class, whatever the resolution."""
        return resolution_groups(self.row_labels, torch.zeros_like(self.row_labels))
