"""A batch of training pairs on its way from the store to a loss."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from drfm.resolution.pairs import Source


class View(NamedTuple):
    """An image that a method wants of every pair of a batch.

    Attributes:
        source: which image of the pair.
        augmented: changed at random, each view by draws of its own; else resized and normalised alone.
    """

    source: Source
    augmented: bool = True


BOTH = (View("hr"), View("lr"))
"""The two images of a pair, what a method with two encoders wants."""


@dataclass(frozen=True)
class Selection:
    """Rows of the pair table that one step trains on.

    Attributes:
        labelled: ``(B,)`` int64 rows with a pseudo-label, instances of a class side by side.
        ambiguous: ``(A,)`` int64 rows of LR pairs without one; may be empty.
    """

    labelled: npt.NDArray[np.int64]
    ambiguous: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Augmented, normalised images of one selection, on the training device.

    Attributes:
        rows: ``(B,)`` int64 rows of the pair table.
        images: for each view of the method ``(B, 3, H, W)`` float32, ImageNet-normalised RGB; only this
            process's part of the B where several train together.
        repeats: how often the most frequent row occurs, where that is known; sparing the memories a question
            to the device.
    """

    rows: Tensor
    images: tuple[Tensor, ...]
    repeats: int | None = None
