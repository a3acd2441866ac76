"""Mutual information of two partitions, plain and adjusted for chance (Vinh, Epps and Bailey, JMLR 2010).

The expected mutual information depends on the sizes of the groups alone. Summing over distinct
sizes and not over groups makes it a matter of milliseconds where there are thousands of groups.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.special import gammaln

Sizes = npt.NDArray[np.int64]


def mutual_information_scores(table: csr_array) -> tuple[float, float]:
    """Normalised and adjusted mutual information, with the mean of the two entropies as scale.

    Args:
        table: ``(clusters, persons)`` numbers of images, no empty row or column.

    Returns:
        NMI in [0, 1] and AMI, at most 1; both 1 where each partition is a single group.
    """
    rows = np.asarray(table.sum(axis=1)).ravel().astype(np.int64)
    columns = np.asarray(table.sum(axis=0)).ravel().astype(np.int64)
    if len(rows) == len(columns) == 1:
        return 1.0, 1.0
    shared = _mutual_information(table, rows, columns)
    scale = (_entropy(rows) + _entropy(columns)) / 2
    expected = expected_mutual_information(rows, columns)
    tiny = float(np.finfo(np.float64).eps)
    normalised = shared / max(scale, tiny)
    room = scale - expected
    # Two partitions into singletons leave no room for chance: they agree, and are told so.
    adjusted = (shared - expected) / room if abs(room) > 1e-12 else 1.0
    return float(normalised), float(adjusted)


def expected_mutual_information(rows: Sizes, columns: Sizes) -> float:
    """Mean mutual information, in nats, of random partitions with groups of these sizes."""
    total = int(rows.sum())
    row_sizes, row_counts = np.unique(rows, return_counts=True)
    column_sizes, column_counts = np.unique(columns, return_counts=True)
    expected = 0.0
    for a, times in zip(row_sizes.tolist(), row_counts.tolist(), strict=True):
        n = np.arange(1, min(a, int(column_sizes[-1])) + 1)[:, None]
        b = column_sizes[None, :]
        possible = (n <= b) & (n >= a + b - total)
        terms = n / total * (np.log(total * n) - np.log(a * b)) * _probability(n, a, b, total, possible)
        expected += times * float((terms * possible).sum(axis=0) @ column_counts)
    return expected


def _probability(
    n: Any, a: int, b: Any, total: int, possible: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Hypergeometric probability that groups of a and b among ``total`` share n; 0 where impossible."""
    logs = gammaln(a + 1) + gammaln(b + 1) + gammaln(total - a + 1) + gammaln(total - b + 1)
    logs = logs - gammaln(total + 1) - gammaln(n + 1) - gammaln(np.maximum(a - n, 0) + 1)
    logs = logs - gammaln(np.maximum(b - n, 0) + 1) - gammaln(np.maximum(total - a - b + n, 0) + 1)
    return np.exp(np.where(possible, logs, -np.inf))


def _entropy(sizes: Sizes) -> float:
    share = sizes / sizes.sum()
    return float(-(share * np.log(share)).sum())


def _mutual_information(table: csr_array, rows: Sizes, columns: Sizes) -> float:
    cells = table.data.astype(np.float64)
    total = cells.sum()
    row_of_cell = np.repeat(rows, np.diff(table.indptr))
    ratio = np.log(cells * total) - np.log(row_of_cell * columns[table.indices].astype(np.float64))
    return max(0.0, float((cells / total * ratio).sum()))
