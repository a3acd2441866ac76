"""What a service writes down: which searches were made, and which answers were called right or wrong.

Two files of JSON lines. A line is appended in one write and flushed to disk before the answer is given; a
crash leaves whole lines and at most one torn one, which the next line does not run into.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from drfm.data.png import encode_png
from drfm.errors import DrfmError
from drfm.files import write_atomic, write_error
from drfm.serving.answers import Mark

QUERIES, MARKS, KEPT = "queries.jsonl", "marks.jsonl", "crops"


class Records:
    """The folder of a service's records, made when it is missing.

    Args:
        folder: the folder.
        keep_queries: write every query's image into it, too. They are images of people.

    Raises:
        DrfmError: it cannot be made, or its marks cannot be read.
    """

    def __init__(self, folder: Path, *, keep_queries: bool = False) -> None:
        self.folder = folder
        self.keep_queries = keep_queries
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(folder, error) from None
        self._marks = _read_marks(folder / MARKS)

    def searched(self, facts: Mapping[str, Any], crop: npt.NDArray[np.uint8]) -> None:
        """Write a search down; ``facts`` name it by ``query``, and ``crop`` is ``(H, W, 3)`` uint8 RGB."""
        if self.keep_queries:
            write_atomic(self.folder / KEPT / f"{facts['query']}.png", encode_png(crop))
        append_line(self.folder / QUERIES, {"time": _now(), **facts})

    def mark(self, query: str, image: int, path: str, mark: Mark) -> None:
        """Write down what somebody thinks of an answer; the last word counts, and ``none`` takes it back."""
        if mark not in get_args(Mark):
            raise DrfmError(f"mark = {mark}: give right, wrong or none")
        line = {"time": _now(), "query": query, "image": image, "path": path, "mark": mark}
        append_line(self.folder / MARKS, line)
        self._marks[query, image] = mark

    def mark_of(self, query: str, image: int) -> Mark:
        """The last word on an answer."""
        return self._marks.get((query, image), "none")


def append_line(path: Path, value: Mapping[str, Any]) -> None:
    """Append ``value`` as one line of JSON, on disk when this returns.

    Raises:
        DrfmError: it cannot be written.
    """
    raw = (json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n").encode()
    try:
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            size = os.fstat(handle).st_size
            if size and os.pread(handle, 1, size - 1) != b"\n":
                raw = b"\n" + raw
            if os.write(handle, raw) != len(raw):
                os.ftruncate(handle, size)
                raise OSError(28, "No space left on device")
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise write_error(path, error) from None


def _read_marks(path: Path) -> dict[tuple[str, int], Mark]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    except OSError as error:
        raise DrfmError(f"{path}: cannot be read ({error.strerror})") from None
    found: dict[tuple[str, int], Mark] = {}
    for line in lines:
        try:
            one = json.loads(line)
            found[one["query"], one["image"]] = one["mark"]
        except (ValueError, KeyError, TypeError):
            continue  # torn by a crash; it was never acknowledged
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
