"""Cross-resolution pseudo-label generation: labels of HR pairs passed on to LR pairs (Eq. 4 to 9)."""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from drfm.config import LabelsConfig
from drfm.data.records import HR, LR
from drfm.errors import DrfmError
from drfm.labels.pseudo import OUTLIER, PseudoLabels
from drfm.models.features import Features

_BLOCK_ELEMENTS = 1 << 24
"""Scores held at a time: 64 MiB of float32, whatever the number of LR pairs and classes."""


class Assignment(NamedTuple):
    """The most likely class of each of n LR pairs, by Eq. 8.

    Attributes:
        guess: ``(n,)`` int64, the class.
        confidence: ``(n,)`` float32 in (0, 1], its fused probability.
        doubt: ``(n,)`` float32, log of (1 - confidence) / confidence. It orders the pairs exactly
            as the confidence does, in reverse, and still tells them apart where that rounds to 1.
    """

    guess: Tensor
    confidence: Tensor
    doubt: Tensor


def class_centroids(features: Tensor, labels: Tensor, clusters: int, normalise: bool = False) -> Tensor:
    """Mean feature of each class (Eq. 5 and 7).

    Args:
        features: ``(n, D)`` float.
        labels: ``(n,)`` int64, 0..clusters-1, or ``OUTLIER`` for rows that count nowhere.
        clusters: number of classes M.
        normalise: give the means unit length (C4).

    Returns:
        ``(M, D)``; the row of a class without members is zero.
    """
    # Outliers go to a row of their own, dropped afterwards: no copy of the features is made.
    slots = torch.where(labels >= 0, labels, clusters)
    sums = features.new_zeros(clusters + 1, features.shape[1]).index_add_(0, slots, features)
    counts = torch.bincount(slots, minlength=clusters + 1)
    means = (sums / counts.clamp(min=1).unsqueeze(1))[:clusters]
    return functional.normalize(means, dim=1) if normalise else means


def class_vectors(features: Tensor, centroids: Tensor, tau: float) -> Tensor:
    """Softmax of the similarities to the class centroids (Eq. 4 and 6): ``(n, M)``, rows sum to 1."""
    return torch.softmax(features @ centroids.T / tau, dim=1)


def fused_logits(
    lr: Tensor, lr_centroids: Tensor, hr: Tensor, hr_centroids: Tensor, *, tau_l: float, tau_h: float
) -> Tensor:
    """Logits whose softmax is Eq. 8: ``(n, M)``.

    The product of two softmaxes, divided by its sum, is the softmax of the summed logits. Written
    so, two class vectors that disagree cannot both underflow to 0 / 0.
    """
    return lr @ lr_centroids.T / tau_l + hr @ hr_centroids.T / tau_h


def assign(logits: Tensor) -> Assignment:
    """Most likely class, its probability and its odds from ``(n, M)`` logits, M >= 1."""
    top, guess = logits.max(dim=1)
    others = logits.scatter(1, guess.unsqueeze(1), -math.inf) - top.unsqueeze(1)
    doubt = torch.logsumexp(others, dim=1)
    return Assignment(guess, torch.sigmoid(-doubt), doubt)


def labelled_proportion(clustered: int, total: int, t: float) -> float:
    """T of Eq. 9: the share of HR pairs with a cluster, times t; 0 without HR pairs."""
    return clustered / total * t if total else 0.0


def labelled_count(clustered: int, total: int, t: float, candidates: int) -> int:
    """How many of ``candidates`` LR pairs are labelled: floor(T N2), at least 1 where T > 0 (C7)."""
    proportion = labelled_proportion(clustered, total, t)
    if proportion <= 0 or candidates == 0:
        return 0
    # A product such as 0.7 * 10 may fall a rounding error short of its integer.
    return min(candidates, max(1, math.floor(proportion * candidates + 1e-9)))


def most_confident(doubt: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.int64]:
    """Positions of the ``count`` smallest doubts in ascending order of position; ties go to the first."""
    return np.sort(np.argsort(doubt, kind="stable")[:count])


