"""A gallery's vectors and codes in three plain files that only grow.

What lies behind the rows that the catalogue counts is what a crash left of a write, and is written over.
"""

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from drfm.errors import DrfmError
from drfm.files import write_error
from drfm.gallery.codes import FACTS, Codes, Rows, encode, width

PAGE = 8192
"""Rows that are copied at once."""


@dataclass(frozen=True)
class Mapped:
    """The first N rows of the files, mapped read-only."""

    rows: Rows
    codes: Codes


def generation(folder: Path, number: int) -> Path:
    """The folder of one generation of files; compaction begins a new one."""
    return folder / f"vectors-{number:06d}"


def _layout(size: int) -> tuple[tuple[str, Any, int], ...]:
    return (
        ("rows.f32", np.float32, size),
        ("codes.i8", np.int8, width(size)),
        ("facts.f32", np.float32, FACTS),
    )


def map_files(folder: Path, size: int, count: int) -> Mapped:
    """Map the first ``count`` rows.

    Raises:
        DrfmError: a file is too short or cannot be read.
        FileNotFoundError: a file is missing.
    """
    arrays = []
    for name, kind, wide in _layout(size):
        path, shape = folder / name, (count, wide)
        if not count:
            arrays.append(np.empty(shape, kind))
            continue
        needed = count * wide * np.dtype(kind).itemsize
        try:
            if path.stat().st_size < needed:
                raise DrfmError(
                    f"{path}: shorter than the {count} rows it should hold; restore it from a copy"
                )
            # A plain view: a row of a memmap is a memmap, which costs time and knows nothing more.
            arrays.append(np.memmap(path, kind, "r", shape=shape).view(np.ndarray))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise DrfmError(f"{path}: cannot be read ({error.strerror}); restore it from a copy") from None
    return Mapped(arrays[0], Codes(arrays[1], arrays[2]))


def append(folder: Path, start: int, rows: Rows) -> None:
    """Write ``(N, D)`` rows and their codes as rows ``start``.. and wait until they are on disk.

    Raises:
        DrfmError: the disk is full or cannot be written.
    """
    codes = encode(rows)
    new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for (name, kind, wide), array in zip(
            _layout(rows.shape[1]), (rows, codes.codes, codes.facts), strict=True
        ):
            with _opened(folder / name) as file:
                _write(file, np.ascontiguousarray(array, kind), start * wide * np.dtype(kind).itemsize)
                os.fsync(file)
        if new:
            sync_folder(folder)
            sync_folder(folder.parent)
    except OSError as error:
        raise write_error(folder, error) from error


@contextlib.contextmanager
def _opened(path: Path) -> Any:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield file
    finally:
        os.close(file)


def _write(file: int, array: npt.NDArray[Any], offset: int) -> None:
    data = memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
    while data:
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written


def copy_rows(source: Rows, which: npt.NDArray[np.int32], target: Path) -> None:
    """Write the rows ``which`` of ``source`` as the first rows of a new generation."""
    shutil.rmtree(target, ignore_errors=True)
    for start in range(0, max(1, len(which)), PAGE):
        append(target, start, np.ascontiguousarray(source[which[start : start + PAGE]]))


def forget_others(folder: Path, number: int) -> None:
    """Delete all generations but one: what compaction replaced, or a crash left."""
    keep = generation(folder, number)
    for path in folder.glob("vectors-*"):
        if path != keep:
            shutil.rmtree(path, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
