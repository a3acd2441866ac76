"""PNG files whose bytes depend on the pixels alone."""

import struct
import zlib

import numpy as np
import numpy.typing as npt

_BLOCK = 65535  # longest stored block of DEFLATE


def encode_png(image: npt.NDArray[np.uint8]) -> bytes:
    """A lossless 8-bit RGB PNG without compression.

    Compressed bytes differ between releases of zlib, and with them the checksums in a
    manifest. Stored blocks (RFC 1951, 3.2.4) leave nothing to choose; LR crops are a few kilobytes.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
    """
    height, width, _ = image.shape
    rows = np.zeros((height, 1 + 3 * width), dtype=np.uint8)  # filter type 0 before each row
    rows[:, 1:] = image.reshape(height, 3 * width)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", _stored(rows.tobytes()))
        + _chunk(b"IEND", b"")
    )


def _stored(raw: bytes) -> bytes:
    parts = [b"\x78\x01"]
    for start in range(0, len(raw), _BLOCK):
        block = raw[start : start + _BLOCK]
        last = start + _BLOCK >= len(raw)
        parts += [struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF), block]
    return b"".join([*parts, struct.pack(">I", zlib.adler32(raw))])


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