def with_singletons(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """``(n,)`` labels with each outlier as a class of one, numbered behind the clusters (C3)."""
    result = labels.copy()
    outliers = np.flatnonzero(labels < 0)
    first = int(labels.max(initial=-1)) + 1
    result[outliers] = np.arange(first, first + len(outliers))
    return result


def generate(
    features: Features,
    origin: npt.NDArray[np.int8],
    hr_labels: npt.NDArray[np.int64],
    config: LabelsConfig,
    centroid_features: Features | None = None,
) -> PseudoLabels:
    """Labels of all pairs from the clusters of the HR pairs (CPG).

    Args:
        features: spaces ``"hr"`` and ``"lr"``, each ``(N, D)`` float32, of all pairs.
        origin: ``(N,)`` ``HR`` or ``LR``.
        hr_labels: ``(N1,)`` int64 cluster of each HR pair in table order: 0..M-1, or ``OUTLIER``.
        config: temperatures, t, and the options C3 and C4.
        centroid_features: what the centroids of Eq. 5 and 7 are means of; ``features`` unless given.

    Raises:
        DrfmError: ``hr_labels`` does not have one label for each HR pair.
    """
    hr_rows, lr_rows = np.flatnonzero(origin == HR), np.flatnonzero(origin == LR)
    if hr_labels.shape != hr_rows.shape:
        raise DrfmError(
            f"hr_labels has {len(hr_labels)} labels for {len(hr_rows)} HR pairs: give one for each"
        )
    outliers = int((hr_labels < 0).sum())
    if config.outliers == "singletons":
        hr_labels = with_singletons(hr_labels)
    clusters = int(hr_labels.max(initial=-1)) + 1
    labels = np.full(len(origin), OUTLIER, dtype=np.int64)
    confidence = np.zeros(len(origin), dtype=np.float32)
    labels[hr_rows] = hr_labels
    confidence[hr_rows] = hr_labels >= 0
    guess = labels.copy()
    clustered = int((hr_labels >= 0).sum())
    count = labelled_count(clustered, len(hr_rows), config.t, len(lr_rows))
    if clusters and len(lr_rows):
        centroids = _hr_centroids(centroid_features or features, hr_rows, hr_labels, config)
        found = _assign_rows(features, lr_rows, centroids, config)
        guess[lr_rows], confidence[lr_rows] = found.guess.numpy(), found.confidence.numpy()
        chosen = lr_rows[most_confident(found.doubt.numpy(), count)]
        labels[chosen] = guess[chosen]
    return PseudoLabels(
        labels=labels,
        clusters=clusters,
        ambiguous=lr_rows[labels[lr_rows] < 0],
        confidence=confidence,
        guess=guess,
        facts={
            "clusters": clusters,
            "hr_outliers": outliers,
            "hr_labelled": clustered,
            "lr_labelled": count,
            "proportion": labelled_proportion(clustered, len(hr_rows), config.t),
        },
    )


def _assign_rows(
    features: Features, lr_rows: npt.NDArray[Any], centroids: Features, config: LabelsConfig
) -> Assignment:
    """Eq. 4, 6 and 8 for all LR pairs, a block of rows at a time; the result is on the CPU."""
    device = features["hr"].device
    hr_centroids, lr_centroids = centroids["hr"].to(device), centroids["lr"].to(device)
    size = max(1, _BLOCK_ELEMENTS // len(hr_centroids))
    parts = []
    for start in range(0, len(lr_rows), size):
        rows = torch.from_numpy(lr_rows[start : start + size]).to(device)
        lr, hr = features["lr"][rows], features["hr"][rows]
        logits = fused_logits(lr, lr_centroids, hr, hr_centroids, tau_l=config.tau_l, tau_h=config.tau_h)
        parts.append(assign(logits))
    return Assignment(*(torch.cat(column).cpu() for column in zip(*parts, strict=True)))


def _hr_centroids(
    features: Features, hr_rows: npt.NDArray[Any], hr_labels: npt.NDArray[np.int64], config: LabelsConfig
) -> Features:
    """C_h (Eq. 7) and C_sl (Eq. 5): means of the same HR pairs in the HR and in the LR space."""
    clusters = int(hr_labels.max()) + 1
    centroids = {}
    for space in ("hr", "lr"):
        device = features[space].device
        rows, labels = torch.from_numpy(hr_rows).to(device), torch.from_numpy(hr_labels).to(device)
        centroids[space] = class_centroids(
            features[space][rows], labels, clusters, config.normalise_centroids
        )
    return centroids
