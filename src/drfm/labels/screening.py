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
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from drfm.labels.parallel import each, single_products
from drfm.labels.similarity import FloatRows

UNIT = 2.0**-24
"""Relative rounding error of float32."""
SHORT_SCALE = 32000.0
"""Unit length in 16-bit integers; sums of products stay below 2^31 by the Cauchy-Schwarz inequality."""
SAMPLE = 2048
"""Rows that the principal directions are taken from."""
SPAN = 256
"""Dimensions that are added up at a time in a projection."""
PART = 512
"""Rows that a thread encodes at a time."""
SHORT_ROUNDING = 2.0**-8
"""Relative rounding error of bfloat16, whichever way it rounds."""

Product = Literal["numpy float32", "torch float32", "torch bfloat16"]


@dataclass(frozen=True)
class Screen:
    """Codes of N rows whose products bound similarities from above.

    Attributes:
        codes: ``(N, R + 1)`` float32 or bfloat16; the last coordinate is the length of what the others miss.
        slack: added to a product of two codes to make it a proven bound.
        relative: by how much, of its value, a product may be rounded at the end.
        product: how products are computed.
    """

    codes: Tensor
    slack: float
    relative: float
    product: Product

    def least(self, similarity: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """What the products of pairs whose similarity may reach ``similarity`` are at least."""
        low = similarity - np.float32(self.slack)
        return np.asarray(low - np.float32(self.relative) * np.minimum(np.abs(low), np.float32(2)))

    def bounds(self, rows: slice, other: "Screen", columns: slice) -> npt.NDArray[np.float32]:
        """Products of the codes of ``rows`` with those of the ``columns`` of another screen."""
        first, second = self.codes[rows], other.codes[columns]
        if self.product == "numpy float32":
            return np.asarray(first.numpy() @ second.numpy().T)
        return (first @ second.T).float().numpy()

    def opposite(self, missed: bool) -> "Screen":
        """The codes of minus the same rows; ``missed``: the last coordinate is the length that stays."""
        codes = -self.codes
        if missed:
            codes[:, -1] = self.codes[:, -1]
        return replace(self, codes=codes)

    def chosen(self, rows: npt.NDArray[np.int64]) -> "Screen":
        """The codes of some rows."""
        return replace(self, codes=self.codes[torch.from_numpy(rows)])


def principal_directions(rows: FloatRows, rank: int, product: Product) -> npt.NDArray[np.float32]:
    """``(D, rank)`` nearly orthonormal columns that hold most of the rows' energy, by subspace iteration.

    Found on evenly spaced rows, from a fixed start. Bounds hold for any directions, so the products on
    the way may be in bfloat16.
    """
    step = max(1, len(rows) // SAMPLE)
    kind = torch.bfloat16 if product == "torch bfloat16" else torch.float32
    sample = torch.from_numpy(rows[::step][:SAMPLE]).to(kind)
    random = torch.Generator().manual_seed(0)
    start = torch.randn(rank, len(sample), generator=random)
    noise = 1e-4 * rows.shape[1] ** -0.5 * torch.randn(rank, rows.shape[1], generator=random)
    spans = [slice(at, at + 256) for at in range(0, len(sample), 256)]

    def energy(directions: Tensor) -> Tensor:
        short = directions.to(kind)
        parts = each(lambda span: ((sample[span] @ short.T).T @ sample[span]).float(), spans)
        return torch.stack(parts).sum(0)

    with single_products():
        basis = (start.to(kind) @ sample).float()
        for _ in range(2):
            basis = energy(_orthonormal(basis, noise, 1))
        return np.ascontiguousarray(_orthonormal(basis, noise, 2).T.numpy())


def _orthonormal(vectors: Tensor, noise: Tensor, passes: int) -> Tensor:
    """Rows of nearly the same span, orthonormal to float32 after two passes of a Cholesky factor in float64.

    The noise keeps apart vectors that hardly differ, as those of repeated images do.
    """
    wide: Tensor = vectors.double()
    wide = wide / (wide.norm(dim=1, keepdim=True) + 1e-300) + noise
    for _ in range(passes):
        wide /= wide.norm(dim=1, keepdim=True)
        wide = torch.linalg.solve_triangular(torch.linalg.cholesky(wide @ wide.T), wide, upper=False)
    return wide.to(torch.float32)


def make_screen(rows: FloatRows, basis: npt.NDArray[np.float32] | None, product: Product) -> Screen:
    """Codes of ``rows`` and the slack that makes their products upper bounds.

    Args:
        rows: ``(N, D)`` float32 rows of unit length.
        basis: of :func:`principal_directions`, or ``None`` to keep the rows as they are.
        product: how products will be computed; its rounding is part of the slack.
    """
    size = rows.shape[1]
    rank, error, codes = (size, 0.0, rows) if basis is None else (basis.shape[1], *_projected(rows, basis))
    length = 1.001 + error
    slack = 2 * error + 2 * (rank + 4) * UNIT * length**2
    coded = torch.from_numpy(codes)
    if product != "torch bfloat16":
        return Screen(coded, 1.01 * slack, 0.0, product)
    short = torch.empty(coded.shape, dtype=torch.bfloat16)

    def shortened(start: int) -> float:
        part = slice(start, start + PART)
        short[part] = coded[part]
        return float((short[part].float() - coded[part]).norm(dim=1).max())

    lost = max(each(shortened, range(0, len(rows), PART)), default=0.0)
    slack += 2 * lost * (length + lost)
    return Screen(short, 1.01 * slack, SHORT_ROUNDING, product)


def _projected(rows: FloatRows, basis: npt.NDArray[np.float32]) -> tuple[float, npt.NDArray[np.float32]]:
    """How far the computed codes may be from exact ones of an orthonormal basis, and the codes.

    A sum of n products of float32 numbers is off by n u of the sum of their magnitudes at most, whatever
    the order; B'x is added from few sums of ``SPAN``, so |fl(B'x) - B'x| <= (SPAN + D / SPAN) u sqrt(R) |x|.
    B'B differs from the identity by ``skew``.
    """
    size, rank = basis.shape
    spans = [slice(at, at + SPAN) for at in range(0, size, SPAN)]
    wide = basis.astype(np.float64)
    skew = float(np.linalg.norm(wide.T @ wide - np.eye(rank)))
    error = 1.01 * (SPAN + len(spans)) * UNIT * rank**0.5 + skew
    codes = np.empty((len(rows), rank + 1), np.float32)
    directions = torch.from_numpy(basis)

    def project(start: int) -> None:
        part, out = rows[start : start + PART], codes[start : start + PART]
        given = torch.from_numpy(part)  # torch's product minds the stride of a cut less than numpy's
        products = (given[:, span] @ directions[span] for span in spans)
        total = functools.reduce(Tensor.add_, products).numpy()
        missed = np.einsum("ij,ij->i", part, part) - np.einsum("ij,ij->i", total, total)
        out[:, :rank] = total
        out[:, rank] = np.sqrt(np.maximum(missed, 0) + 2 * error + 4 * size * UNIT)

    each(project, range(0, len(rows), PART))
    return error, codes


def shorten(rows: FloatRows) -> tuple[npt.NDArray[np.int16], float]:
    """Rows as 16-bit integers of length ``SHORT_SCALE``, and a bound on the error of their products."""
    short = np.empty(rows.shape, np.int16)

    def work(start: int) -> float:
        part = rows[start : start + PART] * np.float32(SHORT_SCALE)
        np.rint(part, out=part)
        short[start : start + PART] = part
        part *= np.float32(1 / SHORT_SCALE)
        part -= rows[start : start + PART]
        return float(np.einsum("ij,ij->i", part, part).max())

    worst = max(each(work, range(0, len(rows), PART)), default=0.0)
    lost = worst**0.5 * 1.01 + 4 * UNIT
    return short, 2.01 * lost + 4 * UNIT
