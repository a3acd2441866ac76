"""What methods with one encoder share: labels for all pairs alike, fallbacks, batches, state."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from drfm.config import Config
from drfm.errors import DrfmError
from drfm.labels.clustering import cluster
from drfm.labels.cpg import with_singletons
from drfm.labels.pseudo import Persons, PseudoLabels, plain_labels, true_labels
from drfm.labels.state import labels_from_state, labels_to_state
from drfm.learning.batch import Batch, Selection, View
from drfm.learning.samplers import labelled_batches
from drfm.methods.clusters import Clusterer, cluster_or_adjust
from drfm.methods.options import own_options
from drfm.models.build import Model
from drfm.models.features import Features
from drfm.models.single import Described, SingleEncoder
from drfm.resolution.pairs import PairSet

Source = Literal["features", "memory", "fused", "ground_truth"]


class OneEncoder:
    """Every image is clustered, whatever its resolution; a subclass adds memories and losses.

    A subclass has to have :meth:`remember` and :meth:`terms`; it may have ``Options``, :meth:`find`,
    :meth:`after_step`, and :meth:`memory_state` with :meth:`load_memory_state` where its memories
    change between two labellings.

    Attributes:
        network: the encoder.
        model: ``network``, or a module that holds it where more is trained.
        options: an ``Options``.
        labels: pseudo-labels of the current epoch, ``None`` before the first.
        camera: ``(N,)`` int64 true cameras, -1 where unknown.
        origin: ``(N,)`` int8 ``HR`` or ``LR``.
    """

    sources: ClassVar[tuple[Source, ...]] = ("features", "ground_truth")
    """Values of ``labels.source`` that the method understands."""

    @dataclass(frozen=True)
    class Options:
        """Options of the method's own; a subclass that has some replaces this."""

    def __init__(
        self,
        config: Config,
        model: SingleEncoder,
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
            clusterer: what groups the images.

        Raises:
            DrfmError: the model has two encoders, or options do not fit the method.
        """
        name = config.method
        if config.model.encoders == "dual":
            raise DrfmError(f"model.encoders = dual: {name} trains one encoder; give native or hr")
        if config.labels.source not in self.sources:
            known = ", ".join(self.sources)
            raise DrfmError(f"labels.source = {config.labels.source}: {name} understands {known}")
        self.options: Any = own_options(config, self.Options)
        self.network = model
        self.model: nn.Module = model
        self.labeller: nn.Module = model
        self.result: Model = model
        self.views: tuple[View, ...] = (View(model.views[0]),)
        self.labels: PseudoLabels | None = None
        self.config = config
        self.clusterer = clusterer
        self.origin, self.camera = pairs.origin, pairs.camera
        self._truth = truth

    # What a subclass has or changes -------------------------------------------------------------------

    @classmethod
    def needs_epochs(cls, options: Any) -> bool:
        """Whether what an epoch does depends on ``train.epochs``, which then stays what it was."""
        return False

    def rate_epoch(self, epoch: int) -> int:
        """The epoch whose learning rate an epoch has."""
        return epoch

    def find(self, features: Features, epoch: int) -> tuple[npt.NDArray[np.int64] | None, str]:
        """Cluster all images.

        Returns:
            ``(N,)`` labels, -1 for outliers, or ``None`` where there are fewer than two classes; and what
            was done about that in words, empty if nothing had to be.
        """
        return cluster_or_adjust(features["image"], self.config.labels, self.clusterer)

    def remember(self, features: Features, epoch: int) -> None:
        """Prepare the memories for ``self.labels``; called once an epoch, and never when a run is resumed.

        ``features`` are of all pairs, in the order of the table, and must not be changed.
        """
        raise NotImplementedError

    def terms(self, batch: Batch, labels: Tensor, epoch: int) -> dict[str, Tensor]:
        """Weighted losses of a batch by name; ``labels`` are its ``(B,)`` int64, all of them 0 or more."""
        raise NotImplementedError

    def after_step(self) -> None:
        """Update memories, if there are any that change."""

    def memory_state(self) -> dict[str, Any]:
        """Memories and averages, as tensors, numbers and dicts of them."""
        return {}

    def load_memory_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`memory_state` gave; the labels are there already, or ``None``."""

    # The verbs that the engine asks for ---------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Where the model is, and the memories with it."""
        return next(self.model.parameters()).device

    def relabel(self, features: Features, epoch: int) -> PseudoLabels:
        """Cluster the images and prepare the memories.

        Where clustering gives no cluster or only one, ``facts["fallback"]`` says what is done instead:
        another eps, the labels of the last epoch, or every image as a class of its own.
        """
        if self._truth is not None:
            labels = true_labels(self._truth)
        elif self.labels is not None and epoch % self.config.labels.every:
            labels = replace(self.labels, facts={**self.labels.facts, "reused": "labels.every"})
        else:
            labels = self._generate(features, epoch)
        self._take(labels)
        self.remember({name: rows.to(self.device) for name, rows in features.items()}, epoch)
        return labels

    def selections(
        self, labels: PseudoLabels, epoch: int, random: np.random.Generator
    ) -> Iterator[Selection]:
        """Rows with a label, drawn as the options of the sampler say."""
        none = np.empty(0, dtype=np.int64)
        sampler = self.config.sampler
        for rows in labelled_batches(labels.labels, self.origin, sampler, random, self.camera):
            yield Selection(rows, none)

    def losses(self, batch: Batch, ambiguous: Batch | None, epoch: int) -> dict[str, Tensor]:
        """:meth:`terms` of the batch under the labels of the epoch."""
        return self.terms(batch, self.row_labels[batch.rows], epoch)

    def state_dict(self) -> dict[str, Any]:
        """Labels, memories and averages, as tensors, numbers, strings and dicts of them."""
        return {"labels": labels_to_state(self.labels), "memory": self.memory_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave.

        Raises:
            DrfmError: the state belongs to another number of pairs.
        """
        labels = labels_from_state(state["labels"])
        self.labels = None
        if labels is not None:
            if len(labels.labels) != len(self.origin):
                raise DrfmError(
                    f"the checkpoint has labels of {len(labels.labels)} pairs, the training set has "
                    f"{len(self.origin)}: go on with the data that the run began with"
                )
            self._take(labels)
        self.load_memory_state(state["memory"])

    # For subclasses -----------------------------------------------------------------------------------

    def encode(self, images: Tensor, network: SingleEncoder | None = None) -> Described:
        """Features of images in the arithmetic of ``train.precision``; the features are float32."""
        low = self.config.train.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=low):
            described: Described = (network or self.network)(images)
        return described

    def _generate(self, features: Features, epoch: int) -> PseudoLabels:
        found, fallback = self.find(features, epoch)
        if found is None and self.labels is not None:
            facts = self.labels.facts | {"fallback": f"{fallback}; those of an earlier epoch are used again"}
            facts.pop("reused", None)
            return replace(self.labels, facts=facts)
        if found is None:
            found = np.arange(len(self.origin))
            fallback += "; every image is a class of its own in this epoch"
        outliers = int((found < 0).sum())
        if self.config.labels.outliers == "singletons":
            found = with_singletons(found)
        notes: dict[str, float | int | str] = {"outliers": outliers}
        if fallback:
            notes["fallback"] = fallback
        return plain_labels(found, notes)

    def _take(self, labels: PseudoLabels) -> None:
        self.labels = labels
        self.row_labels = torch.from_numpy(labels.labels).to(self.device)
