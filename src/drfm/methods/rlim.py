"""Labels and proxies in the manner of RLIM (Pang et al., TIP 2025), as far as its public code tells."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from drfm.config import Config, LabelsConfig
from drfm.data.records import HR, LR
from drfm.errors import DrfmError
from drfm.labels.cpg import class_centroids
from drfm.labels.dbscan import dbscan_many
from drfm.labels.pseudo import PseudoLabels
from drfm.labels.refinement import refined
from drfm.learning.batch import Batch
from drfm.learning.centroids import Groups, group_means, resolution_groups
from drfm.learning.losses import cross_resolution_contrastive
from drfm.methods.clusters import cluster_or_adjust, jaccard_alone, whole_graph
from drfm.methods.one_encoder import OneEncoder
from drfm.models.features import Features
from drfm.models.single import SingleEncoder


class RLIM(OneEncoder):
    """Refined clusters of all images, and a proxy for what a cluster has in each resolution.

    ``labels.eps`` is the radius of the loose clustering; outliers are classes of one with
    ``labels.outliers: singletons``. Centroids and proxies stand still within an epoch.
    """

    @dataclass(frozen=True)
    class Options:
        """Options of RLIM."""

        tau: float = 0.07
        """Temperature of all losses."""
        gap: float = 0.03
        """The tight clustering has this much less than `labels.eps`."""
        refine: bool = True
        """Members far from the others of their proxy leave their cluster."""
        negatives: int = 50
        """Most similar proxies of other clusters that a sample is contrasted with."""
        smoothing: float = 0.1
        """Label smoothing of the cross-entropy over clusters."""
        soft: float = 10.0
        """Weight of the loss that makes proxies say what clusters say; 0 switches it off."""

        def __post_init__(self) -> None:
            if self.tau <= 0:
                raise DrfmError(f"options: tau = {self.tau}: give a temperature above 0")
            if not 0 <= self.smoothing < 1:
                raise DrfmError(f"options: smoothing = {self.smoothing}: give 0 or more and less than 1")
            for name in ("gap", "negatives", "soft"):
                if getattr(self, name) < 0:
                    raise DrfmError(f"options: {name} = {getattr(self, name)}: give 0 or more")

    centroids: Tensor | None = None
    proxies: Tensor | None = None

    def __init__(self, config: Config, model: SingleEncoder, *others: Any, **named: Any) -> None:
        super().__init__(config, model, *others, **named)
        jaccard_alone(config)
        self._is_lr = torch.from_numpy(self.origin == LR).to(self.device)

    def find(self, features: Features, epoch: int) -> tuple[npt.NDArray[np.int64] | None, str]:
        """Cluster with two radii, and keep the members that are reliable."""
        config, options = self.config.labels, self.options
        graph = whole_graph(features["image"], config)

        def clusters(_: Tensor, config: LabelsConfig) -> npt.NDArray[np.int64]:
            radii = (config.eps, max(config.eps - options.gap, 0))
            loose, tight = dbscan_many(graph, radii, config.min_samples)
            return refined(graph, loose, tight, self.origin.astype(np.int64)) if options.refine else loose

        return cluster_or_adjust(features["image"], config, clusters)

    def remember(self, features: Features, epoch: int) -> None:
        """Means of clusters and of proxies, not normalised."""
        assert self.labels is not None
        self.centroids = class_centroids(features["image"], self.row_labels, self.labels.clusters)
        self.proxies = group_means(features["image"], self.groups)

    def terms(self, batch: Batch, labels: Tensor, epoch: int) -> dict[str, Tensor]:
        """Losses over clusters, over proxies, and between the two."""
        assert self.centroids is not None
        assert self.proxies is not None
        options, groups = self.options, self.groups
        features = self.encode(batch.images[0]).image
        logits = features @ self.centroids.T / options.tau
        origin = self._is_lr[batch.rows] * LR
        association = [
            cross_resolution_contrastive(
                features[origin == group],
                labels[origin == group],
                self.proxies,
                groups.cluster,
                groups.origin,
                tau=options.tau,
                negatives=options.negatives,
            )
            for group in (HR, LR)
        ]
        losses = {
            "cluster": functional.cross_entropy(logits, labels, label_smoothing=options.smoothing),
            "proxy": torch.stack(association).sum(),
        }
        if options.soft:
            one_each = features @ self.proxies[one_of_each(groups.cluster)].T / options.tau
            losses["soft"] = options.soft * agreeing(one_each, logits)
        return losses

    def memory_state(self) -> dict[str, Any]:
        """Centroids and proxies."""
        return {} if self.centroids is None else {"centroids": self.centroids, "proxies": self.proxies}

    def load_memory_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`memory_state` gave."""
        self.centroids, self.proxies = (
            state[name].to(self.device) if state else None for name in ("centroids", "proxies")
        )

    def _take(self, labels: PseudoLabels) -> None:
        super()._take(labels)
        self.groups: Groups = resolution_groups(self.row_labels, self._is_lr * LR)


def one_of_each(cluster: Tensor) -> Tensor:
    """A random proxy of each cluster: ``(M,)`` positions in ``(K,)`` ascending cluster numbers 0..M-1.

    The draw is from the global generator of the CPU, which a checkpoint holds.
    """
    count = torch.bincount(cluster)
    first = torch.cumsum(count, dim=0) - count
    drawn = (torch.rand(len(count)).to(cluster.device) * count).long()
    return first + torch.minimum(drawn, count - 1)


def agreeing(logits: Tensor, clusters: Tensor) -> Tensor:
    """Cross-entropy of ``(B, M)`` logits with the softmax of ``clusters``, which has no gradient."""
    target = torch.softmax(clusters.detach(), dim=1)
    return -(target * torch.log_softmax(logits, dim=1)).sum(dim=1).mean()
