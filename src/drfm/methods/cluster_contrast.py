"""Cluster Contrast (Dai et al., ACCV 2022): a vector for each cluster, in the place of one for each image."""

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor
from torch.nn import functional

from drfm.errors import DrfmError
from drfm.labels.cpg import class_centroids
from drfm.learning.batch import Batch
from drfm.learning.cluster_memory import ClusterMemory
from drfm.methods.one_encoder import OneEncoder
from drfm.models.features import Features


class ClusterContrast(OneEncoder):
    """Clusters anew in every epoch, and classifies against cluster means that follow the batches.

    ``memory.alpha`` is the weight of the old value in an update. Features have unit length, which
    ``model.normalise`` has to see to.
    """

    @dataclass(frozen=True)
    class Options:
        """Options of Cluster Contrast."""

        tau: float = 0.05
        """Temperature of the loss."""
        update: Literal["momentum", "hard"] = "momentum"
        """`momentum` writes every sample of a batch into its cluster's vector, `hard` the least similar
        of each class alone."""

        def __post_init__(self) -> None:
            if self.tau <= 0:
                raise DrfmError(f"options: tau = {self.tau}: give a temperature above 0")

    memory: ClusterMemory | None = None
    _pending: tuple[Tensor, Tensor] | None = None

    def remember(self, features: Features, epoch: int) -> None:
        """The mean of each cluster, of unit length."""
        assert self.labels is not None
        self.memory = self._new(
            class_centroids(features["image"], self.row_labels, self.labels.clusters, True)
        )

    def terms(self, batch: Batch, labels: Tensor, epoch: int) -> dict[str, Tensor]:
        """Cross-entropy over all clusters."""
        assert self.memory is not None
        features = self.encode(batch.images[0]).image
        self._pending = labels, features.detach()
        logits = features @ self.memory.centroids.T / self.options.tau
        return {"contrast": functional.cross_entropy(logits, labels)}

    def after_step(self) -> None:
        """The features of the last batch, into the vectors of their clusters."""
        if self.memory is not None and self._pending is not None:
            self.memory.update(*self._pending)
            self._pending = None

    def memory_state(self) -> dict[str, Any]:
        """The vectors of the clusters."""
        return {} if self.memory is None else {"centroids": self.memory.centroids}

    def load_memory_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`memory_state` gave."""
        self.memory = self._new(state["centroids"].to(self.device)) if state else None
        self._pending = None

    def _new(self, centroids: Tensor) -> ClusterMemory:
        return ClusterMemory(centroids, alpha=self.config.memory.alpha, update=self.options.update)
