"""Exact neighbours by blocked products and ``topk``, on whatever device the features lie."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from drfm.errors import DrfmError
from drfm.labels import screening
from drfm.labels.neighbours import Neighbours, checked_range
from drfm.labels.similarity import similarity_rows

EXTRA = 32
"""Candidates beyond k that are rescored."""
ROWS = 1024
COLUMNS = 65536


def k_nearest_on_device(
    features: Tensor, k: int, *, queries: Any = None, row_range: tuple[int, int] | None = None
) -> Neighbours:
    """:func:`drfm.labels.neighbours.k_nearest` in PyTorch alone, with the same result to the bit.

    On a GPU products are computed in bfloat16, whose error is bounded by the measured rounding of the
    rows; the best k + 32 are rescored with the exact similarity, and a row that they cannot decide is
    rescored against all rows.

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
    kind = torch.bfloat16 if rows.is_cuda else torch.float32
    codes = rows.to(kind)
    error = 4 * (rows.shape[1] + 4) * screening.UNIT
    if kind == torch.bfloat16:
        lost = max((float((codes[s : s + 8192].float() - rows[s : s + 8192]).norm(dim=1).max())
                    for s in range(0, len(rows), 8192)), default=0.0)  # fmt: skip
        lost = max(lost, float((asked.to(kind).float() - asked).norm(dim=1).max()) if len(asked) else 0.0)
        error += 2.02 * lost * (1.001 + lost) + 2.0**-8 * (1.001 + lost) ** 2
    index = np.empty((len(asked), k), np.int32)
    exact = np.empty((len(asked), k), np.float32)
    slow = 0
    for start in range(0, len(asked) if k else 0, ROWS):
        part = asked[start : start + ROWS]
        near, which = _best(part.to(kind), codes, min(len(rows), k + EXTRA))
        values, order = _sorted(part, rows, which, k)
        if which.shape[1] < len(rows):
            doubtful = torch.nonzero(near[:, -1] + error >= values[:, -1])[:, 0]
            slow += len(doubtful)
            for row in doubtful.tolist():
                values[row], order[row] = _every(part[row], rows, k)
        index[start : start + ROWS] = order.cpu().numpy()
        exact[start : start + ROWS] = values.cpu().numpy()
    return Neighbours(index, exact, {"method": "device", "product": str(kind), "slow_rows": slow})


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
    step = 1024 if rows.is_cuda else 128  # a GPU is kept waiting by many small pieces
    spans = [slice(at, at + step) for at in range(0, len(part), step)]
    values = torch.cat([similarity_rows(part[span, None], rows[which[span]]) for span in spans])
    values, order = values.sort(dim=1, descending=True, stable=True)
    return values[:, :k], which.gather(1, order)[:, :k]


def _every(row: Tensor, rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    values = torch.cat([similarity_rows(row[None], part) for part in torch.split(rows, 16384)])
    values, order = values.sort(descending=True, stable=True)
    return values[:k], order[:k]
