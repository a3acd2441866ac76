"""Super-resolved images that are done: none is made twice, in whatever store and after whatever end."""

import hashlib
import os
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from drfm.config.schema import Size
from drfm.files import write_error

Image = npt.NDArray[np.uint8]
FILE = "finished.bin"
_DIGEST, _SUM = 32, 4


def digest(capture: Image, rate: int) -> bytes:
    """32 bytes that differ for different pixels, shapes and rates."""
    key = f"{capture.shape}|{rate}".encode()
    return hashlib.blake2b(np.ascontiguousarray(capture).data, digest_size=_DIGEST, key=key[:64]).digest()


class Finished:
    """Images of one size, one record after the other: digest of the capture, CRC-32, pixels.

    A record that a crash cut short is dropped when the file is opened, one whose pixels do not
    agree with their sum counts as missing. One process at a time may hold the folder.

    Args:
        folder: exists.
        size: height and width of the images.
    """

    def __init__(self, folder: Path, size: Size) -> None:
        self.path, self.shape = folder / FILE, (*size, 3)
        self._pixels = int(np.prod(self.shape))
        self._record = _DIGEST + _SUM + self._pixels
        try:
            self._file = self.path.open("a+b")
            whole = self.path.stat().st_size // self._record
            self._file.truncate(whole * self._record)
            self._rows = {self._head(row): row for row in range(whole)}
        except OSError as error:
            raise write_error(self.path, error) from error

    def __len__(self) -> int:
        return len(self._rows)

    def _head(self, row: int) -> bytes:
        return os.pread(self._file.fileno(), _DIGEST, row * self._record)

    def get(self, key: bytes) -> Image | None:
        """The finished image ``(H, W, 3)`` uint8 of a capture, or None."""
        row = self._rows.get(key)
        if row is None:
            return None
        raw = os.pread(self._file.fileno(), self._record - _DIGEST, row * self._record + _DIGEST)
        if zlib.crc32(raw[_SUM:]) != int.from_bytes(raw[:_SUM], "big"):
            return None
        return np.frombuffer(raw, dtype=np.uint8, offset=_SUM).reshape(self.shape)

    def add(self, key: bytes, image: Image) -> None:
        """Keep the finished image of a capture.

        Raises:
            DrfmError: the disk is full or the file cannot be written.
        """
        raw = np.ascontiguousarray(image).tobytes()
        try:
            self._file.write(key + zlib.crc32(raw).to_bytes(_SUM, "big") + raw)
            self._file.flush()
            self._rows[key] = self.path.stat().st_size // self._record - 1
        except OSError as error:
            raise write_error(self.path, error) from error

    def close(self) -> None:
        """Let the file go."""
        self._file.close()
