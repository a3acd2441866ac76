"""How good pseudo-labels are, where identities are known: for reports, never for training (G9).

Everything is computed from contingency tables, with one row for each cluster and one column for
each person; no table of pairs exists.
"""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from drfm.data.records import HR, LR
from drfm.errors import DrfmError
from drfm.labels.information import mutual_information_scores

Labels = npt.NDArray[np.int64]


def label_quality(
    labels: Labels,
    persons: Labels,
    origin: npt.NDArray[np.int8],
    pairs: Literal["all", "labelled"] = "all",
) -> dict[str, float]:
    """Agreement of pseudo-labels with identities.

    A pair of images is right if it shares label and person. Precision is the share of right pairs
    among those that share a label, recall among those that share a person, F their harmonic mean;
    each is 0 where there are no such pairs. Images of unknown persons do not count anywhere.

    Args:
        labels: ``(N,)`` int64, negative for images without a label.
        persons: ``(N,)`` int64 identities, negative for unknown ones.
        origin: ``(N,)`` ``HR`` or ``LR``.
        pairs: ``all`` takes an image without a label for a cluster of one; ``labelled`` leaves it out.

    Returns:
        ``precision``, ``recall``, ``f`` over all pairs; the same with ``same_`` before it over pairs of
        one origin and with ``cross_`` over pairs of one HR and one LR image; ``bcubed_precision``,
        ``bcubed_recall``, ``bcubed_f``; ``nmi``, ``ari``, ``ami``; ``coverage``, ``coverage_hr``,
        ``coverage_lr``, the shares of images with a label; ``clusters`` and ``persons``, their numbers.

    Raises:
        DrfmError: the arrays differ in length.
    """
    if not len(labels) == len(persons) == len(origin):
        raise DrfmError(
            f"{len(labels)} labels, {len(persons)} persons, {len(origin)} origins: give one each per image"
        )
    known = persons >= 0
    labels, persons, origin = labels[known], persons[known], origin[known]
    result = {"coverage": _share(labels >= 0)}
    for name, value in (("coverage_hr", HR), ("coverage_lr", LR)):
        result[name] = _share(labels[origin == value] >= 0)
    result["clusters"] = float(len(np.unique(labels[labels >= 0])))
    result["persons"] = float(len(np.unique(persons)))
    if pairs == "labelled":
        kept = labels >= 0
        labels, persons, origin = labels[kept], persons[kept], origin[kept]
    else:
        labels = _outliers_alone(labels)
    result.update(_pairwise(labels, persons, origin))
    result.update(_partition_scores(labels, persons))
    return result


def _outliers_alone(labels: Labels) -> Labels:
    result = labels.copy()
    outliers = np.flatnonzero(labels < 0)
    result[outliers] = labels.max(initial=-1) + 1 + np.arange(len(outliers))
    return result


def _share(chosen: npt.NDArray[np.bool_]) -> float:
    return float(chosen.mean()) if len(chosen) else 0.0


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0


def _scores(right: float, claimed: float, true: float) -> tuple[float, float, float]:
    """Precision, recall and F from numbers of pairs."""
    return _ratio(right, claimed), _ratio(right, true), _ratio(2 * right, claimed + true)


def _within(counts: npt.NDArray[Any]) -> int:
    """Pairs inside groups of these sizes."""
    sizes = counts.astype(np.int64)
    return int((sizes * (sizes - 1) // 2).sum())


def _pairwise(labels: Labels, persons: Labels, origin: npt.NDArray[np.int8]) -> dict[str, float]:
    """Precision, recall and F over all pairs, pairs of one origin and pairs across origins; and ARI."""
    _, rows = np.unique(labels, return_inverse=True)
    _, columns = np.unique(persons, return_inverse=True)
    _, cells = np.unique(rows * (columns.max(initial=0) + 1) + columns, return_inverse=True)
    counted: dict[str, list[int]] = {"": [], "same_": [], "cross_": []}
    for groups in (cells, rows, columns):
        size = int(groups.max(initial=-1)) + 1
        hr = np.bincount(groups[origin == HR], minlength=size)
        lr = np.bincount(groups[origin == LR], minlength=size)
        counted[""].append(_within(hr + lr))
        counted["same_"].append(_within(hr) + _within(lr))
        counted["cross_"].append(int((hr * lr).sum()))
    result = {
        prefix + name: value
        for prefix, numbers in counted.items()
        for name, value in zip(("precision", "recall", "f"), _scores(*numbers), strict=True)
    }
    result["ari"] = _adjusted_rand(*counted[""], images=len(labels))
    return result


def _adjusted_rand(right: int, claimed: int, true: int, *, images: int) -> float:
    """Adjusted Rand index (Hubert and Arabie, 1985) from numbers of pairs; 1 for equal partitions."""
    if right == claimed == true:
        return 1.0 if images else 0.0
    expected = claimed * true / (images * (images - 1) / 2)
    return float((right - expected) / ((claimed + true) / 2 - expected))


def _partition_scores(labels: Labels, persons: Labels) -> dict[str, float]:
    """BCubed scores (Bagga and Baldwin, 1998), the means over images of their own; NMI and AMI."""
    names = ("bcubed_precision", "bcubed_recall", "bcubed_f", "nmi", "ami")
    if len(labels) == 0:
        return dict.fromkeys(names, 0.0)
    table = _contingency(labels, persons)
    squares = table.data.astype(np.float64) ** 2
    rows = np.repeat(np.arange(table.shape[0]), np.diff(table.indptr))
    cluster_size = np.asarray(table.sum(axis=1)).ravel()
    person_size = np.asarray(table.sum(axis=0)).ravel()
    precision = float((squares / cluster_size[rows]).sum() / len(labels))
    recall = float((squares / person_size[table.indices]).sum() / len(labels))
    f = _ratio(2 * precision * recall, precision + recall)
    return dict(zip(names, (precision, recall, f, *mutual_information_scores(table)), strict=True))


def _contingency(labels: Labels, persons: Labels) -> csr_array:
    """Sparse ``(clusters, persons)`` numbers of images, without empty rows or columns."""
    _, rows = np.unique(labels, return_inverse=True)
    _, columns = np.unique(persons, return_inverse=True)
    shape = (int(rows.max()) + 1, int(columns.max()) + 1)
    return csr_array((np.ones(len(rows), dtype=np.int64), (rows, columns)), shape=shape)
