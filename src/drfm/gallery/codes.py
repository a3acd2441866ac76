"""Rows as 8-bit codes whose products bound cosine similarities.

A row is x = s c + e with one scale s, integers c in -127..127 and a small rest e. For two rows::

    <x, y> = s t <c, d> + <e, t d> + <x, f>        y = t d + f

so the integer product is off by at most |e| (|y| + |f|) + |x| |f|, by the Cauchy-Schwarz inequality.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from drfm.gallery.products import LINE, SHIFT

Rows = npt.NDArray[np.float32]
SCALE, ERROR, SUM = 0, 1, 2
"""Columns of the facts of a row: s, an upper bound of |e|, and the sum of c."""
FACTS = 3
LONGEST = 16384
"""Dimensions for which sums of products stay below 2^30 and sums of codes are exact in float32."""


@dataclass(frozen=True)
class Codes:
    """Codes of N rows of D dimensions.

    Attributes:
        codes: ``(N, W)`` int8, W being D rounded up to a multiple of ``LINE``.
        facts: ``(N, FACTS)`` float32.
    """

    codes: npt.NDArray[np.int8]
    facts: npt.NDArray[np.float32]


def width(size: int) -> int:
    """Bytes of the codes of a row of ``size`` dimensions."""
    return -(-size // LINE) * LINE


def encode(rows: Rows) -> Codes:
    """Codes of ``(N, D)`` float32 rows."""
    codes = np.zeros((len(rows), width(rows.shape[1])), np.int8)
    facts = np.zeros((len(rows), FACTS), np.float32)
    _encode(rows, codes, facts)
    return Codes(codes, facts)


def shifted(codes: npt.NDArray[np.int8]) -> npt.NDArray[np.uint8]:
    """Codes of queries as the products take them: unsigned, ``SHIFT`` added."""
    return (codes.astype(np.int16) + SHIFT).astype(np.uint8)


@numba.njit(cache=True, nogil=True)
def _encode(rows: Any, codes: Any, facts: Any) -> None:
    for i in range(rows.shape[0]):
        largest = np.float32(0)
        for d in range(rows.shape[1]):
            largest = max(largest, abs(rows[i, d]))
        scale = np.float32(largest / np.float32(127))
        inverse = np.float32(1) / scale if scale > 0 else np.float32(0)
        rest, total = 0.0, 0
        for d in range(rows.shape[1]):
            code = min(max(np.rint(rows[i, d] * inverse), -127), 127)
            codes[i, d] = np.int8(code)
            total += int(code)
            gap = np.float64(rows[i, d]) - np.float64(scale) * np.float64(code)
            rest += gap * gap
        facts[i, 0] = scale
        # Rounded up: a few units of float32 cover its rounding and that of the sum.
        facts[i, 1] = np.sqrt(rest) * (1 + 1e-6)
        facts[i, 2] = total
