"""How far apart images of one person and of different persons lie, within and across resolutions.

A model for cross-resolution matching succeeds where the pairs of one person across resolutions
are as close as those within one. Four histograms and a few numbers show whether they are.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit
from torch import Tensor

from drfm.data.records import LR
from drfm.errors import DrfmError
from drfm.evaluation.kernels import FloatArray, IntArray, RowArray
from drfm.evaluation.ranking import Labels, similarity_blocks

BINS = 100
"""Equal bins of the cosine distance over 0..2."""
KINDS = tuple(f"{pair}/{side}" for pair, side in product(("positive", "negative"), ("same", "cross")))
"""Pairs of one person or of two, within one resolution or across two."""


@dataclass(frozen=True)
class Distances:
    """Histograms of cosine distances over all unordered pairs of images.

    Attributes:
        counts: kind of pair in :data:`KINDS` to ``(BINS,)`` int64.
        numbers: ``KIND/mean`` and ``KIND/std`` of each kind with pairs, and for ``same`` and ``cross``
            pairs each ``SIDE/gap`` (difference of the means), ``SIDE/overlap`` (common area of the two
            normalised histograms, 0..1), ``SIDE/d_prime`` (gap over the root mean variance) and
            ``SIDE/auc`` (probability that a positive pair is closer than a negative one, from the bins).
    """

    counts: dict[str, IntArray]
    numbers: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "counts": {kind: count.tolist() for kind, count in self.counts.items()},
            "numbers": self.numbers,
        }


def distance_distributions(features: Tensor, labels: Labels, origin: npt.NDArray[np.int8]) -> Distances:
    """Histograms of the cosine distances between N images, in blocks.

    Images without a person take no part. Pairs of one person from one camera are left out where the
    camera is known, as in a ranking.

    Args:
        features: ``(N, D)`` float32 unit rows.
        labels: persons and cameras of the images.
        origin: ``(N,)`` ``HR`` or ``LR`` of ``drfm.data.records``.

    Raises:
        DrfmError: features and labels do not fit together.
    """
    if not len(features) == len(labels) == len(origin):
        raise DrfmError(
            f"{len(features)} features, {len(labels)} labels and {len(origin)} origins: give one each"
        )
    kept = np.flatnonzero(labels.persons >= 0)
    rows = features[kept.tolist()] if len(kept) < len(features) else features
    person, camera = labels.persons[kept], labels.cameras[kept]
    low = (np.asarray(origin)[kept] == LR).astype(np.int64)
    counts, sums = np.zeros((len(KINDS), BINS), np.int64), np.zeros((len(KINDS), 2))
    start = 0
    for block in similarity_blocks(rows, rows):
        _count_pairs(block, start, person, camera, low, counts, sums)
        start += len(block)
    by_kind = dict(zip(KINDS, counts, strict=True))
    return Distances(by_kind, _numbers(by_kind, dict(zip(KINDS, sums, strict=True))))


@njit(cache=True, nogil=True)
def _count_pairs(
    block: RowArray,
    start: int,
    person: IntArray,
    camera: IntArray,
    low: IntArray,
    counts: IntArray,
    sums: FloatArray,
) -> None:
    """Count the pairs of the images ``start``.. with all later ones; kinds in the order of ``KINDS``."""
    for b in range(block.shape[0]):
        i = start + b
        for j in range(i + 1, block.shape[1]):
            same = person[i] == person[j]
            if same and camera[i] >= 0 and camera[i] == camera[j]:
                continue
            kind = (0 if same else 2) + (low[i] ^ low[j])
            distance = min(max(1.0 - block[b, j], 0.0), 2.0)
            counts[kind, min(int(distance * (BINS / 2)), BINS - 1)] += 1
            sums[kind, 0] += distance
            sums[kind, 1] += distance * distance


def _numbers(counts: dict[str, IntArray], sums: dict[str, FloatArray]) -> dict[str, float]:
    found: dict[str, float] = {}
    for kind, count in counts.items():
        if size := int(count.sum()):
            mean, square = sums[kind] / size
            found[f"{kind}/mean"] = float(mean)
            found[f"{kind}/std"] = float(np.sqrt(max(square - mean**2, 0.0)))
    for side in ("same", "cross"):
        positive, negative = counts[f"positive/{side}"], counts[f"negative/{side}"]
        if not positive.any() or not negative.any():
            continue
        p, n = positive / positive.sum(), negative / negative.sum()
        gap = found[f"negative/{side}/mean"] - found[f"positive/{side}/mean"]
        spread = np.hypot(found[f"negative/{side}/std"], found[f"positive/{side}/std"]) / np.sqrt(2)
        found[f"{side}/gap"] = gap
        found[f"{side}/overlap"] = float(np.minimum(p, n).sum())
        if spread > 0:
            found[f"{side}/d_prime"] = float(gap / spread)
        found[f"{side}/auc"] = float(p @ (1 - np.cumsum(n) + n / 2))
    return found
