"""A memory of one vector for each cluster, and the ways in which batches change it."""

from typing import Literal

import torch
from torch import Tensor

from drfm.learning.memory import momentum_update

Update = Literal["momentum", "hard", "weighted"]


class ClusterMemory:
    """Centroids of clusters, updated by the features of every batch.

    ``momentum`` writes every sample in batch order (Cluster Contrast, ACCV 2022, and the softmax loss of
    Lin et al., AAAI 2019), ``hard`` once a class the sample that is least like the slot (the older Cluster
    Contrast), ``weighted`` once a class a mean in which unlike samples weigh more (DCCC, ICASSP 2024).

    Attributes:
        centroids: ``(M, D)`` float32; unit rows.
    """

    def __init__(
        self, centroids: Tensor, *, alpha: float, update: Update = "momentum", tau_w: float = 0.03
    ) -> None:
        """Begin with ``(M, D)`` centroids, which are copied.

        Args:
            centroids: on the device of training; see :func:`drfm.labels.cpg.class_centroids`.
            alpha: weight of the OLD value in an update, 0 <= alpha < 1.
            update: see above.
            tau_w: temperature of the weights of ``weighted``, above 0.
        """
        self.centroids = centroids.detach().to(torch.float32, copy=True)
        self._alpha, self._update, self._tau_w = alpha, update, tau_w

    @torch.no_grad()
    def update(self, labels: Tensor, features: Tensor) -> None:
        """Write ``m <- normalise(alpha m + (1 - alpha) f)``.

        Args:
            labels: ``(B,)`` int64 in 0..M-1.
            features: ``(B, D)``, unit rows.
        """
        repeats = None
        if self._update != "momentum" and len(labels):
            labels, features = self._one_each(labels, features.detach().to(torch.float32))
            repeats = 1
        momentum_update(self.centroids, labels, features, alpha=self._alpha, normalise=True, repeats=repeats)

    def _one_each(self, labels: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """The classes of a batch and the one vector that each of them is updated with."""
        similarity = (features * self.centroids[labels]).sum(dim=1)
        classes, place = torch.unique(labels, return_inverse=True)
        lowest = similarity.new_full((len(classes),), torch.inf)
        lowest.scatter_reduce_(0, place, similarity, "amin")
        if self._update == "hard":
            rows = torch.arange(len(labels), device=labels.device)
            first = torch.where(similarity == lowest[place], rows, len(rows))
            hardest = torch.full_like(classes, len(rows)).scatter_reduce_(0, place, first, "amin")
            return classes, features[hardest]
        weight = torch.exp((lowest[place] - similarity) / self._tau_w)
        total = weight.new_zeros(len(classes)).index_add_(0, place, weight)
        mean = features.new_zeros(len(classes), features.shape[1])
        mean.index_add_(0, place, features * weight.unsqueeze(1))
        return classes, mean / total.unsqueeze(1)
