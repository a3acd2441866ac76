"""From features to clusters: the one door of this room's first half."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numba
import numpy as np
from scipy.sparse import csr_array
from torch import Tensor

from drfm.config.schema import LabelsConfig
from drfm.errors import DrfmError
from drfm.labels.dbscan import Labels, dbscan, dbscan_many
from drfm.labels.jaccard import jaccard_graph
from drfm.labels.parallel import in_parts
from drfm.labels.reciprocal import SparseRows
from drfm.labels.screening import UNIT
from drfm.labels.similarity import FloatRows, similarity_before, unit_rows

HDBSCAN_LIMIT = 5000
"""Largest N for HDBSCAN, which scikit-learn runs on a dense matrix of distances."""


def cluster(features: FloatRows | Tensor, config: LabelsConfig) -> Labels:
    """Cluster images by their features.

    Args:
        features: ``(N, D)`` float32 rows of unit length; N may be 0. Of a tensor on a GPU the neighbours
            are searched there.
        config: distance, k1, k2, algorithm and radius.

    Returns:
        ``(N,)`` int64 labels 0..M-1, -1 for outliers, numbered as scikit-learn numbers them.

    Raises:
        DrfmError: features that are not finite or not of unit length, or N too large for HDBSCAN.
    """
    count = len(features)
    if count == 0:
        return np.empty(0, np.int64)
    if config.cluster == "hdbscan" and count > HDBSCAN_LIMIT:
        raise DrfmError(
            f"labels.cluster = hdbscan: {count} images, at most {HDBSCAN_LIMIT}; choose dbscan for more"
        )
    if config.cluster == "hdbscan":
        return _hdbscan(_graph(features, config, 1.0), config.min_samples)
    return dbscan(_graph(features, config, config.eps), config.eps, config.min_samples)


def cluster_radii(features: FloatRows | Tensor, config: LabelsConfig, eps: Sequence[float]) -> list[Labels]:
    """:func:`cluster` with DBSCAN for each of several radii in the place of ``config.eps``, from one graph.

    Raises:
        DrfmError: as in :func:`cluster`, or ``config.cluster`` is not ``dbscan``.
    """
    if config.cluster != "dbscan":
        raise DrfmError(f"labels.cluster = {config.cluster}: has no radius to vary; choose dbscan")
    if len(features) == 0:
        return [np.empty(0, np.int64) for _ in eps]
    return dbscan_many(_graph(features, config, max(eps)), eps, config.min_samples)


def _graph(features: FloatRows | Tensor, config: LabelsConfig, eps: float) -> csr_array:
    """Distances up to ``eps``."""
    if config.distance == "cosine":
        return cosine_graph(unit_rows(features), eps)
    return jaccard_graph(features, k1=config.k1, k2=config.k2, eps=eps, reading=config.k1_reading)


def cosine_graph(rows: FloatRows, eps: float) -> csr_array:
    """Cosine distances ``1 - <x, y>`` of all pairs within ``eps``, ``(N, N)`` float32, symmetric to the bit.

    Products decide which pairs may be near; their distances come from the exact similarity.
    """
    count = len(rows)
    limit = np.float32(eps)
    room = np.float32(eps + 4 * (rows.shape[1] + 2) * UNIT)
    parts = []
    for start in range(0, count, 512):
        block = np.float32(1) - rows[start : start + 512] @ rows.T <= room
        first, second = np.nonzero(block)
        near = second.astype(np.int32)
        distance = np.empty(len(near), np.float32)
        in_parts(partial(_exact, rows, first + start, near, distance), len(near))
        kept = distance <= limit
        parts.append((np.bincount(first[kept], minlength=len(block)), near[kept], distance[kept]))
    graph = SparseRows.join(parts)
    return csr_array((graph.value, graph.column, graph.pointer), shape=(count, count))


def _exact(rows: FloatRows, row: Any, column: Any, distance: Any, first: int, last: int) -> None:
    _distances(first, last, rows, row, column, distance)


@numba.njit(cache=True, nogil=True)
def _distances(first: int, last: int, rows: Any, row: Any, column: Any, distance: Any) -> None:
    for p in range(first, last):
        ahead = column[min(p + 1, last - 1)]
        near = similarity_before(rows[row[p]], rows[column[p]], rows[ahead])
        distance[p] = max(np.float32(1) - near, np.float32(0))


def _hdbscan(graph: csr_array, min_samples: int) -> Labels:
    from sklearn.cluster import HDBSCAN

    count = graph.shape[0]
    if count < max(2, min_samples):
        return np.full(count, -1, np.int64)
    distance = np.ones((count, count))
    row = np.repeat(np.arange(count), np.diff(graph.indptr))
    distance[row, graph.indices] = graph.data
    np.fill_diagonal(distance, 0)
    model = HDBSCAN(
        metric="precomputed", min_cluster_size=max(2, min_samples), min_samples=min_samples, copy=False
    )
    return np.asarray(model.fit_predict(distance), np.int64)
