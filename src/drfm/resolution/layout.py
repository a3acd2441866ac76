"""The files of one image store: two arrays, a description, and a journal of finished chunks."""

import json
import os
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from drfm.config.schema import Size
from drfm.errors import DrfmError
from drfm.files import read_json, write_error, write_json

Space = Literal["hr", "lr"]
SPACES: tuple[Space, Space] = ("hr", "lr")
Sums = tuple[int, int]
"""CRC-32 of a chunk's rows in hr.u8 and in lr.u8."""


@dataclass(frozen=True)
class Layout:
    """Where the rows of a store of ``count`` pairs lie.

    ``hr.u8`` and ``lr.u8`` hold the images row after row, uint8 RGB without any header.
    A chunk is ``chunk`` consecutive rows; the last one may be shorter. ``journal.jsonl``
    has one line for each finished chunk with the CRC-32 of its rows, so a chunk without
    a line, or whose bytes do not agree with it, counts as unfinished.
    """

    folder: Path
    count: int
    hr_size: Size
    lr_size: Size
    chunk: int

    def path(self, space: Space) -> Path:
        """The array file of a space."""
        return self.folder / f"{space}.u8"

    @property
    def journal(self) -> Path:
        """The list of finished chunks."""
        return self.folder / "journal.jsonl"

    def shape(self, space: Space) -> tuple[int, int, int, int]:
        """``(N, H, W, 3)`` of a space's array."""
        height, width = self.hr_size if space == "hr" else self.lr_size
        return (self.count, height, width, 3)

    def row_bytes(self, space: Space) -> int:
        """Bytes of one image of a space."""
        return int(np.prod(self.shape(space)[1:]))

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-self.count // self.chunk)

    def rows(self, chunk: int) -> range:
        """Rows of a chunk."""
        return range(chunk * self.chunk, min(self.count, (chunk + 1) * self.chunk))

    def write(self, space: Space, chunk: int, images: npt.NDArray[np.uint8]) -> int:
        """Write the ``(rows, H, W, 3)`` uint8 images of a chunk; returns their CRC-32.

        Raises:
            DrfmError: the disk is full or the file cannot be written.
        """
        path = self.path(space)
        raw = memoryview(np.ascontiguousarray(images).reshape(-1))  # type: ignore[arg-type]
        offset = self.rows(chunk).start * self.row_bytes(space)
        try:
            handle = os.open(path, os.O_WRONLY)
            try:
                written = 0
                while written < len(raw):
                    written += os.pwrite(handle, raw[written:], offset + written)
            finally:
                os.close(handle)
        except OSError as error:
            raise write_error(path, error) from error
        return zlib.crc32(raw)

    def record(self, chunk: int, sums: Sums) -> None:
        """Note in the journal that a chunk is finished.

        Raises:
            DrfmError: the disk is full or the journal cannot be written.
        """
        line = json.dumps({"chunk": chunk, "hr": sums[0], "lr": sums[1]})
        try:
            # The leading newline parts this record from one that a crash cut short.
            with self.journal.open("a", encoding="utf-8") as file:
                file.write(f"\n{line}")
        except OSError as error:
            raise write_error(self.journal, error) from error

    def recorded(self) -> dict[int, Sums]:
        """Finished chunks by the journal; lines that a crash cut short are passed over."""
        found: dict[int, Sums] = {}
        try:
            lines = self.journal.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return found
        for line in lines:
            try:
                record = json.loads(line)
                found[int(record["chunk"])] = (int(record["hr"]), int(record["lr"]))
            except (ValueError, KeyError, TypeError):
                continue
        return {chunk: sums for chunk, sums in found.items() if 0 <= chunk < self.chunks}

    def create(self) -> None:
        """Make both array files with their full size, or bring them to it, without touching rows in them."""
        for space in SPACES:
            path = self.path(space)
            try:
                with path.open("ab") as file:
                    file.truncate(self.count * self.row_bytes(space))
            except OSError as error:
                raise write_error(path, error) from error

    def arrays(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Both arrays, memory-mapped and read-only, as plain ndarrays, which pickle and index as such."""
        hr, lr = (
            np.memmap(self.path(space), dtype=np.uint8, mode="r", shape=self.shape(space)).view(np.ndarray)
            for space in SPACES
        )
        return hr, lr

    def unfinished(self) -> list[int]:
        """Chunks that are missing or whose bytes differ from their CRC-32. Reads every finished row once."""
        for space in SPACES:
            path = self.path(space)
            if not path.is_file() or path.stat().st_size != self.count * self.row_bytes(space):
                return list(range(self.chunks))
        recorded = self.recorded()
        hr, lr = self.arrays()

        def good(chunk: int) -> bool:
            rows = self.rows(chunk)
            part = slice(rows.start, rows.stop)
            return recorded[chunk] == (_crc32(hr[part]), _crc32(lr[part]))

        chunks = sorted(recorded)
        # crc32 releases the interpreter lock: threads read at the speed of the disk.
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            finished = {chunk for chunk, fine in zip(chunks, pool.map(good, chunks), strict=True) if fine}
        return [chunk for chunk in range(self.chunks) if chunk not in finished]


def _crc32(rows: npt.NDArray[np.uint8]) -> int:
    return zlib.crc32(memoryview(rows.reshape(-1)))  # type: ignore[arg-type]


def describe(layout: Layout, facts: Mapping[str, object]) -> None:
    """Write ``meta.json``: sizes, chunk length and facts of a store."""
    write_json(
        layout.folder / "meta.json",
        {
            "format": 1,
            "count": layout.count,
            "hr_size": list(layout.hr_size),
            "lr_size": list(layout.lr_size),
            "chunk": layout.chunk,
            "facts": dict(facts),
        },
    )


def read_layout(folder: Path, count: int, hr_size: Size, lr_size: Size) -> Layout | None:
    """Layout of the store in ``folder``, or None if it holds none of this size."""
    try:
        meta = read_json(folder / "meta.json")
    except DrfmError:
        return None
    expected = {"format": 1, "count": count, "hr_size": list(hr_size), "lr_size": list(lr_size)}
    if not isinstance(meta, dict) or any(meta.get(name) != value for name, value in expected.items()):
        return None
    chunk = meta.get("chunk")
    return Layout(folder, count, hr_size, lr_size, chunk) if isinstance(chunk, int) and chunk > 0 else None
