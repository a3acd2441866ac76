"""Exact nearest neighbours by cosine similarity."""

# ruff: noqa: PLR0917

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numba
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from drfm.errors import DrfmError
from drfm.labels.parallel import in_parts
from drfm.labels.similarity import FloatRows, similarity, unit_rows

Method = Literal["auto", "float32", "faiss"]


@dataclass(frozen=True)
class Neighbours:
    """The k nearest rows of each of N rows.

    Attributes:
        index: ``(N, k)`` int32 rows, by descending similarity, equal ones by ascending index.
        similarity: ``(N, k)`` float32 cosine similarities, see :mod:`drfm.labels.similarity`.
        facts: how they were found, such as the method and the rows that took the slow path.
    """

    index: npt.NDArray[np.int32]
    similarity: npt.NDArray[np.float32]
    facts: dict[str, float | int | str]


@numba.njit(cache=True, nogil=True)
def _rescore(start: int, stop: int, rows: Any, queries: Any, candidates: Any, approximate: Any, bound: Any,
             index: Any, exact: Any, failed: Any) -> None:  # fmt: skip
    width = candidates.shape[1]
    k = index.shape[1]
    values = np.empty(width, np.float32)
    for i in range(start, stop):
        for c in range(width):
            values[c] = similarity(queries[i], rows[candidates[i, c]])
        _keep_best(values, candidates[i], index[i], exact[i])
        if width < rows.shape[0]:
            failed[i] = not exact[i, k - 1] > approximate[i, width - 1] + bound


@numba.njit(cache=True, nogil=True)
def _keep_best(values: Any, ids: Any, index: Any, exact: Any) -> None:
    """Insertion sort of the best ``len(index)`` by (similarity descending, index ascending)."""
    k = index.shape[0]
    held = 0
    for c in range(values.shape[0]):
        value, row = values[c], ids[c]
        if held == k and not (value > exact[k - 1] or (value == exact[k - 1] and row < index[k - 1])):
            continue
        at = held if held < k else k - 1
        while at > 0 and (value > exact[at - 1] or (value == exact[at - 1] and row < index[at - 1])):
            exact[at] = exact[at - 1]
            index[at] = index[at - 1]
            at -= 1
        exact[at] = value
        index[at] = row
        if held < k:
            held += 1


@numba.njit(cache=True, nogil=True)
def _all_pairs(start: int, stop: int, rows: Any, queries: Any, index: Any, exact: Any) -> None:
    count = rows.shape[0]
    every = np.arange(count)
    values = np.empty(count, np.float32)
    for i in range(start, stop):
        for j in range(count):
            values[j] = similarity(queries[i], rows[j])
        _keep_best(values, every, index[i], exact[i])


def _call(kernel: Any, arguments: tuple[Any, ...], start: int, stop: int) -> None:
    kernel(start, stop, *arguments)


def k_nearest(
    features: FloatRows | Tensor,
    k: int,
    *,
    queries: FloatRows | Tensor | None = None,
    method: Method = "auto",
) -> Neighbours:
    """The ``k`` rows of ``features`` with the highest cosine similarity to each query, exactly.

    Args:
        features: ``(N, D)`` float32 rows of unit length.
        k: neighbours a row, the row itself among them; cut to N.
        queries: ``(Q, D)`` rows to search for; the features themselves by default.
        method: how to search; the result of the exact methods is the same.

    Raises:
        DrfmError: features that are not finite or not of unit length, or k below 1.
    """
    if k < 1:
        raise DrfmError(f"k = {k}: give 1 or more neighbours")
    rows = unit_rows(features)
    asked = rows if queries is None else unit_rows(queries, "queries")
    k = min(k, len(rows))
    index = np.empty((len(asked), k), np.int32)
    exact = np.empty((len(asked), k), np.float32)
    width = min(len(rows), k + 32)
    bound = np.float32((rows.shape[1] + 2) * 2.0**-23)
    failed = 0
    base = torch.from_numpy(rows)
    for start in range(0, len(asked) if k else 0, 512):
        part = asked[start : start + 512]
        approximate, candidates = torch.topk(torch.from_numpy(part) @ base.T, width)
        i, e = index[start : start + 512], exact[start : start + 512]
        failures = np.zeros(len(part), np.bool_)
        given = (rows, part, candidates.numpy(), approximate.numpy(), bound, i, e, failures)
        in_parts(partial(_call, _rescore, given), len(part))
        bad = np.flatnonzero(failures)
        if len(bad):
            slow_i, slow_e = np.empty((len(bad), k), np.int32), np.empty((len(bad), k), np.float32)
            slow = (rows, np.ascontiguousarray(part[bad]), slow_i, slow_e)
            in_parts(partial(_call, _all_pairs, slow), len(bad))
            i[bad], e[bad] = slow_i, slow_e
            failed += len(bad)
    return Neighbours(index, exact, {"method": "float32", "fallback_rows": failed})
