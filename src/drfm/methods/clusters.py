"""Clustering that tries again with another radius where it finds no cluster, or only one."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from torch import Tensor

from drfm.config import Config, LabelsConfig
from drfm.errors import DrfmError
from drfm.labels.cpg import with_singletons
from drfm.labels.jaccard import jaccard_graph

Clusterer = Callable[[Tensor, LabelsConfig], npt.NDArray[np.int64]]
"""Features ``(n, D)`` and options to ``(n,)`` labels, -1 for outliers."""

EPS_STEP = 0.05
"""Change of eps from one attempt to the next."""
ATTEMPTS = 3
"""Attempts after the first."""


def cluster_or_adjust(
    features: Tensor, config: LabelsConfig, clusterer: Clusterer
) -> tuple[npt.NDArray[np.int64] | None, str]:
    """Cluster; without a cluster raise eps by up to three steps of 0.05, with a single one lower it.

    Classes of one (C3) count as clusters where the configuration makes outliers such classes. HDBSCAN
    has no radius and is tried once.

    Args:
        features: ``(n, D)`` float32 unit rows of the HR pairs.
        config: where the search begins.
        clusterer: what finds clusters.

    Returns:
        ``(n,)`` labels, or ``None`` where every attempt gave fewer than two classes; and what was
        done about it in words, empty if nothing had to be.
    """
    labels = clusterer(features, config)
    found = _classes(labels, config)
    if found >= 2:
        return labels, ""
    reason = "clustering found no cluster" if found == 0 else "clustering found a single cluster"
    step = EPS_STEP if found == 0 else -EPS_STEP
    for attempt in range(1, ATTEMPTS + 1 if config.cluster == "dbscan" else 1):
        eps = round(config.eps + attempt * step, 6)
        if not 0 < eps < 2:
            break
        labels = clusterer(features, replace(config, eps=eps))
        if _classes(labels, config) >= 2:
            return labels, f"{reason} with labels.eps = {config.eps}; {eps} is used in this epoch"
    return None, f"{reason} with labels.eps = {config.eps} or near it"


def jaccard_alone(config: Config) -> None:
    """Refuse what a method cannot do that works on Jaccard distances itself.

    Raises:
        DrfmError: another distance or another clustering than DBSCAN.
    """
    labels, name = config.labels, config.method
    for option, value, known in (
        ("distance", labels.distance, "jaccard"),
        ("cluster", labels.cluster, "dbscan"),
    ):
        if value != known:
            raise DrfmError(f"labels.{option} = {value}: {name} understands {known} alone")


def whole_graph(features: Tensor, config: LabelsConfig) -> csr_array:
    """Jaccard distances of all pairs that share a neighbour; every other pair is at distance 1."""
    return jaccard_graph(features, k1=config.k1, k2=config.k2, eps=1.0, reading=config.k1_reading)


def _classes(labels: npt.NDArray[np.int64], config: LabelsConfig) -> int:
    numbered = with_singletons(labels) if config.outliers == "singletons" else labels
    return int(numbered.max(initial=-1)) + 1
