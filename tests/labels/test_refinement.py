"""Refined clusters of RLIM against a loop over dense distances."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from drfm.labels.refinement import refined


def dense(count, seed):
    """Symmetric distances of which about half are 1."""
    random = np.random.default_rng(seed)
    found = np.minimum(random.uniform(0, 2, (count, count)), 1)
    found = np.minimum(found, found.T).astype(np.float32)
    np.fill_diagonal(found, 0)
    return found


def graph_of(distance):
    """The pairs below 1, with explicit zeros, as the Jaccard graph has them."""
    row, column = np.nonzero(distance < 1)
    pointer = np.searchsorted(row, np.arange(len(distance) + 1))
    return csr_array((distance[row, column], column.astype(np.int32), pointer), shape=distance.shape)


def naive(distance, loose, tight, group):
    count = len(loose)

    def proxy(labels, i):
        if labels[i] < 0:
            return [i]
        return [j for j in range(count) if labels[j] == labels[i] and group[j] == group[i]]

    d = []
    for i in range(count):
        others = [j for j in proxy(loose, i) if j != i]
        d.append(np.mean([distance[i, j] for j in others]) if others else 0.0)
    classes = []
    for i in range(count):
        limit = np.mean([d[j] for j in proxy(loose, i)])
        stays = 0.999 * d[i] <= limit or np.mean([d[j] for j in proxy(tight, i)]) <= limit
        classes.append(loose[i] if stays else -1)
    return classes


@pytest.mark.parametrize("seed", range(8))
def test_refinement_equals_the_loop(seed):
    random = np.random.default_rng(seed + 100)
    count = 24
    loose = random.integers(-1, 4, count)
    tight = np.where(random.random(count) < 0.3, -1, loose * 2 + random.integers(0, 2, count))
    tight[loose < 0] = -1
    group = random.integers(0, 2, count)
    distance = dense(count, seed)
    found = refined(graph_of(distance), loose, tight, group)
    assert found.tolist() == naive(distance, loose, tight, group)
    assert (loose >= 0).sum() > (found >= 0).sum(), "somebody was rejected"
    assert set(found[found >= 0]) == set(loose[loose >= 0]), "no cluster is lost"


def test_some_images_are_rejected_and_some_stay():
    distance = np.full((5, 5), 0.2, np.float32)
    distance[4, :4] = distance[:4, 4] = 0.9
    np.fill_diagonal(distance, 0)
    loose, group = np.zeros(5, np.int64), np.zeros(5, np.int64)
    tight = np.array([0, 0, 0, 0, -1])
    assert refined(graph_of(distance), loose, tight, group).tolist() == [0, 0, 0, 0, -1]
    assert refined(graph_of(distance), loose, loose, group).tolist() == [0] * 5, "a tight cluster keeps all"


@pytest.mark.parametrize(("far", "kept"), [(0.2004, True), (0.204, False)])
def test_who_is_farther_than_the_mean_by_a_thousandth_stays(far, kept):
    """Two images are 1.0003 and 1.0033 times as far from the others as all are on average."""
    distance = np.full((3, 3), 0.2)
    distance[1, 2] = distance[2, 1] = far
    np.fill_diagonal(distance, 0)
    loose, tight, group = np.zeros(3, np.int64), np.full(3, -1), np.zeros(3, np.int64)
    found = refined(graph_of(distance), loose, tight, group)
    assert found.tolist() == ([0, 0, 0] if kept else [0, -1, -1])


def test_nobody_or_outliers_alone():
    empty = np.empty(0, np.int64)
    assert refined(graph_of(dense(0, 0)), empty, empty, empty).tolist() == []
    outliers = np.full(3, -1)
    assert refined(graph_of(dense(3, 0)), outliers, outliers, np.zeros(3, np.int64)).tolist() == [-1] * 3
