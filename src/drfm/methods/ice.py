"""ICE (Chen et al., ICCV 2021): inter-instance contrast between a student and its moving average."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from drfm.config import Config
from drfm.errors import DrfmError
from drfm.labels.cpg import class_centroids
from drfm.learning.averages import Average
from drfm.learning.batch import Batch, View
from drfm.learning.centroids import camera_groups, group_means
from drfm.learning.losses_rivals import camera_contrastive, hard_instance, soft_instance
from drfm.methods.one_encoder import OneEncoder
from drfm.models.features import Features
from drfm.models.single import SingleEncoder

TAU_PROXY, SMOOTHING = 0.5, 0.1
"""Temperature and label smoothing of the loss on cluster proxies."""
SOFT_WEIGHT, CAMERA_WEIGHT = 10.0, 0.5
"""Weights of the soft instance loss and of the loss on camera proxies."""


class ICE(OneEncoder):
    """The moving average labels the images, gives the keys, and is what is tested.

    Proxies of clusters and cameras stay as they are for an epoch. The features of the student have
    free length in the loss on cluster proxies (``model.normalise: false``), unit length elsewhere.
    """

    @dataclass(frozen=True)
    class Options:
        """Options of ICE."""

        cameras: bool = True
        """The loss on camera proxies, which needs true cameras; without it, give `sampler.kind: pk` too."""
        momentum: float = 0.999
        """Weight of the moving average's old parameters at every step; lower for runs of few steps."""

        def __post_init__(self) -> None:
            if not 0 <= self.momentum < 1:
                raise DrfmError(f"options: momentum = {self.momentum}: give 0 or more and less than 1")

    def __init__(self, config: Config, model: SingleEncoder, *others: Any, **named: Any) -> None:
        super().__init__(config, model, *others, **named)
        if self.options.cameras and (self.camera < 0).all():
            raise DrfmError("options: cameras = true: no image has a known camera; give cameras=false")
        self.teacher = Average(model)
        self.labeller = self.result = self.teacher.module
        strong = View(model.views[0])
        self.views = (strong, strong, strong._replace(augmented=False))
        self._proxies: Features = {}
        self._cameras = torch.from_numpy(self.camera).to(self.device)

    def remember(self, features: Features, epoch: int) -> None:
        """Proxies of clusters, which are means as they come, and of cameras, of unit length."""
        assert self.labels is not None
        rows = features["image"]
        groups = camera_groups(self.row_labels, self._cameras)
        self._proxies = {
            "clusters": class_centroids(rows, self.row_labels, self.labels.clusters),
            "cameras": group_means(rows, groups, normalise=True),
            "owners": groups.cluster,
        }

    def terms(self, batch: Batch, labels: Tensor, epoch: int) -> dict[str, Tensor]:
        """L_proxy, L_hard, L_soft and, with cameras, L_cross."""
        strong, other, weak = batch.images
        feature = self.encode(strong).image
        query, key = functional.normalize(feature), self._teach(other)
        logits = feature @ self._proxies["clusters"].T / TAU_PROXY
        losses = {
            "proxy": functional.cross_entropy(logits, labels, label_smoothing=SMOOTHING),
            "hard": hard_instance(query, key, labels),
            "soft": SOFT_WEIGHT * soft_instance(query, key, self._teach(weak)),
        }
        if self.options.cameras:
            camera, proxies = self._cameras[batch.rows], self._proxies
            term = camera_contrastive(query, labels, camera, proxies["cameras"], proxies["owners"])
            losses["camera"] = CAMERA_WEIGHT * term
        return losses

    def after_step(self) -> None:
        """The moving average follows the student."""
        self.teacher.update(self.network, self.options.momentum)

    def memory_state(self) -> dict[str, Any]:
        """The moving average and the proxies."""
        return {"teacher": self.teacher.state_dict(), "proxies": self._proxies}

    def load_memory_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`memory_state` gave."""
        self.teacher.load_state_dict(state["teacher"])
        self._proxies = {name: rows.to(self.device) for name, rows in state["proxies"].items()}

    @torch.no_grad()
    def _teach(self, images: Tensor) -> Tensor:
        """``(B, D)`` unit rows of the moving average in training mode.

        The batch is shuffled for the pass, so that the parts in which BatchNorm sees it are not the
        student's parts of whole classes.
        """
        order = torch.randperm(len(images)).to(images.device)
        feature = self.encode(images[order], self.teacher.module.train()).image
        return functional.normalize(feature[torch.argsort(order)])
