"""Weights of k-reciprocal neighbours, one sparse row an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from drfm.labels.parallel import in_parts
from drfm.labels.similarity import FloatRows, similarity_before


@dataclass(frozen=True)
class SparseRows:
    """N sparse rows in compressed form.

    Attributes:
        pointer: ``(N + 1,)`` int64; row i is the slice ``pointer[i]:pointer[i + 1]``.
        column: ``(nnz,)`` int32, ascending within a row.
        value: ``(nnz,)`` float32.
    """

    pointer: npt.NDArray[np.int64]
    column: npt.NDArray[np.int32]
    value: npt.NDArray[np.float32]

    @classmethod
    def join(cls, parts: Sequence[tuple[Any, Any, Any]]) -> "SparseRows":
        """Rows from the (row lengths, columns, values) of consecutive parts."""
        lengths = np.concatenate([part[0] for part in parts])
        pointer = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=pointer[1:])
        return cls(
            pointer, np.concatenate([part[1] for part in parts]), np.concatenate([part[2] for part in parts])
        )


def reciprocal_weights(rows: FloatRows, rank: npt.NDArray[np.int32], half: int, k2: int) -> SparseRows:
    """Softmax weights over each image's expanded k-reciprocal set, averaged over its ``k2`` nearest.

    Args:
        rows: ``(N, D)`` float32 unit rows.
        rank: ``(N, k)`` int32 nearest rows; all k of them take part in the k-reciprocal sets.
        half: neighbours in the half-size sets of the expansion.
        k2: neighbours of the query expansion; 1 for none.
    """
    sets = reciprocal_sets(rank, half)
    in_parts(lambda a, b: _softmax(a, b, rows, sets.pointer, sets.column, sets.value), len(rows))
    return averaged(sets, rank, k2)


def reciprocal_sets(rank: npt.NDArray[np.int32], half: int) -> SparseRows:
    """Each image's expanded k-reciprocal set; the values are not yet set. Arguments as above."""
    full, near = _reciprocal_sets(rank, rank.shape[1]), _reciprocal_sets(rank, half)
    return SparseRows.join(in_parts(lambda a, b: _expand(a, b, *full, *near), len(rank)))


def averaged(sets: SparseRows, rank: npt.NDArray[np.int32], k2: int) -> SparseRows:
    """Query expansion: the mean of the rows of each image's ``k2`` nearest."""
    if k2 == 1:
        return sets
    first = np.ascontiguousarray(rank[:, :k2])
    return SparseRows.join(
        in_parts(lambda a, b: _average(a, b, first, sets.pointer, sets.column, sets.value), len(rank))
    )


def _reciprocal_sets(rank: npt.NDArray[np.int32], k: int) -> tuple[Any, Any]:
    kept, held = np.empty((len(rank), k), np.int32), np.empty(len(rank), np.int32)
    in_parts(lambda a, b: _mutual(a, b, rank, k, kept, held), len(rank))
    return kept, held


@numba.njit(cache=True, nogil=True)
def _mutual(first: int, last: int, rank: Any, k: int, kept: Any, held: Any) -> None:
    """``kept[i, :held[i]]``: the first k neighbours of i that have i among their own first k."""
    for i in range(first, last):
        count = 0
        for a in range(k):
            j = rank[i, a]
            for b in range(k):
                if rank[j, b] == i:
                    kept[i, count] = j
                    count += 1
                    break
        held[i] = count


@numba.njit(cache=True, nogil=True)
def _common(x: Any, y: Any) -> int:
    count = 0
    for a in range(x.shape[0]):
        for b in range(y.shape[0]):
            if x[a] == y[b]:
                count += 1
                break
    return count


@numba.njit(cache=True, nogil=True)
def grown(array: Any, size: int) -> Any:
    """``array`` itself if it has ``size`` entries, else a copy with room for twice as many."""
    if array.shape[0] >= size:
        return array
    larger = np.empty(max(2 * array.shape[0], size), array.dtype)
    larger[: array.shape[0]] = array
    return larger


@numba.njit(cache=True, nogil=True)
def _expand(first: int, last: int, full: Any, full_count: Any, near: Any, near_count: Any) -> Any:
    """Union of the set of i with the half-size sets that lie in it by more than two thirds."""
    lengths = np.empty(last - first, np.int64)
    column = np.empty(32 * (last - first), np.int32)
    mark = np.full(full.shape[0], -1, np.int32)
    size = 0
    for i in range(first, last):
        column = grown(column, size + full.shape[1] * (near.shape[1] + 1))
        begin = size
        own = full[i, : full_count[i]]
        for j in own:
            mark[j] = i
            column[size] = j
            size += 1
        for j in own:
            other = near[j, : near_count[j]]
            if _common(other, own) > 2 / 3 * other.shape[0]:
                for new in other:
                    if mark[new] != i:
                        mark[new] = i
                        column[size] = new
                        size += 1
        column[begin:size].sort()
        lengths[i - first] = size - begin
    return lengths, column[:size].copy(), np.empty(size, np.float32)


@numba.njit(cache=True, nogil=True)
def _softmax(first: int, last: int, rows: Any, pointer: Any, column: Any, value: Any) -> None:
    """Softmax of minus the squared Euclidean distance, in float32, columns ascending."""
    for i in range(first, last):
        total = np.float32(0)
        final = pointer[i + 1] - 1
        for p in range(pointer[i], pointer[i + 1]):
            distance = np.float32(2) - np.float32(2) * similarity_before(
                rows[i], rows[column[p]], rows[column[min(p + 1, final)]]
            )
            value[p] = np.exp(-distance)
            total += value[p]
        for p in range(pointer[i], pointer[i + 1]):
            value[p] /= total


@numba.njit(cache=True, nogil=True)
def _average(first: int, last: int, rank: Any, pointer: Any, column: Any, value: Any) -> Any:
    """Mean of the rows of the nearest neighbours: summed in rank order, divided once."""
    lengths = np.empty(last - first, np.int64)
    out = np.empty(32 * (last - first), np.int32)
    mean = np.empty(32 * (last - first), np.float32)
    total = np.zeros(rank.shape[0], np.float32)
    size = 0
    for i in range(first, last):
        begin = size
        for a in range(rank.shape[1]):
            low, high = pointer[rank[i, a]], pointer[rank[i, a] + 1]
            out = grown(out, size + high - low)
            for p in range(low, high):
                if total[column[p]] == 0:
                    out[size] = column[p]
                    size += 1
                total[column[p]] += value[p]
        out[begin:size].sort()
        mean = grown(mean, size)
        for p in range(begin, size):
            mean[p] = total[out[p]] / np.float32(rank.shape[1])
            total[out[p]] = 0
        lengths[i - first] = size - begin
    return lengths, out[:size].copy(), mean[:size].copy()
