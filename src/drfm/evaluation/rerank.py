"""k-reciprocal re-ranking (Zhong et al., CVPR 2017) on a sparse graph.

The new distance of a query and a gallery image is (1 - weight) J + weight d. d is the squared
Euclidean distance, squared again and divided by its largest value in the query's row; J is the
Jaccard distance of their k-reciprocal neighbours, found among queries and gallery together. J is 1
for all pairs without a common neighbour, so only the others are ever held.
"""

from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csc_array, csr_array
from torch import Tensor

from drfm.errors import DrfmError
from drfm.evaluation.kernels import RowArray
from drfm.evaluation.ranking import BLOCK, similarity_blocks
from drfm.labels.neighbours import k_nearest
from drfm.labels.parallel import in_parts
from drfm.labels.reciprocal import SparseRows, averaged, reciprocal_sets
from drfm.labels.similarity import similarity_before

K1, K2, WEIGHT = 20, 6, 0.3
"""Constants of the paper, and of every toolkit since."""


def reranked_blocks(
    query: Tensor, gallery: Tensor, *, k1: int = K1, k2: int = K2, weight: float = WEIGHT, block: int = BLOCK
) -> Iterator[RowArray]:
    """Minus the re-ranked distances, ``(block, G)`` queries at a time, into one buffer.

    Args:
        query: ``(Q, D)`` float32 unit rows.
        gallery: ``(G, D)`` float32 unit rows.
        k1: neighbours, not counting the image itself, in the k-reciprocal sets.
        k2: nearest rows averaged in the query expansion, the image itself among them; 1 for none.
        weight: lambda, the share of the original distance.
        block: queries at a time.

    Raises:
        DrfmError: a constant is out of range, or the features are not finite unit rows.
    """
    if not (1 <= k2 <= k1 and 0 <= weight <= 1):
        raise DrfmError(
            f"re-ranking with k1 = {k1}, k2 = {k2}, weight = {weight}: give 1 <= k2 <= k1, weight in 0..1"
        )
    rows = torch.cat([query, gallery]).cpu().numpy()
    rank = k_nearest(rows, k1 + 1).index
    furthest = k_nearest(rows, 1, opposite=True).similarity[:, 0]
    largest = np.square(2 + 2 * furthest)
    largest[largest == 0] = 1
    weights = averaged(_weighted_sets(rows, rank, largest, k1), rank, min(k2, rank.shape[1]))
    del rows
    shape = (len(rank), len(rank))
    columns = csr_array((weights.value, weights.column, weights.pointer), shape=shape)[len(query) :].tocsc()
    start = 0
    for product in similarity_blocks(query, gallery, block):
        _blend_block(product, start, weights, columns, largest[start : start + block], weight)
        start += len(product)
        yield product


def _weighted_sets(rows: RowArray, rank: npt.NDArray[np.int32], largest: RowArray, k1: int) -> SparseRows:
    """Weights exp(-d) of each row's expanded k-reciprocal set, adding up to 1."""
    sets = reciprocal_sets(rank, min(int(np.around(k1 / 2)) + 1, rank.shape[1]))
    pointer, column, value = sets.pointer, sets.column, sets.value
    in_parts(lambda a, b: _weigh(a, b, rows, largest, pointer, column, value), len(rows))
    return sets


def _blend_block(
    product: RowArray, start: int, weights: SparseRows, columns: csc_array, largest: RowArray, weight: float
) -> None:  # fmt: skip
    rows = (weights.pointer[start:], weights.column, weights.value)
    others = (columns.indptr, columns.indices, columns.data)
    in_parts(lambda a, b: _blend(a, b, product, *rows, *others, largest, np.float32(weight)), len(product))


@numba.njit(cache=True, nogil=True)
def _weigh(first: int, last: int, rows: Any, largest: Any, pointer: Any, column: Any, value: Any) -> None:
    for i in range(first, last):
        total = np.float32(0)
        final = pointer[i + 1] - 1
        for p in range(pointer[i], pointer[i + 1]):
            gap = np.float32(2) - np.float32(2) * similarity_before(
                rows[i], rows[column[p]], rows[column[min(p + 1, final)]]
            )
            value[p] = np.exp(-gap * gap / largest[i])
            total += value[p]
        for p in range(pointer[i], pointer[i + 1]):
            value[p] /= total


@numba.njit(cache=True, nogil=True)
def _blend(first: int, last: int, product: Any, pointer: Any, column: Any, value: Any, start: Any, row: Any,
           moved: Any, largest: Any, weight: Any) -> None:  # fmt: skip
    """Turn rows of similarities into minus the blended distance.

    Row i of the sparse weights is ``pointer[i]:pointer[i + 1]`` of ``column`` and ``value``; the gallery's
    weights in column j are ``start[j]:start[j + 1]`` of ``row`` and ``moved``.
    """
    one, two = np.float32(1), np.float32(2)
    common = np.zeros(product.shape[1], np.float32)
    for i in range(first, last):
        common[:] = 0
        for p in range(pointer[i], pointer[i + 1]):
            for q in range(start[column[p]], start[column[p] + 1]):
                common[row[q]] += min(value[p], moved[q])
        for k in range(product.shape[1]):
            gap = two - two * product[i, k]
            jaccard = one - common[k] / (two - common[k])
            product[i, k] = -(jaccard * (one - weight) + gap * gap / largest[i] * weight)
