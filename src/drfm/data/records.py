"""What an image is: where it lies, and what is known of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

Split = Literal["train", "query", "gallery"]
Resolution = Literal["hr", "lr"]

JUNK = -1
"""A box without a usable person; dropped before any ranking."""
DISTRACTOR = -2
"""A person who is in no query; part of the standard gallery, never a match."""
UNKNOWN = -3
"""No label."""

HR, LR = 0, 1
"""Origins of a pair, as they stand in arrays."""


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image of a data set as its reader found it.

    Attributes:
        name: path below the data set's root, with forward slashes; unique in the data set.
        person: identity >= 0, ``JUNK``, ``DISTRACTOR`` or ``UNKNOWN``. For reporting only.
        camera: camera index as the data set counts, or ``None``.
        split: part of the data set's own protocol, or ``None`` where the protocol draws it.
        resolution: ``"hr"``, ``"lr"`` or ``None`` where the reader cannot know.
    """

    name: str
    person: int = UNKNOWN
    camera: int | None = None
    split: Split | None = None
    resolution: Resolution | None = None


@dataclass(frozen=True)
class Dataset:
    """All images of a data set on disk.

    Attributes:
        kind: the reader's name.
        root: folder that the names are relative to.
        records: the images, sorted by name.
        test_sets: test persons of each official split, where the data set has any.
        notes: what the reader noticed, one sentence each.
    """

    kind: str
    root: Path
    records: tuple[ImageRecord, ...]
    test_sets: tuple[tuple[int, ...], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a benchmark, as its manifest lists it.

    Attributes:
        path: file on this machine.
        name: path in the manifest; unique, with forward slashes.
        sha256: of the file's bytes.
        person: as in :class:`ImageRecord`.
        camera: camera index, or -1 where unknown.
        resolution: ``"hr"`` or ``"lr"``.
        rate: down-sampling rate that was applied, 1 for an untouched image.
        height: native height in pixels of the file.
        width: native width in pixels of the file.
    """

    path: Path
    name: str
    sha256: str
    person: int
    camera: int
    resolution: Resolution
    rate: int
    height: int
    width: int


@dataclass(frozen=True)
class Benchmark:
    """One split of a built benchmark.

    Attributes:
        id: 16 hexadecimal digits that results quote; changes with any choice, seed, file or split.
        name: for people, such as ``"MLR-Market-1501"``.
        root: the benchmark's folder.
        split: index of the split.
        choices: every choice that made it.
        train, query, gallery: its images. Query and gallery are empty for unlabelled data.
    """

    id: str
    name: str
    root: Path
    split: int
    choices: Mapping[str, object]
    train: tuple[Entry, ...]
    query: tuple[Entry, ...] = ()
    gallery: tuple[Entry, ...] = ()
    notes: tuple[str, ...] = field(default=())


def persons(entries: Sequence[Entry]) -> npt.NDArray[np.int64]:
    """The identities of ``entries``, ``(N,)`` int64, for reporting and nothing else."""
    return np.array([entry.person for entry in entries], dtype=np.int64)
