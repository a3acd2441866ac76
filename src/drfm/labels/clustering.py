"""From features to clusters: the one door of this room's first half."""

import numpy as np
from scipy.sparse import csr_array
from torch import Tensor

from drfm.config.schema import LabelsConfig
from drfm.errors import DrfmError
from drfm.labels.dbscan import Labels, dbscan
from drfm.labels.jaccard import jaccard_graph
from drfm.labels.similarity import FloatRows, unit_rows

HDBSCAN_LIMIT = 5000
"""Largest N for HDBSCAN, which scikit-learn runs on a dense matrix of distances."""


def cluster(features: FloatRows | Tensor, config: LabelsConfig) -> Labels:
    """Cluster images by their features.

    Args:
        features: ``(N, D)`` float32 rows of unit length; N may be 0.
        config: distance, k1, k2, algorithm and radius.

    Returns:
        ``(N,)`` int64 labels 0..M-1, -1 for outliers, numbered as scikit-learn numbers them.

    Raises:
        DrfmError: features that are not finite or not of unit length, or N too large for HDBSCAN.
    """
    rows = unit_rows(features)
    if len(rows) == 0:
        return np.empty(0, np.int64)
    eps = config.eps if config.cluster == "dbscan" else 1.0
    if config.distance == "jaccard":
        graph = jaccard_graph(rows, k1=config.k1, k2=config.k2, eps=eps, reading=config.k1_reading)
    else:
        graph = cosine_graph(rows, eps)
    if config.cluster == "dbscan":
        return dbscan(graph, config.eps, config.min_samples)
    return _hdbscan(graph, config.min_samples)


def cosine_graph(rows: FloatRows, eps: float) -> csr_array:
    """Cosine distances ``1 - <x, y>`` of all pairs within ``eps``, float32, in blocks."""
    limit = np.float32(eps)
    pointer, columns, values = [0], [], []
    for start in range(0, len(rows), 512):
        block = np.maximum(np.float32(1) - rows[start : start + 512] @ rows.T, np.float32(0))
        for row in block:
            near = np.flatnonzero(row <= limit)
            columns.append(near.astype(np.int32))
            values.append(row[near])
            pointer.append(pointer[-1] + len(near))
    shape = (len(rows), len(rows))
    return csr_array((np.concatenate(values), np.concatenate(columns), np.asarray(pointer)), shape=shape)


def _hdbscan(graph: csr_array, min_samples: int) -> Labels:
    from sklearn.cluster import HDBSCAN

    count = graph.shape[0]
    if count > HDBSCAN_LIMIT:
        raise DrfmError(
            f"labels.cluster = hdbscan: {count} images, at most {HDBSCAN_LIMIT}; choose dbscan for more"
        )
    if count < max(2, min_samples):
        return np.full(count, -1, np.int64)
    distance = np.ones((count, count))
    row = np.repeat(np.arange(count), np.diff(graph.indptr))
    distance[row, graph.indices] = graph.data
    distance = np.minimum(distance, distance.T)
    np.fill_diagonal(distance, 0)
    model = HDBSCAN(
        metric="precomputed", min_cluster_size=max(2, min_samples), min_samples=min_samples, copy=False
    )
    return np.asarray(model.fit_predict(distance), np.int64)
