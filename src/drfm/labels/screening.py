"""Cheap upper bounds on cosine similarities, so that exact ones are computed for few pairs.

For a matrix B with orthonormal columns and p = B'x, r = x - Bp::

    <x, y> = <p_x, p_y> + <r_x, r_y>  <=  <p_x, p_y> + |r_x| |r_y|

The bound holds for any B; principal directions make it tight. |r| is appended to p
as one more coordinate, so the bound of a block of pairs is one matrix product of
few columns. What rounding and reduced precision can add is in ``slack``.
Pairs that pass are checked with 16-bit integers, whose error is bounded too, and
those that pass again get their exact similarity.
"""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy.linalg import solve_triangular
from torch import Tensor

from drfm.labels.parallel import each, single_products
from drfm.labels.similarity import FloatRows

UNIT = 2.0**-24
"""Relative rounding error of float32."""
SHORT_SCALE = 32000.0
"""Unit length in 16-bit integers; sums of products stay below 2^31 by the Cauchy-Schwarz inequality."""
SAMPLE = 2048
"""Rows that the principal directions are taken from."""


Product = Literal["numpy float32", "torch float32", "torch bfloat16"]


@dataclass(frozen=True)
class Screen:
    """Codes of N rows whose products bound similarities from above.

    Attributes:
        codes: ``(N, R + 1)`` float32 or bfloat16; the last coordinate is the length of what the others miss.
        slack: added to a product of two codes to make it a proven bound.
        product: how products are computed.
    """

    codes: Tensor
    slack: float
    product: Product

    def bounds(self, rows: slice, other: "Screen", columns: slice) -> npt.NDArray[np.float32]:
        """Products of the codes of ``rows`` with those of the ``columns`` of another screen, before slack."""
        first, second = self.codes[rows], other.codes[columns]
        if self.product == "numpy float32":
            return np.asarray(first.numpy() @ second.numpy().T)
        return (first @ second.T).float().numpy()

    def chosen(self, rows: npt.NDArray[np.int64]) -> "Screen":
        """The codes of some rows."""
        return Screen(self.codes[torch.from_numpy(rows)], self.slack, self.product)


@functools.cache
def fastest_product(threads: int) -> Product:
    """Which matrix product this processor does best, by a measurement of a few milliseconds.

    bfloat16 loosens the bounds, so it has to be three times as fast to be chosen.
    """
    random = torch.Generator().manual_seed(0)
    x, y = torch.randn(256, 256, generator=random), torch.randn(2048, 256, generator=random)
    short_x, short_y = x.bfloat16(), y.bfloat16()

    def seconds(work: Callable[[], object]) -> float:
        best = float("inf")
        for _ in range(4):
            start = time.perf_counter()
            work()
            best = min(best, time.perf_counter() - start)
        return best

    plain = {
        "numpy float32": seconds(lambda: x.numpy() @ y.numpy().T),
        "torch float32": seconds(lambda: x @ y.T),
    }
    best = min(plain, key=lambda name: plain[name])
    if 3 * seconds(lambda: short_x @ short_y.T) < plain[best]:
        return "torch bfloat16"
    return "numpy float32" if best == "numpy float32" else "torch float32"


def principal_directions(rows: FloatRows, rank: int) -> npt.NDArray[np.float32]:
    """``(D, rank)`` nearly orthonormal columns that hold most of the rows' energy, by subspace iteration.

    Found on evenly spaced rows, from a fixed start, so the same features give the same directions.
    """
    step = max(1, len(rows) // SAMPLE)
    sample = np.ascontiguousarray(rows[::step][:SAMPLE])
    start = np.random.default_rng(0).standard_normal((rank, len(sample)), dtype=np.float32)
    spans = [slice(at, at + 256) for at in range(0, len(sample), 256)]

    def energy(transposed: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        parts = each(lambda span: (sample[span] @ transposed.T).T @ sample[span], spans)
        return np.asarray(np.sum(parts, axis=0), np.float32)

    basis = start @ sample
    with single_products():
        for _ in range(2):
            basis = energy(_orthonormal(basis, 1))
        return np.ascontiguousarray(_orthonormal(basis, 2).T)


def _orthonormal(vectors: npt.NDArray[np.float32], passes: int) -> npt.NDArray[np.float32]:
    """Rows of the same span, orthonormal to float32 after two passes of a Cholesky factor in float64."""
    wide = vectors.astype(np.float64)
    for _ in range(passes):
        wide /= np.linalg.norm(wide, axis=1, keepdims=True) + 1e-300
        factor = np.linalg.cholesky(wide @ wide.T + 1e-14 * np.eye(len(wide)))
        wide = np.asarray(solve_triangular(factor, wide, lower=True, check_finite=False))
    return np.ascontiguousarray(wide, dtype=np.float32)


def make_screen(rows: FloatRows, basis: npt.NDArray[np.float32] | None, product: Product) -> Screen:
    """Codes of ``rows`` and the slack that makes their products upper bounds.

    Args:
        rows: ``(N, D)`` float32 rows of unit length.
        basis: of :func:`principal_directions`, or ``None`` to keep the rows as they are.
        product: how products will be computed; its rounding is part of the slack.
    """
    size = rows.shape[1]
    if basis is None:
        codes, rank, slack = rows, size, 0.0
    else:
        # |fl(B'x) - B'x| <= D u sqrt(R) |x|, and B'B differs from the identity by `skew`.
        rank = basis.shape[1]
        wide = basis.astype(np.float64)
        skew = float(np.linalg.norm(wide.T @ wide - np.eye(rank)))
        error = size * UNIT * rank**0.5 + skew
        codes = np.empty((len(rows), rank + 1), np.float32)
        np.matmul(rows, basis, out=codes[:, :rank])
        kept = np.einsum("ij,ij->i", codes[:, :rank], codes[:, :rank])
        whole = np.einsum("ij,ij->i", rows, rows)
        codes[:, rank] = np.sqrt(np.maximum(whole - kept, 0) + 2 * error + 4 * size * UNIT)
        slack = 2 * error
    coded = torch.from_numpy(codes)
    length = 1.001 + error if basis is not None else 1.001
    slack += 2 * (rank + 4) * UNIT * length**2
    if product == "torch bfloat16":
        short = coded.bfloat16()
        lost = max((float((short[s : s + 4096].float() - coded[s : s + 4096]).norm(dim=1).max())
                    for s in range(0, len(short), 4096)), default=0.0)  # fmt: skip
        # The rounding of both codes, and of the product to 8 bits.
        slack += 2 * lost * (length + lost) + 2.0**-8 * (length + lost) ** 2
        coded = short
    return Screen(coded, 1.01 * slack, product)


def shorten(rows: FloatRows) -> tuple[npt.NDArray[np.int16], float]:
    """Rows as 16-bit integers of length ``SHORT_SCALE``, and a bound on the error of their products."""
    short = np.empty(rows.shape, np.int16)
    worst = 0.0
    for start in range(0, len(rows), 1024):
        part = rows[start : start + 1024] * np.float32(SHORT_SCALE)
        np.rint(part, out=part)
        short[start : start + 1024] = part
        part *= np.float32(1 / SHORT_SCALE)
        part -= rows[start : start + 1024]
        worst = max(worst, float(np.einsum("ij,ij->i", part, part).max()))
    lost = worst**0.5 * 1.01 + 4 * UNIT
    return short, 2.01 * lost + 4 * UNIT
