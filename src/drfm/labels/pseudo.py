"""Pseudo-labels: what clustering and CPG say of the training pairs."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Persons = npt.NDArray[np.int64]
"""True identities of N pairs, negative where unknown. Only a supervised ceiling may train on them."""

OUTLIER = -1
"""Label of a pair without a cluster in this epoch."""


@dataclass(frozen=True)
class PseudoLabels:
    """Labels of all N training pairs for one epoch.

    Attributes:
        labels: ``(N,)`` int64, 0..clusters-1 or ``OUTLIER``.
        clusters: number of classes M.
        ambiguous: ``(A,)`` int64 rows of LR pairs below the confidence cut, in ascending order.
        confidence: ``(N,)`` float32, max of Eq. 8 for LR pairs, 1 for clustered HR pairs, else 0.
        guess: ``(N,)`` int64, most likely class of each LR pair, ambiguous ones included; else the label.
        facts: numbers for the journal, such as the proportion T of Eq. 9 and a fallback that was taken.
    """

    labels: npt.NDArray[np.int64]
    clusters: int
    ambiguous: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float32]
    guess: npt.NDArray[np.int64]
    facts: dict[str, float | int | str] = field(default_factory=dict)


def plain_labels(labels: npt.NDArray[np.int64], facts: dict[str, float | int | str]) -> PseudoLabels:
    """Labels of a method that is in doubt about nobody.

    Args:
        labels: ``(N,)`` int64, 0..M-1 or ``OUTLIER``.
        facts: what the journal shall say beside the number of clusters.
    """
    clusters = int(labels.max(initial=-1)) + 1
    confidence = (labels >= 0).astype(np.float32)
    facts = {"clusters": clusters} | facts
    return PseudoLabels(labels, clusters, np.empty(0, np.int64), confidence, labels.copy(), facts)


def true_labels(persons: Persons) -> PseudoLabels:
    """True identities as the labels of an epoch, for the ceiling that results are compared with.

    Args:
        persons: ``(N,)`` int64 identities, negative where unknown.

    Returns:
        Labels 0..M-1 in ascending order of the identities; nobody is ambiguous.
    """
    known = persons >= 0
    labels = np.full(len(persons), OUTLIER, dtype=np.int64)
    labels[known] = np.unique(persons[known], return_inverse=True)[1]
    return plain_labels(labels, {"supervised": "labels are true identities"})
