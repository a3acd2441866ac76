"""Nearest neighbours by cosine similarity, exact unless asked otherwise."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from drfm.errors import DrfmError
from drfm.labels import candidates, centring, screening
from drfm.labels.parallel import in_parts
from drfm.labels.similarity import FloatRows, unit_rows
from drfm.labels.sweep import EMPTY, Lists, sweep

Method = Literal["auto", "blocks", "screened", "device", "faiss"]
SMALL = 1500
"""Below this many rows plain blocks are as fast as bounds."""
EXTRA = 32
"""Candidates beyond k that plain blocks rescore."""


@dataclass(frozen=True)
class Neighbours:
    """The k nearest of N rows for each of Q queries.

    Attributes:
        index: ``(Q, k)`` int32 rows, by descending similarity, equal ones by ascending index.
        similarity: ``(Q, k)`` float32 cosine similarities, see :mod:`drfm.labels.similarity`.
        facts: how they were found: the method, what it measured, and seconds by stage.
    """

    index: npt.NDArray[np.int32]
    similarity: npt.NDArray[np.float32]
    facts: dict[str, Any] = field(default_factory=dict)


def k_nearest(
    features: FloatRows | Tensor,
    k: int,
    *,
    queries: FloatRows | Tensor | None = None,
    row_range: tuple[int, int] | None = None,
    method: Method = "auto",
    opposite: bool = False,
) -> Neighbours:
    """The ``k`` rows of ``features`` with the highest cosine similarity to each query.

    All methods but ``faiss`` give the same result to the bit, ties broken by index; they differ in time.

    Args:
        features: ``(N, D)`` float32 rows of unit length; a tensor on a GPU is searched there.
        k: neighbours a row, the row itself among them where it is one of the features; cut to N.
        queries: ``(Q, D)`` rows to search for; the features themselves by default.
        row_range: search for the rows ``start`` to ``stop`` of the features only, instead of ``queries``.
        method: ``blocks``: plain products; ``screened``: bounds first, see :mod:`drfm.labels.screening`;
            ``device``: products and ``topk`` where the tensor lies; ``faiss``: approximate, with the extra
            ``search``; ``auto``: the fastest exact one.
        opposite: search for minus each row instead, that is for the rows that are most unlike it.

    Raises:
        DrfmError: features that are not finite or not of unit length, k below 1, or a bad range.
    """
    if k < 1:
        raise DrfmError(f"k = {k}: give 1 or more neighbours")
    if method == "device" or (method == "auto" and isinstance(features, Tensor) and features.is_cuda):
        from drfm.labels.device import k_nearest_on_device

        if opposite:
            raise DrfmError("method = device: does not search for opposites; give the rows as an array")
        return k_nearest_on_device(torch.as_tensor(features), k, queries=queries, row_range=row_range)
    rows = unit_rows(features)
    asked = rows if queries is None else unit_rows(queries, "queries")
    own = 0 if queries is None else None
    if row_range is not None:
        start, stop = checked_range(row_range, len(rows))
        if (start, stop) != (0, len(rows)):
            asked, own = rows[start:stop], start
    k = min(k, len(rows))
    if method == "faiss":
        from drfm.labels.approximate import k_nearest_with_faiss

        return k_nearest_with_faiss(rows, -asked if opposite else asked, k)
    lists = Lists(np.full((len(asked), k), EMPTY, np.int32), np.full((len(asked), k), -np.inf, np.float32))
    facts: dict[str, Any] = {"method": "blocks"}
    if len(asked) and k:
        small = len(rows) < SMALL or 8 * k > len(rows)
        if method == "blocks" or (method == "auto" and small):
            facts["slow_rows"] = _in_blocks(rows, asked, lists, -1 if opposite else 1)
        else:
            facts = {"method": "screened", **sweep(rows, asked, lists, own=own, opposite=opposite)}
            facts["seconds"] = lists.seconds
    return Neighbours(lists.index, lists.exact, facts)


def checked_range(row_range: tuple[int, int], count: int) -> tuple[int, int]:
    """``row_range`` if it lies in ``0..count``.

    Raises:
        DrfmError: it does not.
    """
    start, stop = row_range
    if not 0 <= start <= stop <= count:
        raise DrfmError(f"row_range = {row_range}: give 0 <= start <= stop <= {count}")
    return start, stop


def _in_blocks(rows: FloatRows, asked: FloatRows, lists: Lists, sign: int) -> int:
    """The best k + 32 of each row of plain products are rescored; rows left in doubt see every pair."""
    k = lists.index.shape[1]
    width = min(len(rows), k + EXTRA)
    seen = centring.about(rows, centring.mean_of(rows))
    seen_asked = seen if asked is rows else centring.about(asked, seen.centre)
    largest = seen.reach * seen_asked.reach + seen.lift + seen_asked.lift
    bound = 4 * screening.UNIT * ((rows.shape[1] + 8) * largest + 2)
    base, offset = torch.from_numpy(seen.part(slice(None))).T, torch.from_numpy(seen.offset)
    asked = asked if sign > 0 else -asked
    slow = 0
    for start in range(0, len(asked), 512):
        part, span = asked[start : start + 512], slice(start, start + 512)
        products = torch.from_numpy(seen_asked.part(span)) @ base + offset
        near, which = (x.numpy() for x in torch.topk(sign * products, width))
        near += sign * (seen_asked.offset[span, None] + np.float64(seen.shift)) + bound
        index, exact = lists.index[span], lists.exact[span]
        given = (part, rows, np.arange(len(part)), which.astype(np.int32), near, index, exact)
        in_parts(partial(_call, candidates.rescore, given), len(part))
        doubtful = np.flatnonzero(near[:, -1] >= exact[:, -1]) if width < len(rows) else np.empty(0, np.int64)
        if len(doubtful):
            slow += len(doubtful)
            again = (part[doubtful], rows, index[doubtful], exact[doubtful])
            in_parts(partial(_call, candidates.all_pairs, again), len(doubtful))
            index[doubtful], exact[doubtful] = again[2], again[3]
    return slow


def _call(kernel: Any, arguments: tuple[Any, ...], first: int, last: int) -> None:
    kernel(first, last, *arguments)
