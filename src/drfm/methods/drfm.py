"""DRFM: dual-resolution fusion modeling (Pang, Zhao and Wang, ACM MM 2024)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from drfm.config import Config
from drfm.data.records import HR, LR
from drfm.errors import DrfmError
from drfm.labels.clustering import cluster
from drfm.labels.cpg import class_centroids, generate
from drfm.labels.pseudo import OUTLIER, Persons, PseudoLabels, true_labels
from drfm.labels.state import labels_from_state, labels_to_state
from drfm.learning.batch import BOTH, Batch, Selection
from drfm.learning.centroids import resolution_groups
from drfm.learning.memory import FeatureMemory, momentum_update
from drfm.learning.samplers import ambiguous_batches, labelled_batches, random_batches
from drfm.methods.clusters import Clusterer, cluster_or_adjust
from drfm.methods.objective import classification, consistency, contrastive, sharpening
from drfm.models.build import Model
from drfm.models.dual import DualEncoder
from drfm.models.features import Encoded, Features
from drfm.resolution.pairs import PairSet


class Drfm:
    """The method of the paper, with the readings that the configuration selects.

    Attributes:
        model: E_h, E_l, CRFF and Pred.
        labels: pseudo-labels of the current epoch, ``None`` before the first.
        memories: M_hh, M_ll and M_fu by space; empty in an epoch without labels.
        slots: ``(M, D)`` cluster vectors by space, with ``loss.identification: sc`` alone.
    """

    def __init__(
        self,
        config: Config,
        model: DualEncoder,
        pairs: PairSet,
        truth: Persons | None = None,
        clusterer: Clusterer = cluster,
    ) -> None:
        """Begin without labels.

        Args:
            config: the run.
            model: on the device that training uses.
            pairs: the training pairs, of which origins and cameras count here.
            truth: ``(N,)`` identities in the place of pseudo-labels, for a supervised ceiling.
            clusterer: what groups the HR pairs.

        Raises:
            DrfmError: there are no HR pairs, from which all labels come; or fused features are to be
                clustered that the model does not have.
        """
        if config.model.encoders != "dual":
            raise DrfmError(f"model.encoders = {config.model.encoders}: drfm trains two encoders; give dual")
        origin = pairs.origin
        if not (origin == HR).any():
            raise DrfmError(
                "the training images have no HR captures: pseudo-labels begin with clusters of them"
            )
        if config.labels.source == "fused" and config.model.fusion == "none":
            raise DrfmError("labels.source = fused: a model with model.fusion = none has no such features")
        self.model: nn.Module = model
        self.labeller: nn.Module = model
        self.result: Model = model
        self.views = BOTH
        self._encoder = model
        self.labels: PseudoLabels | None = None
        self.memories: dict[str, FeatureMemory] = {}
        self.slots: Features = {}
        self._config = config
        self._clusterer = clusterer
        self._origin, self._camera = origin, pairs.camera
        self._truth = truth
        self._pending: tuple[Batch, Features] | None = None

    @property
    def device(self) -> torch.device:
        """Where the model is, and the memories with it."""
        return next(self.model.parameters()).device

    def rate_epoch(self, epoch: int) -> int:
        """The epoch whose learning rate an epoch has: its own."""
        return epoch

    def relabel(self, features: Features, epoch: int) -> PseudoLabels:
        """Cluster the HR pairs, pass the labels on (CPG), and prepare the memories.

        Where clustering gives no cluster or only one, ``facts["fallback"]`` says what is done instead:
        another eps, the labels of the last epoch that had some, or an epoch of L_ic alone on all LR pairs.

        Raises:
            DrfmError: no labels, and no LR pairs or no L_ic to train on instead.
        """
        if self._truth is not None:
            labels = true_labels(self._truth)
        elif self.labels is not None and self.labels.clusters and epoch % self._config.labels.every:
            labels = replace(self.labels, facts={**self.labels.facts, "reused": "labels.every"})
        else:
            labels = self._generate(features)
        self._take(labels)
        self._remember(features)
        return labels

    def selections(
        self, labels: PseudoLabels, epoch: int, random: np.random.Generator
    ) -> Iterator[Selection]:
        """Labelled rows, and ambiguous ones from the epoch on in which a loss uses them.

        In an epoch without any label the labelled rows are random LR pairs, for L_ic.
        """
        config = self._config
        none = np.empty(0, dtype=np.int64)
        if labels.clusters == 0:
            for rows in random_batches(np.flatnonzero(self._origin == LR), config.sampler.batch, random):
                yield Selection(rows, none)
        wanted = labels.ambiguous if self._uses_ambiguous(epoch) else none
        ambiguous = ambiguous_batches(
            wanted, labels.guess, config.loss.ps_batch, config.loss.ps_sampling, random
        )
        for rows in labelled_batches(labels.labels, self._origin, config.sampler, random, self._camera):
            yield Selection(rows, next(ambiguous))

    def losses(self, batch: Batch, ambiguous: Batch | None, epoch: int) -> dict[str, Tensor]:
        """L_cc (or L_sc), L_ic and L_ps, each times its weight (Eq. 20).

        ``cc`` or ``sc`` is missing in an epoch without labels, ``ic`` and ``ps`` where they are off.
        """
        encoded, doubtful = self._encode(batch, ambiguous)
        with torch.autocast(self.device.type, enabled=False):
            return self._terms(batch, encoded, doubtful, epoch)

    def after_step(self) -> None:
        """Eq. 1 to 3 with the features of the last :meth:`losses`; once for each call of that."""
        if self._pending is None:
            return
        batch, features = self._pending
        self._pending = None
        for space, memory in self.memories.items():
            memory.update(batch.rows, features[space], batch.repeats)
        labels = self._labels[batch.rows]
        for space, slots in self.slots.items():
            momentum_update(
                slots, labels, features[space], alpha=self._config.memory.slot_alpha, normalise=True
            )

    def state_dict(self) -> dict[str, Any]:
        """Labels, memories and cluster slots, as tensors, numbers, strings and dicts of them."""
        return {
            "labels": labels_to_state(self.labels),
            "memories": {space: memory.state_dict() for space, memory in self.memories.items()},
            "slots": dict(self.slots),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave.

        Raises:
            DrfmError: the state belongs to another number of pairs.
        """
        labels = labels_from_state(state["labels"])
        self.labels, self.memories, self.slots, self._pending = None, {}, {}, None
        if labels is None:
            return
        if len(labels.labels) != len(self._origin):
            raise DrfmError(
                f"the checkpoint has labels of {len(labels.labels)} pairs, the training set has "
                f"{len(self._origin)}: go on with the data that the run began with"
            )
        self._take(labels)
        for space, memory in state["memories"].items():
            self.memories[space] = FeatureMemory.from_state(memory, self._groups, self._config.memory)
        self.slots = {space: slots.to(self.device, copy=True) for space, slots in state["slots"].items()}

    # Labels and memories ------------------------------------------------------------------------------

    def _generate(self, features: Features) -> PseudoLabels:
        """Cluster, fall back where needed, and run CPG."""
        config = self._config.labels
        kept = {space: memory.features for space, memory in self.memories.items()}
        source = features["fused" if config.source == "fused" else "hr"]
        if config.source == "memory" and kept:
            source = kept["hr"]
        hr_rows = torch.from_numpy(np.flatnonzero(self._origin == HR)).to(source.device)
        hr_labels, fallback = cluster_or_adjust(source[hr_rows], config, self._clusterer)
        if hr_labels is not None:
            centroid_features = kept if config.centroids == "memory" and kept else None
            labels = generate(features, self._origin, hr_labels, config, centroid_features)
        elif self.labels is not None and self.labels.clusters:
            labels, fallback = self.labels, f"{fallback}; the labels of an earlier epoch are used again"
        else:
            labels, fallback = (
                self._unlabelled(),
                f"{fallback}; this epoch trains L_ic alone, on all LR pairs",
            )
        facts = {name: value for name, value in labels.facts.items() if name not in ("fallback", "reused")}
        return replace(labels, facts={**facts, "fallback": fallback} if fallback else facts)

    def _unlabelled(self) -> PseudoLabels:
        """Labels of an epoch in which nobody has one."""
        lr_rows = np.flatnonzero(self._origin == LR)
        config = self._config
        if len(lr_rows) == 0 or config.loss.ic_weight == 0:
            raise DrfmError(
                f"labels.eps = {config.labels.eps}, labels.k1 = {config.labels.k1}: the HR images form fewer "
                "than two clusters, and there is nothing else to learn from; try another eps or a smaller k1"
            )
        nobody = np.full(len(self._origin), OUTLIER, dtype=np.int64)
        confidence = np.zeros(len(nobody), dtype=np.float32)
        return PseudoLabels(nobody, 0, lr_rows, confidence, nobody.copy(), {"clusters": 0})

    def _take(self, labels: PseudoLabels) -> None:
        """Make ``labels`` those of the epoch."""
        self.labels = labels
        self._labels = torch.from_numpy(labels.labels).to(self.device)
        self._is_lr = torch.from_numpy(self._origin == LR).to(self.device)
        self._groups = resolution_groups(self._labels, self._is_lr * LR)

    def _remember(self, features: Features) -> None:
        """Fill the memories anew, or keep them under the new labels (D1)."""
        config = self._config
        if self.labels is None or self.labels.clusters == 0:
            self.memories, self.slots = {}, {}
            return
        if config.memory.life == "run" and self.memories:
            for memory in self.memories.values():
                memory.regroup(self._groups)
        else:
            begun = bool(self.memories)
            for space, rows in features.items():
                # B11: only the very first fusion features come from a random CRFF.
                borrowed = space == "fused" and config.memory.fusion_start == "hr" and not begun
                start = (features["hr"] if borrowed else rows).to(self.device)
                self.memories[space] = FeatureMemory(start, self._groups, config.memory)
        self.slots = {}
        if config.loss.identification == "sc":
            for space, memory in self.memories.items():
                self.slots[space] = class_centroids(memory.features, self._labels, self.labels.clusters, True)

    # Losses -------------------------------------------------------------------------------------------

    def _uses_ambiguous(self, epoch: int) -> bool:
        config = self._config.loss
        sharpening = config.ps_weight > 0 and epoch >= config.ps_start
        return sharpening or (config.ic_weight > 0 and config.ic_pairs == "all_lr")

    def _encode(self, batch: Batch, ambiguous: Batch | None) -> tuple[Encoded, Encoded | None]:
        """Features of both batches, float32, in one pass or two (B12)."""
        if ambiguous is None or len(ambiguous.rows) == 0:
            return self._forward(*batch.images), None
        if self._config.train.bn_ambiguous == "separate":
            return self._forward(*batch.images), self._forward(*ambiguous.images)
        joint = self._forward(*map(torch.cat, zip(batch.images, ambiguous.images, strict=True)))
        count = len(batch.rows)
        return _part(joint, slice(count)), _part(joint, slice(count, None))

    def _forward(self, hr: Tensor, lr: Tensor) -> Encoded:
        low = self._config.train.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=low):
            encoded = self._encoder(hr, lr)
        fused = None if encoded.fused is None else encoded.fused.float()
        return Encoded(encoded.hr.float(), encoded.lr.float(), fused, encoded.hr_pooled.float())

    def _terms(
        self, batch: Batch, encoded: Encoded, doubtful: Encoded | None, epoch: int
    ) -> dict[str, Tensor]:
        config = self._config.loss
        losses: dict[str, Tensor] = {}
        if self.memories:
            labels = self._labels[batch.rows]
            if config.identification == "sc":
                losses["sc"] = classification(encoded, labels, self.slots, config, epoch)
            else:
                losses["cc"] = contrastive(encoded, labels, self.memories, config, epoch)
            self._pending = batch, encoded.spaces()
        if config.ic_weight:
            is_lr = self._is_lr[batch.rows]
            losses["ic"] = config.ic_weight * consistency(self._encoder, encoded, is_lr, doubtful, config)
        if doubtful is not None and self.memories and config.ps_weight and epoch >= config.ps_start:
            losses["ps"] = config.ps_weight * sharpening(doubtful, self.memories, config)
        return losses


def _part(encoded: Encoded, rows: slice) -> Encoded:
    fused = None if encoded.fused is None else encoded.fused[rows]
    return Encoded(encoded.hr[rows], encoded.lr[rows], fused, encoded.hr_pooled[rows])
