"""Rows seen from a centre, where nearly equal ones are told apart.

With d = x - c and e = <c, d>, whatever the centre c::

    <x, y> = <d_x, d_y> + e_x + e_y + <c, c>

Rounding d loses a share of |d|, not of |x|: bounds on the similarities of rows that lie close
together, as those of a network that has not learned yet do, are as tight as on others.
"""

from dataclasses import dataclass

import numba
import numpy as np

from drfm.labels.parallel import each
from drfm.labels.similarity import FloatRows, inner

SAMPLE = 2048
"""Rows that the centre is the mean of, and that directions are taken from."""
PART = 512
"""Rows that a thread works on at a time."""
SHORTEST = 1e-8
"""Reach at least, so that it can be divided by."""


@dataclass(frozen=True)
class Centred:
    """N rows about a centre.

    Attributes:
        rows: ``(N, D)`` float32, of unit length, as they are.
        centre: ``(D,)`` float32.
        offset: ``(N,)`` float32, <c, x> - <c, c> for each row.
        reach: no row lies farther from the centre.
        lift: largest magnitude of an offset.
    """

    rows: FloatRows
    centre: FloatRows
    offset: FloatRows
    reach: float
    lift: float

    @property
    def shift(self) -> float:
        """What products and offsets of a pair add up to, short of the similarity: <c, c>."""
        return float(inner(self.centre, self.centre))

    def part(self, rows: slice) -> FloatRows:
        """``(n, D)`` float32 differences from the centre of some rows."""
        return np.asarray(self.rows[rows] - self.centre)


def sample_of(rows: FloatRows) -> FloatRows:
    """``SAMPLE`` evenly spaced rows, or all where there are fewer."""
    return rows[:: max(1, len(rows) // SAMPLE)][:SAMPLE]


def mean_of(rows: FloatRows) -> FloatRows:
    """``(D,)`` float32 mean of evenly spaced rows; a centre need not be exact."""
    return np.asarray(sample_of(rows).mean(axis=0, dtype=np.float64), np.float32)


def about(rows: FloatRows, centre: FloatRows) -> Centred:
    """``(N, D)`` float32 rows about a centre ``(D,)``."""
    offset = np.empty(len(rows), np.float32)
    square = float(inner(centre, centre))

    def measure(start: int) -> float:
        part = rows[start : start + PART]
        _offsets(part, centre, square, offset[start : start + PART])
        part = part - centre
        return float(np.einsum("ij,ij->i", part, part).max())

    farthest = max(each(measure, range(0, len(rows), PART)), default=0.0)
    lift = float(np.abs(offset).max(initial=0.0))
    return Centred(rows, centre, offset, max(1.001 * farthest**0.5, SHORTEST), lift)


@numba.njit(cache=True, nogil=True)
def _offsets(rows: FloatRows, centre: FloatRows, square: float, out: FloatRows) -> None:
    for i in range(rows.shape[0]):
        out[i] = inner(rows[i], centre) - square
