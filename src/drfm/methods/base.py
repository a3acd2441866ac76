"""What the engine asks of a method."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from drfm.labels.pseudo import PseudoLabels
from drfm.learning.batch import Batch, Selection, View
from drfm.models.build import Model
from drfm.models.features import Features


class Method(Protocol):
    """A model and the verbs that train it. The engine knows no method by name."""

    model: nn.Module
    """Everything that the optimiser changes."""
    labeller: nn.Module
    """What extracts the features for :meth:`relabel`: ``model`` itself, or a moving average of it."""
    result: Model
    """What is tested and saved: ``model`` itself, or a moving average of it."""
    views: Sequence[View]
    """The images of each pair that :meth:`losses` gets."""

    def rate_epoch(self, epoch: int) -> int:
        """The epoch whose learning rate this one has: itself, unless the method begins anew on its way."""

    def relabel(self, features: Features, epoch: int) -> PseudoLabels:
        """Pseudo-labels for this epoch (0-based) from features of all pairs; memories follow them.

        ``features`` are CPU or device float32 tensors in the order of the pair table.
        A method whose labels last several epochs, or that has to fall back to earlier
        ones, returns those and says so in ``facts``.
        """

    def selections(
        self, labels: PseudoLabels, epoch: int, random: np.random.Generator
    ) -> Iterator[Selection]:
        """An endless stream of selections for the steps of this epoch; never fails on small data."""

    def losses(self, batch: Batch, ambiguous: Batch | None, epoch: int) -> dict[str, Tensor]:
        """Weighted scalar losses by name; their sum is what is minimised (Eq. 20)."""

    def after_step(self) -> None:
        """Update memories with the detached features of the last :meth:`losses` (Eq. 1-3)."""

    def state_dict(self) -> dict[str, Any]:
        """Labels, memories, averages; not ``model``. Tensors, numbers, strings, lists and dicts of them."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave."""
