"""What every gallery can do, wherever its vectors lie."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from drfm.errors import DrfmError
from drfm.gallery.codes import Rows
from drfm.gallery.items import Filter, Item
from drfm.labels.similarity import unit_rows

EVERYTHING = Filter()


@dataclass(frozen=True)
class Hit:
    """An image that was found.

    Attributes:
        id: the image's number in its gallery; never given to another image.
        similarity: cosine similarity to the query, -1..1.
        item: what is known of it.
    """

    id: int
    similarity: float
    item: Item


class Store(Protocol):
    """A gallery's images and vectors.

    Writing returns once the change is on disk; a change that has not returned is done wholly or not at all,
    in parts of one call to :meth:`add` or :meth:`remove`.

    Attributes:
        location: path or address.
        size: dimensions of a vector.
        model: what made the vectors; empty where nobody said.
    """

    location: str
    size: int
    model: str

    def add(self, items: Sequence[Item], vectors: Rows, ids: Sequence[int] | None = None) -> list[int]:
        """Add images with their ``(N, D)`` float32 unit rows; returns their ids, ascending.

        Raises:
            DrfmError: vectors that do not fit, or an image that is in the gallery already.
        """

    def remove(self, where: Filter) -> int:
        """Remove the images that fit; returns how many."""

    def count(self, where: Filter = EVERYTHING) -> int:
        """How many images fit."""

    def known(self, paths: Sequence[str]) -> set[str]:
        """Those of the paths that are in the gallery."""

    def names(self, column: str) -> list[str]:
        """All values of ``camera``, ``person`` or ``track``, sorted."""

    def search(self, queries: Rows, k: int, where: Filter = EVERYTHING) -> list[list[Hit]]:
        """The ``k`` most similar images that fit for each of ``(Q, D)`` rows, equal ones by id; exact."""

    def prepare(self) -> None:
        """Do what would make the first search slower than the others; nothing else waits for it."""

    def vectors(self, ids: Sequence[int]) -> Rows:
        """``(N, D)`` vectors of images that are in the gallery."""

    def page(self, after: int, limit: int) -> tuple[list[int], list[Item], Rows]:
        """Up to ``limit`` images with ids above ``after``, by id."""

    def compact(self) -> None:
        """Take what was removed off the disk."""

    def close(self) -> None:
        """Release files and connections."""

    def destroy(self, moved: str = "", holds: tuple[int, int] | None = None) -> None:
        """Close, and delete the gallery with all that is in it.

        Args:
            moved: where its images are now.
            holds: the number of images and the highest id that it must still have.
        """


def checked(vectors: Rows, size: int, count: int | None = None, what: str = "vectors") -> Rows:
    """``(N, D)`` contiguous float32 unit rows that fit a gallery.

    Raises:
        DrfmError: another number or size of rows, or rows that are not finite or not of unit length.
    """
    shape = np.shape(vectors)
    if len(shape) != 2 or shape[1] != size:
        raise DrfmError(f"{what}: shape {shape}; this gallery takes rows of {size} numbers")
    if count is not None and shape[0] != count:
        raise DrfmError(f"{what}: {shape[0]} rows for {count} images; give one each")
    return unit_rows(vectors, what)


def checked_k(k: int) -> int:
    """``k`` itself, if anything can be found with it."""
    if k < 1:
        raise DrfmError(f"k = {k}: give 1 or more")
    return k
