"""k-reciprocal Jaccard distances as a sparse graph.

The re-ranking distance of Zhong et al. (CVPR 2017) in the variant that the SpCL
code family clusters with. Almost every entry of the N x N matrix is 1: only pairs
that share a neighbour are touched, and only pairs within ``eps`` are kept.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numba
import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from torch import Tensor

from drfm.errors import DrfmError
from drfm.labels.distributed import neighbours_distributed
from drfm.labels.neighbours import Neighbours
from drfm.labels.parallel import in_parts
from drfm.labels.reciprocal import SparseRows, grown, reciprocal_weights
from drfm.labels.similarity import FloatRows, unit_rows

Reading = Literal["inclusive", "exclusive"]


def neighbours_needed(k1: int, reading: Reading) -> int:
    """Length of the rank lists, the image itself included: k1, or one more where k1 counts others only."""
    return k1 if reading == "inclusive" else k1 + 1


def jaccard_graph(
    features: FloatRows | Tensor,
    *,
    k1: int = 30,
    k2: int = 6,
    eps: float = 0.6,
    reading: Reading = "inclusive",
    neighbours: Neighbours | None = None,
) -> csr_array:
    """Jaccard distances of all pairs within ``eps``, an image's distance to itself included.

    A pair that is absent has a distance above ``eps``. With ``eps`` of 1 the graph holds every pair that
    shares a neighbour, and an absent pair is at distance 1 exactly.

    Args:
        features: ``(N, D)`` float32 rows of unit length; of a tensor on a GPU the neighbours are found there.
        k1: neighbours in the k-reciprocal sets.
        k2: neighbours averaged in the query expansion; 1 switches it off.
        eps: largest distance kept; compared in float32.
        reading: ``inclusive``: k1 counts the image itself; ``exclusive``: k1 others.
        neighbours: of :func:`~drfm.labels.neighbours.k_nearest`, :func:`neighbours_needed` columns or more;
            found here otherwise, by all processes of ``torch.distributed`` together.

    Returns:
        ``(N, N)`` float32 in 0..1, symmetric to the bit, columns of a row ascending, zeros stored.

    Raises:
        DrfmError: features that are not finite, k1 or k2 out of range, or too few neighbours given.
    """
    rows = unit_rows(features)
    if not 1 <= k2 <= k1:
        raise DrfmError(f"k1 = {k1}, k2 = {k2}: give 1 <= k2 <= k1")
    count = len(rows)
    if count == 0:
        return csr_array((0, 0), dtype=np.float32)
    width = min(neighbours_needed(k1, reading), count)
    if neighbours is None:
        there = isinstance(features, Tensor) and features.is_cuda
        neighbours = neighbours_distributed(features if there else rows, width)
    if neighbours.index.shape[0] != count or neighbours.index.shape[1] < width:
        raise DrfmError(f"neighbours: shape {neighbours.index.shape}; give ({count}, {width}) or wider")
    rank = np.ascontiguousarray(neighbours.index[:, :width])
    half = min(int(np.around(k1 / 2)) + 1, width)
    return distances_within(reciprocal_weights(rows, rank, half, min(k2, width)), eps)


def distances_within(weights: SparseRows, eps: float) -> csr_array:
    """Jaccard distances ``1 - m / (2 - m)``, m the sum of the minima of two rows, up to ``eps``.

    Args:
        weights: N sparse rows over N columns, each summing to 1.
        eps: largest distance kept.
    """
    count = len(weights.pointer) - 1
    own = (weights.pointer, weights.column, weights.value)
    other = _transposed(count, *own)
    limit = np.float32(eps)
    half = SparseRows.join(in_parts(lambda a, b: _distances(a, b, *own, *other, limit), count))
    pointer, near, distance = _mirrored(count, half.pointer, half.column, half.value)
    return csr_array((distance, near, pointer), shape=(count, count))


@numba.njit(cache=True, nogil=True)
def _transposed(count: int, pointer: Any, column: Any, value: Any) -> Any:
    start = np.zeros(count + 1, np.int64)
    for j in column:
        start[j + 1] += 1
    for j in range(count):
        start[j + 1] += start[j]
    at = start[:-1].copy()
    row, moved = np.empty(column.shape[0], np.int32), np.empty(column.shape[0], np.float32)
    for i in range(count):
        for p in range(pointer[i], pointer[i + 1]):
            j = column[p]
            row[at[j]] = i
            moved[at[j]] = value[p]
            at[j] += 1
    return start, row, moved


@numba.njit(cache=True, nogil=True)
def _distances(first: int, last: int, pointer: Any, column: Any, value: Any, start: Any, row: Any, moved: Any,
               eps: Any) -> Any:  # fmt: skip
    """Distances of each row to itself and to later ones.

    Minima are summed over ascending columns, as in a dense row, so either row of a pair gives the same.
    """
    lengths = np.empty(last - first, np.int64)
    near = np.empty(32 * (last - first), np.int32)
    distance = np.empty(32 * (last - first), np.float32)
    common = np.zeros(pointer.shape[0] - 1, np.float32)
    touched = np.empty(pointer.shape[0] - 1, np.int32)
    begin = start.copy()
    size = 0
    for i in range(first, last):
        held = 0
        for p in range(pointer[i], pointer[i + 1]):
            weight, j = value[p], column[p]
            while row[begin[j]] < i:
                begin[j] += 1
            for q in range(begin[j], start[j + 1]):
                k = row[q]
                if common[k] == 0:
                    touched[held] = k
                    held += 1
                common[k] += min(weight, moved[q])
        kept = 0
        for c in range(held):
            k = touched[c]
            d = max(np.float32(1) - common[k] / (np.float32(2) - common[k]), np.float32(0))
            common[k] = d if d <= eps else np.float32(0)
            if d <= eps:
                touched[kept] = k
                kept += 1
        touched[:kept].sort()
        near, distance = grown(near, size + kept), grown(distance, size + kept)
        for c in range(kept):
            near[size + c] = touched[c]
            distance[size + c] = common[touched[c]]
            common[touched[c]] = 0
        size += kept
        lengths[i - first] = kept
    return lengths, near[:size].copy(), distance[:size].copy()


@numba.njit(cache=True, nogil=True)
def _mirrored(count: int, pointer: Any, column: Any, value: Any) -> Any:
    """A symmetric matrix in compressed rows from its upper triangle, columns ascending."""
    start = np.zeros(count + 1, np.int64)
    for i in range(count):
        start[i + 1] += pointer[i + 1] - pointer[i]
        for p in range(pointer[i], pointer[i + 1]):
            start[column[p] + 1] += column[p] != i
    for i in range(count):
        start[i + 1] += start[i]
    at = start[:-1].copy()
    other, mirrored = np.empty(start[count], np.int32), np.empty(start[count], np.float32)
    for i in range(count):  # by then the entries of row i before its diagonal are in place
        for p in range(pointer[i], pointer[i + 1]):
            j = column[p]
            other[at[i]], mirrored[at[i]] = j, value[p]
            at[i] += 1
            if j != i:
                other[at[j]], mirrored[at[j]] = i, value[p]
                at[j] += 1
    return start, other, mirrored


def mean_graph(graphs: Sequence[csr_array], weights: Sequence[float]) -> csr_array:
    """Weighted mean of several Jaccard distances without a dense matrix (Purification, TIP 2023).

    Args:
        graphs: of :func:`jaccard_graph` with ``eps=1``; a pair absent from one is at distance 1 there.
        weights: one a graph, above 0 and adding up to 1.

    Returns:
        All pairs present in any of the graphs, float32, columns ascending.

    Raises:
        DrfmError: no graph, different sizes, or weights that do not add up to 1.
    """
    if not graphs or len(graphs) != len(weights) or abs(sum(weights) - 1) > 1e-6 or min(weights) <= 0:
        raise DrfmError(
            f"weights = {list(weights)} for {len(graphs)} graphs: give one above 0 each, 1 in sum"
        )
    if len({graph.shape for graph in graphs}) > 1:
        raise DrfmError(
            f"graphs of shapes {[graph.shape for graph in graphs]}: give graphs of the same images"
        )
    nearness = csr_array(graphs[0].shape, dtype=np.float32)
    for graph, weight in zip(graphs, weights, strict=True):
        share = np.float32(weight) * (np.float32(1) - graph.data)
        nearness = nearness + csr_array((share, graph.indices, graph.indptr), shape=graph.shape)
    nearness.sort_indices()
    nearness.data = np.maximum(np.float32(1) - nearness.data, np.float32(0))
    return nearness


def camera_offset(
    graph: csr_array, camera: npt.NDArray[np.int64], same: float, different: float
) -> csr_array:
    """Add ``same`` to the distances within a camera and ``different`` to those across cameras.

    An image's distance to itself stays. Only stored pairs change, so with an offset below 0 the graph must
    hold the pairs up to the radius it will be used with minus that offset (``eps=1`` always suffices if
    ``1 + offset`` is above the radius). Distances are clipped at 0.

    Args:
        graph: of :func:`jaccard_graph` or :func:`mean_graph`.
        camera: ``(N,)`` camera of each image.
        same: offset within a camera.
        different: offset across cameras.

    Raises:
        DrfmError: another number of cameras than images.
    """
    if len(camera) != graph.shape[0]:
        raise DrfmError(f"camera: {len(camera)} entries for {graph.shape[0]} images; give one each")
    row = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    offset = np.where(camera[row] == camera[graph.indices], np.float32(same), np.float32(different))
    offset[row == graph.indices] = 0
    moved = np.maximum(graph.data + offset, np.float32(0))
    return csr_array((moved, graph.indices, graph.indptr), shape=graph.shape)
