"""Clusters without the members that lie far from the others of their resolution (RLIM, TIP 2025)."""

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from drfm.labels.cpg import with_singletons
from drfm.labels.pseudo import OUTLIER

SLACK = 0.999
"""An image may be this much farther than the mean: 1 / 0.999 of it."""

Labels = npt.NDArray[np.int64]
Distances = npt.NDArray[np.float64]


def refined(graph: csr_array, loose: Labels, tight: Labels, group: Labels) -> Labels:
    """Clusters without their unreliable members.

    A proxy is what a cluster has in one resolution group. With d the mean Jaccard distance of an image to
    the others of its proxy in the loose clustering, an image stays in its cluster if ``0.999 d`` is at most
    the mean of d over that proxy, or the mean of d over its proxy in the tight clustering is.

    Args:
        graph: ``(N, N)`` distances with every pair below 1 (:func:`~drfm.labels.jaccard.jaccard_graph` with
            ``eps=1``).
        loose: ``(N,)`` labels of DBSCAN with the larger radius, -1 for outliers.
        tight: those with the smaller radius.
        group: ``(N,)`` resolution group of each image, 0 or more.

    Returns:
        ``(N,)`` int64 labels, -1 for outliers and rejected images. No cluster loses all of its members, so
        the numbers are those of ``loose``.
    """
    wide, narrow = (_proxies(with_singletons(labels), group) for labels in (loose, tight))
    distance = _to_others(graph, wide)
    limit = _means(distance, wide)
    kept = (SLACK * distance <= limit) | (_means(distance, narrow) <= limit)
    return np.where(kept, loose, OUTLIER)


def _proxies(labels: Labels, group: Labels) -> Labels:
    """``(N,)`` number of the (cluster, group) of each image."""
    return np.unique(labels * (group.max(initial=0) + 1) + group, return_inverse=True)[1].astype(np.int64)


def _to_others(graph: csr_array, proxy: Labels) -> Distances:
    """``(N,)`` mean distance of each image to the others of its proxy; 0 where there are none."""
    count = len(proxy)
    row = np.repeat(np.arange(count), np.diff(graph.indptr))
    near = (proxy[row] == proxy[graph.indices]) & (row != graph.indices)
    nearness = np.bincount(row[near], 1.0 - graph.data[near], count)
    others = np.bincount(proxy)[proxy] - 1
    distance: Distances = np.where(others > 0, 1 - nearness / np.maximum(others, 1), 0.0)
    return distance


def _means(values: Distances, proxy: Labels) -> Distances:
    """``(N,)`` mean of the values over the proxy of each image."""
    means: Distances = (np.bincount(proxy, values) / np.bincount(proxy))[proxy]
    return means
