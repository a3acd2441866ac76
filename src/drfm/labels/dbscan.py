"""DBSCAN on a sparse graph of distances, with the labels and the numbering of scikit-learn."""

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from drfm.errors import DrfmError

Labels = npt.NDArray[np.int64]


def dbscan(graph: csr_array, eps: float, min_samples: int) -> Labels:
    """Cluster the points of a symmetric graph of distances.

    Args:
        graph: ``(N, N)`` float32 distances; must hold every pair within ``eps`` and each point itself.
        eps: radius; compared in float32, as scikit-learn does with a float32 matrix.
        min_samples: points within ``eps``, the point itself counted, that make a core point.

    Returns:
        ``(N,)`` int64 labels. Clusters count from 0 by their smallest core point, a border point
        goes to the smallest-numbered cluster within reach, and -1 is an outlier.
    """
    return dbscan_many(graph, [eps], min_samples)[0]


def dbscan_many(graph: csr_array, eps: Sequence[float], min_samples: int) -> list[Labels]:
    """:func:`dbscan` for several radii from one graph.

    Raises:
        DrfmError: ``min_samples`` below 1 or a matrix that is not square.
    """
    if min_samples < 1:
        raise DrfmError(f"min_samples = {min_samples}: give 1 or more")
    if graph.shape[0] != graph.shape[1]:
        raise DrfmError(f"graph: shape {graph.shape}; give a square matrix of distances")
    limits = np.asarray(eps, np.float32)
    return [_scan(graph.indptr, graph.indices, graph.data, limit, min_samples) for limit in limits]


@numba.njit(cache=True, nogil=True)
def _root(parent: Any, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@numba.njit(cache=True, nogil=True)
def _scan(pointer: Any, column: Any, distance: Any, eps: Any, min_samples: int) -> Any:
    count = pointer.shape[0] - 1
    core = np.zeros(count, np.bool_)
    for i in range(count):
        core[i] = (distance[pointer[i] : pointer[i + 1]] <= eps).sum() >= min_samples
    parent = np.arange(count)
    for i in range(count):
        for p in range(pointer[i], pointer[i + 1]):
            if core[i] and core[column[p]] and distance[p] <= eps:
                a, b = _root(parent, i), _root(parent, column[p])
                parent[max(a, b)] = min(a, b)
    labels = np.full(count, -1, np.int64)
    clusters = 0
    for i in range(count):
        if core[i] and parent[i] == i:
            labels[i] = clusters
            clusters += 1
        elif core[i]:
            labels[i] = labels[_root(parent, i)]
    for i in range(count):
        if not core[i]:
            labels[i] = _smallest(column[pointer[i] : pointer[i + 1]], distance[pointer[i] : pointer[i + 1]],
                                  eps, core, labels)  # fmt: skip
    return labels


@numba.njit(cache=True, nogil=True)
def _smallest(near: Any, distance: Any, eps: Any, core: Any, labels: Any) -> int:
    """The smallest-numbered cluster that a border point reaches, or -1."""
    best = -1
    for p in range(near.shape[0]):
        j = near[p]
        if core[j] and distance[p] <= eps and (best < 0 or labels[j] < best):
            best = labels[j]
    return best
