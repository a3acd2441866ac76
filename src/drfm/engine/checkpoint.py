"""Checkpoints: one file, written atomically, checked before it is trusted."""

import hashlib
import io
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import torch

from drfm.errors import DrfmError
from drfm.files import write_atomic

_MAGIC = b"DRFM1\n"
_DIGEST = 32
_HEAD = len(_MAGIC) + _DIGEST


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` (tensors, numbers, strings, lists and dicts) behind its SHA-256.

    Raises:
        DrfmError: the disk is full or the folder cannot be written.
    """
    _write(path, _packed(state))


class CheckpointWriter:
    """Writes checkpoints while training goes on, one at a time; at the end of its block all is written.

    A state can be a gigabyte: its checksum and the disk take longer than a copy of it. What is killed
    meanwhile leaves the checkpoint before, from which a run goes on to the same bits.
    """

    def __init__(self) -> None:
        self._last: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()

    def save(self, path: Path, state: dict[str, Any]) -> None:
        """:func:`save_checkpoint`, of the state as it is now, behind what the caller does next.

        Raises:
            DrfmError: the checkpoint before could not be written.
        """
        self.wait()
        pool = ThreadPoolExecutor(1, "checkpoint")
        self._last = pool.submit(_write, path, _packed(state))
        pool.shutdown(wait=False)

    def wait(self) -> None:
        """Go on when the last checkpoint is on the disk.

        Raises:
            DrfmError: it could not be written.
        """
        last, self._last = self._last, None
        if last is not None:
            last.result()


def _packed(state: dict[str, Any]) -> io.BytesIO:
    """The bytes of a file, but for the checksum. One buffer: a copy takes as long as a look at every byte."""
    buffer = io.BytesIO()
    buffer.write(_MAGIC + bytes(_DIGEST))
    torch.save(state, buffer)
    return buffer


def _write(path: Path, packed: io.BytesIO) -> None:
    with packed.getbuffer() as whole:
        whole[len(_MAGIC) : _HEAD] = hashlib.sha256(whole[_HEAD:]).digest()
        write_atomic(path, whole)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU. Nothing in it is executed (``weights_only``).

    Raises:
        DrfmError: the file is missing, cut short, changed, or not a checkpoint.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DrfmError(f"{path}: cannot be read ({error.strerror})") from None
    if not raw.startswith(_MAGIC) or len(raw) <= _HEAD:
        raise DrfmError(f"{path}: is not a drfm checkpoint; delete it to start this run again")
    payload = memoryview(raw)[_HEAD:]
    if hashlib.sha256(payload).digest() != raw[len(_MAGIC) : _HEAD]:
        raise DrfmError(
            f"{path}: does not match its checksum (cut short or changed); delete it to start this run again"
        )
    state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    if not isinstance(state, dict):
        raise DrfmError(f"{path}: holds no training state; delete it to start this run again")
    return state
