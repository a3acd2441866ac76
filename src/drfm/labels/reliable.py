"""Which members of clusters are reliable: the criterion of SpCL (Ge et al., NeurIPS 2020)."""

import numpy as np
import numpy.typing as npt

from drfm.labels.cpg import with_singletons
from drfm.labels.pseudo import OUTLIER

Labels = npt.NDArray[np.int64]


def reliable(
    labels: Labels, tight: Labels, loose: Labels, limit: float | None, share: float = 0.9
) -> tuple[Labels, float | None]:
    """Members that stay in their cluster; the others become outliers.

    A cluster is kept if it hardly grows with a larger radius, and of its members those whose cluster of
    the smaller radius is most like it. Likeness is one minus intersection by union of two sets of images;
    an outlier is a set of one.

    Args:
        labels: ``(N,)`` clusters, -1 for outliers.
        tight: the same with a smaller radius.
        loose: the same with a larger radius.
        limit: largest change that a cluster may have towards ``loose``; ``None`` finds it.
        share: of the clusters in ascending order of that change, where ``limit`` is found, 0 to 1.

    Returns:
        ``(N,)`` labels, numbered without gaps in the order of ``labels``, and the limit; ``None`` while
        there was no cluster to find it from.
    """
    clustered = np.flatnonzero(labels >= 0)
    result = np.full_like(labels, OUTLIER)
    if len(clustered) == 0:
        return result, limit
    own = labels[clustered]
    looseness, tightness = (_change(labels, other)[clustered] for other in (loose, tight))
    change, best = (np.full(own.max() + 1, np.inf) for _ in range(2))
    np.minimum.at(change, own, looseness)
    np.minimum.at(best, own, tightness)
    if limit is None:
        several = np.sort(change[np.bincount(own) > 1])
        if len(several):
            limit = float(several[min(len(several) - 1, round(share * len(several)))])
    kept = tightness <= best[own]
    if limit is not None:
        kept &= change[own] <= limit
    result[clustered[kept]] = np.unique(own[kept], return_inverse=True)[1]
    return result, limit


def _change(one: Labels, other: Labels) -> npt.NDArray[np.float64]:
    """``(N,)`` one minus intersection by union of the sets that each image is in."""
    first, second = with_singletons(one), with_singletons(other)
    _, place, common = np.unique(first * (second.max() + 1) + second, return_inverse=True, return_counts=True)
    both = common[place]
    return 1 - both / (np.bincount(first)[first] + np.bincount(second)[second] - both)
