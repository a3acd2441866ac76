"""Files written so that a crash never leaves half of one, checksums, and run locks."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from drfm.errors import DrfmError

_CHUNK = 1 << 20


def write_atomic(path: Path, data: bytes | memoryview | str) -> None:
    """Write ``data`` to ``path`` so that a reader sees the old file or the new one, never a part.

    The bytes go to a temporary file in the same folder, are flushed to disk, and
    replace ``path`` in one rename. The temporary file is removed on failure.

    Raises:
        DrfmError: the disk is full or the folder cannot be written.
    """
    raw = data.encode() if isinstance(data, str) else data
    path = Path(path)
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise write_error(path, error) from error


def write_error(path: Path, error: OSError) -> DrfmError:
    """One line for a failed write: what could not be written, why, and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DrfmError(f"{path}: the disk is full; free some space and run the same command again")
    return DrfmError(f"{path}: cannot be written ({error.strerror}); check the folder and its permissions")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON with sorted keys, atomically; NaN and infinity are refused."""
    write_atomic(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DrfmError: the file is missing, unreadable or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DrfmError(f"{path}: no such file") from None
    except OSError as error:
        raise DrfmError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise DrfmError(f"{path}: is not valid JSON ({error}); restore it or make it again") from None


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def fingerprint(value: Any, length: int = 16) -> str:
    """The first ``length`` hexadecimal digits of the SHA-256 of ``value`` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def is_locked(folder: Path) -> bool:
    """Whether another process holds ``folder`` by :func:`folder_lock`; no file is made to find out."""
    try:
        with (folder / ".lock").open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # never held, or not ours to look at
        return False
    return False


@contextlib.contextmanager
def folder_lock(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold ``folder`` for this process; the system releases it when the process ends, however it ends.

    Args:
        folder: made if it is not there.
        wait: wait for another process that holds it.

    Raises:
        DrfmError: another process holds it and ``wait`` is not set, or it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise write_error(folder, error) from error
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DrfmError(
                f"{folder}: in use by another process; wait for it to end, or choose another folder"
            ) from None
        yield
