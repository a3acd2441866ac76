"""Exact neighbours by blocked products and ``topk``, on whatever device the features lie."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from drfm.errors import DrfmError
from drfm.labels import screening
from drfm.labels.neighbours import Neighbours, checked_range
from drfm.labels.similarity import similarity_rows

EXTRA = 32
"""Candidates beyond k that are rescored at first."""
GROWTH = 8
"""How many times more candidates a row gets that the last ones could not decide."""
WIDEST = 4096
"""Candidates at most; a row that they cannot decide is rescored against all rows."""
ROWS = 1024
COLUMNS = 65536
HALF_ROUNDING = 2.0**-10
"""Relative rounding error of a float16 number, whichever way it rounds."""
HALF_LEAST = 2.0**-23
"""The same of a number too small for its range, as it is."""
NEAREST = 2.0**-10
"""Unit of lengths at least, so that nothing leaves the range of float16."""
PAD = 8
"""Columns that offsets take in codes, of which six are zero: products like multiples of eight."""
SPAN = 8192
"""Rows that are coded at a time."""


def k_nearest_on_device(
    features: Tensor, k: int, *, queries: Any = None, row_range: tuple[int, int] | None = None
) -> Neighbours:
    """:func:`drfm.labels.neighbours.k_nearest` in PyTorch alone, with the same result to the bit.

    On a GPU products of rows about their mean (:mod:`drfm.labels.centring`) are computed in float16, whose
    error is bounded by the measured rounding of the rows. The best k + 32 are rescored with the exact
    similarity, and rows that they cannot decide get eight times as many, in the end all rows.

    Raises:
        DrfmError: features that are not finite or not of unit length, k below 1, or a bad range.
    """
    rows = _checked(features, "features")
    asked = rows if queries is None else _checked(torch.as_tensor(queries).to(rows.device), "queries")
    if row_range is not None:
        start, stop = checked_range(row_range, len(rows))
        asked = rows[start:stop]
    if k < 1:
        raise DrfmError(f"k = {k}: give 1 or more neighbours")
    k = min(k, len(rows))
    facts = {"method": "device", "product": str(_kind(rows)), "slow_rows": 0}
    index = np.empty((len(asked), k), np.int32)
    exact = np.empty((len(asked), k), np.float32)
    if not index.size:
        return Neighbours(index, exact, facts)
    base = _Base.of(rows, _kind(rows))
    slow = 0
    with _whole_sums():
        for start in range(0, len(asked), ROWS):
            part = asked[start : start + ROWS]
            values, order, again = _decided(part, base, k, min(len(rows), k + EXTRA))
            slow += again
            index[start : start + ROWS] = order.cpu().numpy()
            exact[start : start + ROWS] = values.cpu().numpy()
    return Neighbours(index, exact, facts | {"slow_rows": slow})


def _kind(rows: Tensor) -> torch.dtype:
    """Half precision where products gain by it; a CPU multiplies float16 slowly."""
    return torch.float16 if rows.is_cuda else torch.float32


@dataclass(frozen=True)
class _Coded:
    """Rows about a centre, in units of the reach, as products are made of them.

    Attributes:
        codes: ``(n, D + PAD)`` in the precision of products: differences, offsets in two pieces, zeros.
        offset: ``(n,)`` float64, in units of a similarity.
        longest: length of a difference at most.
        lift: largest magnitude of an offset.
        lost: what rounding took from a difference, and from an offset, at most.
    """

    codes: Tensor
    offset: Tensor
    longest: float
    lift: float
    lost: tuple[float, float]


@dataclass(frozen=True)
class _Base:
    """The rows that are searched, and where they are seen from.

    Attributes:
        rows: ``(N, D)`` float32 as they are.
        kind: precision of products.
        centre: ``(D,)`` float32, the mean of the rows.
        square: inner product of the centre with itself.
        reach: the unit of lengths, at least ``NEAREST``: the distance of the farthest row.
        coded: the rows about the centre.
    """

    rows: Tensor
    kind: torch.dtype
    centre: Tensor
    square: float
    reach: float
    coded: _Coded

    @classmethod
    def of(cls, rows: Tensor, kind: torch.dtype) -> "_Base":
        """The rows about their mean."""
        parts = torch.split(rows, SPAN)
        total = torch.stack([part.double().sum(0) for part in parts]).sum(0)
        centre = (total / len(rows)).float()
        reach = max(NEAREST, *(float((part - centre).norm(dim=1).max()) for part in parts))
        square = float(centre.double() @ centre.double())
        coded = _coded(rows, kind, centre, square, reach)
        return cls(rows, kind, centre, square, reach, coded)

    def asked(self, part: Tensor) -> tuple[Tensor, Tensor, float]:
        """Codes of rows to search for, what their products lack of similarities, and the error of the sum."""
        own, base = _coded(part, self.kind, self.centre, self.square, self.reach), self.coded
        codes = own.codes.clone()
        codes[:, -PAD] = codes[:, -PAD + 1] = 1  # to meet the offset of the other side
        largest = 1.001 * (own.longest * base.longest + base.lift)
        lost, (base_lost, lift_lost) = own.lost[0], base.lost
        error = lost * base.longest + own.longest * base_lost + lost * base_lost + lift_lost
        error += 4 * (codes.shape[1] + 8) * screening.UNIT * largest
        if self.kind != torch.float32:
            error += HALF_ROUNDING * largest + HALF_LEAST
        return codes, own.offset + self.square, 1.01 * self.reach**2 * error + 8 * screening.UNIT

    def similar(self, products: Tensor, lacking: Tensor) -> Tensor:
        """About the similarities, in float64, of products of codes with those that were :meth:`asked`."""
        return products.double() * self.reach**2 + lacking


def _coded(rows: Tensor, kind: torch.dtype, centre: Tensor, square: float, reach: float) -> _Coded:
    codes = rows.new_zeros((len(rows), rows.shape[1] + PAD), dtype=kind)
    offset = rows.new_zeros(len(rows), dtype=torch.float64)
    found = []
    for start in range(0, len(rows), SPAN):
        span = slice(start, start + SPAN)
        difference = (rows[span] - centre) / reach
        offset[span] = rows[span].double() @ centre.double() - square
        lift = (offset[span] / reach**2).float()
        codes[span, :-PAD] = difference
        codes[span, -PAD] = lift
        codes[span, -PAD + 1] = lift - codes[span, -PAD].float()
        lost = (codes[span, :-PAD].float() - difference).norm(dim=1).max()
        missed = (codes[span, -PAD].float() + codes[span, -PAD + 1].float() - lift).abs().max()
        found.append(torch.stack([difference.norm(dim=1).max(), lift.abs().max(), lost, missed]))
    longest, lift, lost, missed = torch.stack(found).max(0).values.tolist()
    return _Coded(codes, offset, 1.001 * longest, lift, (1.001 * lost, missed))


@contextlib.contextmanager
def _whole_sums() -> Iterator[None]:
    """Within the block half-precision products are added up in float32, without rounding on the way."""
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_fp16_reduced_precision_reduction
    matmul.allow_fp16_reduced_precision_reduction = False
    try:
        yield
    finally:
        matmul.allow_fp16_reduced_precision_reduction = before


def _decided(part: Tensor, base: _Base, k: int, width: int) -> tuple[Tensor, Tensor, int]:
    """The exact best k of each row of ``part``, and how many needed more than ``width`` candidates."""
    codes, lacking, error = base.asked(part)
    products, which = _best(codes, base.coded.codes, width)
    values, order = _sorted(part, base.rows, which, k)
    if width >= len(base.rows):
        return values, order, 0
    doubtful = torch.nonzero(base.similar(products[:, -1], lacking) + error >= values[:, -1])[:, 0]
    wider = min(len(base.rows), GROWTH * width)
    if len(doubtful) and wider <= WIDEST:
        values[doubtful], order[doubtful], _ = _decided(part[doubtful], base, k, wider)
    else:
        for row in doubtful.tolist():
            values[row], order[row] = _every(part[row], base.rows, k)
    return values, order, len(doubtful)


def _checked(features: Tensor, what: str) -> Tensor:
    rows = features.detach().to(torch.float32)
    if rows.ndim != 2:
        raise DrfmError(f"{what}: shape {tuple(rows.shape)}; give a matrix with one row per image")
    length = (
        torch.cat([part.norm(dim=1) for part in torch.split(rows, 65536)]) if len(rows) else rows.new_ones(1)
    )
    if not torch.isfinite(length).all():
        raise DrfmError(f"{what}: a row is not finite; the network that made it has diverged")
    if ((length - 1).abs() > 1e-3).any():
        raise DrfmError(f"{what}: a row is not of unit length; normalise rows to length 1")
    return rows


def _best(part: Tensor, codes: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The ``width`` largest products of each row, merged over blocks of columns."""
    near: Tensor | None = None
    which: Tensor | None = None
    for column in range(0, len(codes), COLUMNS):
        product = part @ codes[column : column + COLUMNS].T
        values, at = torch.topk(product, min(width, product.shape[1]))
        at = at + column
        if near is not None and which is not None:
            values, at = torch.cat([near, values.float()], 1), torch.cat([which, at], 1)
            values, chosen = torch.topk(values, min(width, values.shape[1]))
            at = at.gather(1, chosen)
        near, which = values.float(), at
    if near is None or which is None:
        raise DrfmError("features: no rows")
    return near, which


def _sorted(part: Tensor, rows: Tensor, which: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Rescored candidates by (similarity descending, index ascending), the first k."""
    which = which.sort(dim=1).values
    # A GPU is kept waiting by many small pieces.
    step = max(1, (65536 if rows.is_cuda else 8192) // which.shape[1])
    spans = [slice(at, at + step) for at in range(0, len(part), step)]
    values = torch.cat([similarity_rows(part[span, None], rows[which[span]]) for span in spans])
    values, order = values.sort(dim=1, descending=True, stable=True)
    return values[:, :k], which.gather(1, order)[:, :k]


def _every(row: Tensor, rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    values = torch.cat([similarity_rows(row[None], part) for part in torch.split(rows, 16384)])
    values, order = values.sort(descending=True, stable=True)
    return values[:k], order[:k]
