"""Cheap upper bounds on cosine similarities, so that exact ones are computed for few pairs.

Of rows about a centre (:mod:`drfm.labels.centring`), for a matrix B with orthonormal columns and
p = B'd, r = d - Bp::

    <x, y> - <c, c> = <p_x, p_y> + <r_x, r_y> + e_x + e_y  <=  <p_x, p_y> + |r_x| |r_y| + e_x + e_y

The bound holds for any B; principal directions make it tight. |r|, e and 1 are appended to p
as more coordinates, so the bounds of a block of pairs are one matrix product of few columns. What
rounding and reduced precision can add is in ``slack``.
Pairs that pass are checked with 16-bit integers, whose error is bounded too, and
those that pass again get their exact similarity.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from drfm.labels.centring import PART, Centred, sample_of
from drfm.labels.parallel import each, numpy_multiplies_faster, single_products
from drfm.labels.similarity import FloatRows

UNIT = 2.0**-24
"""Relative rounding error of float32."""
SHORT_SCALE = 32000.0
"""The reach in 16-bit integers; sums of products stay below 2^31 by the Cauchy-Schwarz inequality."""
SPAN = 256
"""Dimensions that are added up at a time in a projection."""
SHORT_ROUNDING = 2.0**-8
"""Relative rounding error of bfloat16, whichever way it rounds."""

Product = Literal["numpy float32", "torch float32", "torch bfloat16"]


@dataclass(frozen=True)
class Screen:
    """Codes of N rows whose products bound similarities from above.

    Attributes:
        codes: ``(N, R + 2)`` float32 or bfloat16; the last two coordinates are the offset and 1.
        reach: no row lies farther from the centre, and no code is longer without its last two coordinates.
        lift: largest magnitude of an offset.
        error: how far a code may be from the exact one, without its last two coordinates.
        lost: what reduced precision took from a code, and from an offset, at most.
        product: how products are computed.
    """

    codes: Tensor
    reach: float
    lift: float
    error: float
    lost: tuple[float, float]
    product: Product

    def bounds(self, rows: slice, other: "Screen", columns: slice) -> npt.NDArray[np.float32]:
        """Products of the codes of ``rows`` with those of the ``columns`` of another screen."""
        first, second = self.codes[rows], other.codes[columns]
        first = torch.cat([first[:, :-2], first[:, -1:], first[:, -2:-1]], 1)  # 1 meets the other's offset
        if self.product == "numpy float32":
            return np.asarray(first.numpy() @ second.numpy().T)
        return (first @ second.T).float().numpy()

    def opposite(self, missed: bool) -> "Screen":
        """The codes of minus the same rows; ``missed``: the third last coordinate is the length left."""
        codes = -self.codes
        if missed:
            codes[:, -3] = self.codes[:, -3]
        return replace(self, codes=codes)

    def chosen(self, rows: npt.NDArray[np.int64]) -> "Screen":
        """The codes of some rows."""
        return replace(self, codes=self.codes[torch.from_numpy(rows)])


@dataclass(frozen=True)
class Limit:
    """What turns similarities into products of codes that they cannot exceed.

    Attributes:
        slack: taken from a similarity: its distance from a sum of products, and what rounding may hide.
        relative: by how much, of its value, a product may be rounded at the end.
    """

    slack: float
    relative: float

    def least(self, similarity: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """What the products of pairs whose similarity may reach ``similarity`` are at least."""
        low = similarity - self.slack
        return np.asarray(low - self.relative * np.minimum(np.abs(low), 2), np.float32)


def limit(asked: Screen, rows: Screen, shift: float) -> Limit:
    """How bounds of two screens are read.

    Args:
        asked: codes of the rows that are searched for.
        rows: codes of the rows that are searched.
        shift: what a product of codes lacks of a similarity, see :class:`drfm.labels.centring.Centred`.
    """
    size = rows.codes.shape[1]
    largest = 1.01 * (asked.reach * rows.reach + asked.lift + rows.lift)
    short, low = rows.lost
    short_asked, low_asked = asked.lost
    slack = asked.error * rows.reach + asked.reach * rows.error
    slack += short_asked * rows.reach + asked.reach * short + short * short_asked + low + low_asked
    slack += (2 * size + 12) * UNIT * largest + 4 * UNIT
    relative = SHORT_ROUNDING if rows.product == "torch bfloat16" else 0.0
    return Limit(shift + 1.01 * slack, relative)


def principal_directions(seen: Centred, rank: int, product: Product) -> FloatRows:
    """``(D, rank)`` nearly orthonormal columns that hold most of the rows' energy about their centre.

    Found by subspace iteration on evenly spaced rows, from a fixed start. Bounds hold for any directions,
    so the products on the way may be in bfloat16.
    """
    rows = sample_of(seen.rows)
    kind = torch.bfloat16 if product == "torch bfloat16" else torch.float32
    sample = torch.from_numpy(rows - seen.centre).to(kind)
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


def make_screen(seen: Centred, basis: FloatRows | None, product: Product) -> Screen:
    """Codes whose products are upper bounds, up to a :func:`limit`.

    Args:
        seen: the rows about a centre, which must be that of the rows they will be compared with.
        basis: of :func:`principal_directions`, or ``None`` to keep the differences as they are.
        product: how products will be computed.
    """
    size = seen.rows.shape[1]
    width, error = (size, 0.0) if basis is None else (basis.shape[1] + 1, _projection_error(basis))
    kind = torch.bfloat16 if product == "torch bfloat16" else torch.float32
    codes = torch.empty(len(seen.rows), width + 2, dtype=kind)

    def encode(start: int) -> tuple[float, float]:
        span = slice(start, start + PART)
        given = seen.part(span)
        coded = torch.from_numpy(given if basis is None else _projected(given, basis, error))
        offset = torch.from_numpy(seen.offset[span])
        codes[span, :width], codes[span, width], codes[span, width + 1] = coded, offset, 1
        if kind == torch.float32:
            return 0.0, 0.0
        short, low = codes[span, :width].float() - coded, codes[span, width].float() - offset
        return float(short.norm(dim=1).max()), float(low.abs().max())

    lost = each(encode, range(0, len(seen.rows), PART))
    worst = max((short for short, _ in lost), default=0.0), max((low for _, low in lost), default=0.0)
    reach = seen.reach * (1.001 + error) + worst[0]
    return Screen(codes, reach, seen.lift + worst[1], error * seen.reach, worst, product)


def _projection_error(basis: FloatRows) -> float:
    """How far, as a share of |d|, computed codes may be from exact ones of an orthonormal basis.

    A sum of n products of float32 numbers is off by n u of the sum of their magnitudes at most, whatever
    the order; B'd is added from few sums of ``SPAN``, so |fl(B'd) - B'd| <= (SPAN + D / SPAN) u sqrt(R) |d|.
    B'B differs from the identity by ``skew``.
    """
    size, rank = basis.shape
    wide = basis.astype(np.float64)
    skew = np.linalg.norm(wide.T @ wide - np.eye(rank))
    return float(1.01 * (SPAN + -(-size // SPAN)) * UNIT * rank**0.5 + skew)


def _projected(given: FloatRows, basis: FloatRows, error: float) -> FloatRows:
    """Codes ``(n, R + 1)`` of differences ``(n, D)``, the length that they miss in the last column."""
    size, rank = basis.shape
    codes = np.empty((len(given), rank + 1), np.float32)
    total = codes[:, :rank]
    total[:] = 0
    for at in range(0, size, SPAN):
        part, directions = given[:, at : at + SPAN], basis[at : at + SPAN]
        if numpy_multiplies_faster():
            total += part @ directions
        else:
            total += (torch.from_numpy(part) @ torch.from_numpy(directions)).numpy()
    whole, kept = np.einsum("ij,ij->i", given, given), np.einsum("ij,ij->i", total, total)
    missed = np.maximum(whole - kept, 0) + np.float32(2 * error + 4 * size * UNIT) * whole
    codes[:, rank] = np.sqrt(missed)
    return codes


def shorten(seen: Centred) -> tuple[npt.NDArray[np.int16], float]:
    """Differences as 16-bit integers, the reach as ``SHORT_SCALE``, and how far a row may be from its own."""
    short = np.empty(seen.rows.shape, np.int16)
    scale = np.float32(SHORT_SCALE / seen.reach)

    def work(start: int) -> float:
        span = slice(start, start + PART)
        part = seen.part(span)
        part *= scale
        rounded = np.rint(part)
        short[span] = rounded
        rounded -= part
        return float(np.einsum("ij,ij->i", rounded, rounded).max())

    worst = max(each(work, range(0, len(seen.rows), PART)), default=0.0)
    return short, (1.01 * worst**0.5 + 4 * UNIT * SHORT_SCALE) * seen.reach / SHORT_SCALE
