"""Exact neighbours by blocked products and ``topk``, on whatever device the features lie."""

import contextlib
from collections.abc import Iterator
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


def k_nearest_on_device(
    features: Tensor, k: int, *, queries: Any = None, row_range: tuple[int, int] | None = None
) -> Neighbours:
    """:func:`drfm.labels.neighbours.k_nearest` in PyTorch alone, with the same result to the bit.

    On a GPU products are computed in float16, whose error is bounded by the measured rounding of the
    rows; unit vectors do not leave its range. The best k + 32 are rescored with the exact similarity, and
    rows that they cannot decide get eight times as many, in the end all rows.

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
    kind = _kind(rows)
    codes = rows.to(kind)
    error = _error(rows, asked, kind)
    index = np.empty((len(asked), k), np.int32)
    exact = np.empty((len(asked), k), np.float32)
    slow = 0
    with _whole_sums():
        for start in range(0, len(asked) if k else 0, ROWS):
            part = asked[start : start + ROWS]
            values, order, again = _decided(part, rows, codes, k, min(len(rows), k + EXTRA), error)
            slow += again
            index[start : start + ROWS] = order.cpu().numpy()
            exact[start : start + ROWS] = values.cpu().numpy()
    return Neighbours(index, exact, {"method": "device", "product": str(kind), "slow_rows": slow})


def _kind(rows: Tensor) -> torch.dtype:
    """Half precision where products gain by it; a CPU multiplies float16 slowly."""
    return torch.float16 if rows.is_cuda else torch.float32


def _error(rows: Tensor, asked: Tensor, kind: torch.dtype) -> float:
    """How far a product of two codes can be from the similarity of their rows."""
    error = 4 * (rows.shape[1] + 4) * screening.UNIT
    if kind == torch.float32:
        return error
    lost = 0.0
    for part in (part for side in (rows, asked) for part in torch.split(side, 8192) if len(part)):
        lost = max(lost, float((part.to(kind).float() - part).norm(dim=1).max()))
    return error + 2.02 * lost * (1.001 + lost) + HALF_ROUNDING * (1.001 + lost) ** 2


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


def _decided(
    part: Tensor, rows: Tensor, codes: Tensor, k: int, width: int, error: float
) -> tuple[Tensor, Tensor, int]:
    """The exact best k of each row of ``part``, and how many needed more than ``width`` candidates."""
    near, which = _best(part.to(codes.dtype), codes, width)
    values, order = _sorted(part, rows, which, k)
    if width >= len(rows):
        return values, order, 0
    doubtful = torch.nonzero(near[:, -1] + error >= values[:, -1])[:, 0]
    wider = min(len(rows), GROWTH * width)
    if len(doubtful) and wider <= WIDEST:
        values[doubtful], order[doubtful], _ = _decided(part[doubtful], rows, codes, k, wider, error)
    else:
        for row in doubtful.tolist():
            values[row], order[row] = _every(part[row], rows, k)
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
