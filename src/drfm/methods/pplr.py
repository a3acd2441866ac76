"""PPLR (Cho et al., CVPR 2022): whole and parts of a person correct each other's labels."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from drfm.config import Config
from drfm.errors import DrfmError
from drfm.labels.cpg import class_centroids
from drfm.labels.pseudo import PseudoLabels
from drfm.learning.agreement import (
    agreement_smoothing,
    cross_agreement,
    inter_camera,
    part_guided,
    soft_margin_triplet,
)
from drfm.learning.batch import Batch
from drfm.learning.centroids import Groups, camera_groups, group_means
from drfm.methods.one_encoder import OneEncoder
from drfm.models.features import Features
from drfm.models.single import SingleEncoder

WIDTH = 3000
"""Rows of a classifier in its code; fewer where there are fewer images, more where there are many."""


class PPLR(OneEncoder):
    """Classifiers of the whole and of each stripe, whose rows begin every epoch as cluster means.

    The model needs stripes (``model.parts``). In its code features have no fixed length in training
    (``model.normalise: false``).

    Attributes:
        classifiers: ``(W, D)`` of the whole and of each part, trained with the encoder; a row a cluster.
    """

    @dataclass(frozen=True)
    class Options:
        """Options of PPLR."""

        beta: float = 0.5
        """Weight of the label in the target of the whole; the rest is what the parts say."""
        neighbours: int = 20
        """Length of the lists of neighbours that are compared for agreement."""
        smoothing: float = 0.1
        """Label smoothing of the parts before `agree_start`."""
        agree_start: int = 5
        """First epoch, counted from 0, in which the labels of parts are smoothed by their agreement."""
        cameras: bool = False
        """Camera-aware: a loss brings together what several cameras have of a cluster."""
        camera_weight: float = 0.5
        """Weight of that loss; 1.0 for MSMT17."""
        tau: float = 0.07
        """Temperature of that loss."""
        negatives: int = 50
        """Most similar camera proxies of other clusters in that loss."""

        def __post_init__(self) -> None:
            for name in ("beta", "smoothing"):
                if not 0 <= getattr(self, name) <= 1:
                    raise DrfmError(f"options: {name} = {getattr(self, name)}: give 0 to 1")
            for name in ("agree_start", "camera_weight", "negatives"):
                if getattr(self, name) < 0:
                    raise DrfmError(f"options: {name} = {getattr(self, name)}: give 0 or more")
            if self.neighbours < 1:
                raise DrfmError(f"options: neighbours = {self.neighbours}: give 1 or more")
            if self.tau <= 0:
                raise DrfmError(f"options: tau = {self.tau}: give a temperature above 0")

    agreement: Tensor | None = None
    """``(N, P)`` agreement of each part with the whole."""

    def __init__(self, config: Config, model: SingleEncoder, *others: Any, **named: Any) -> None:
        super().__init__(config, model, *others, **named)
        if config.model.parts == 0:
            raise DrfmError("model.parts = 0: pplr compares the whole with its stripes; give 3")
        count = len(self.origin)
        if self.options.cameras and (self.camera < 0).all():
            raise DrfmError("options: cameras = true: the training images have no cameras; give false")
        width = min(count, max(WIDTH, count // 4))
        self.classifiers = nn.ParameterList(
            torch.zeros(width, model.dimension, device=self.device) for _ in range(1 + config.model.parts)
        )
        self.model = nn.ModuleDict({"encoder": model, "classifiers": self.classifiers})
        self.proxies: list[Tensor] = []

    def remember(self, features: Features, epoch: int) -> None:
        """Overwrite the first rows of the classifiers; score agreement; form camera proxies."""
        assert self.labels is not None
        whole, *parts = features.values()
        for rows, classifier in zip(features.values(), self.classifiers, strict=True):
            means = class_centroids(rows, self.row_labels, self.labels.clusters, True)
            classifier.data[: len(means)] = means
        self.agreement = cross_agreement(whole, parts, self.options.neighbours).to(self.device)
        self.proxies = []
        if self.options.cameras:
            self.proxies = [group_means(rows, self.groups, normalise=True) for rows in features.values()]

    def terms(self, batch: Batch, labels: Tensor, epoch: int) -> dict[str, Tensor]:
        """PGLR and triplet loss of the whole, AALS of the parts, and the loss over cameras."""
        assert self.labels is not None
        assert self.agreement is not None
        options, agreement = self.options, self.agreement[batch.rows]
        described = self.encode(batch.images[0])
        features = (described.image, *described.parts)
        clusters = self.labels.clusters
        logits = [f @ w[:clusters].T for f, w in zip(features, self.classifiers, strict=True)]
        whole, parts = logits[0], logits[1:]
        losses = {
            "whole": part_guided(whole, parts, labels, agreement, options.beta),
            "triplet": soft_margin_triplet(described.image, labels),
        }
        if epoch >= options.agree_start:
            losses["parts"] = agreement_smoothing(parts, labels, agreement)
        else:
            smoothed = [functional.cross_entropy(z, labels, label_smoothing=options.smoothing) for z in parts]
            losses["parts"] = torch.stack(smoothed).mean()
        if options.cameras:
            losses["camera"] = options.camera_weight * self._over_cameras(batch, features)
        return losses

    def memory_state(self) -> dict[str, Any]:
        """Agreement and camera proxies."""
        return {} if self.agreement is None else {"agreement": self.agreement, "proxies": self.proxies}

    def load_memory_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`memory_state` gave."""
        self.agreement, self.proxies = None, []
        if state:
            self.agreement = state["agreement"].to(self.device)
            self.proxies = [rows.to(self.device) for rows in state["proxies"]]

    def _over_cameras(self, batch: Batch, features: tuple[Tensor, ...]) -> Tensor:
        """That of the whole and the mean of those of the parts."""
        own = self.groups.of_row[batch.rows]
        whole, *parts = (
            inter_camera(
                functional.normalize(rows),
                own,
                proxies,
                self.groups.cluster,
                tau=self.options.tau,
                negatives=self.options.negatives,
            )
            for rows, proxies in zip(features, self.proxies, strict=True)
        )
        return whole + torch.stack(parts).mean()

    def _take(self, labels: PseudoLabels) -> None:
        width = len(self.classifiers[0])
        if labels.clusters > width:
            raise DrfmError(
                f"labels.eps = {self.config.labels.eps}: {labels.clusters} clusters, and the classifiers of "
                f"pplr have {width} rows; give a larger eps or labels.min_samples"
            )
        super()._take(labels)
        camera = torch.from_numpy(self.camera).to(self.device)
        self.groups: Groups = camera_groups(self.row_labels, camera)
