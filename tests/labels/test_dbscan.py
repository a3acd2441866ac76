import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.cluster import DBSCAN

from drfm.errors import DrfmError
from drfm.labels.dbscan import dbscan, dbscan_many


def sparse(matrix, eps):
    row, column = np.nonzero(matrix <= np.float32(eps))
    pointer = np.searchsorted(row, np.arange(len(matrix) + 1))
    return csr_array((matrix[row, column], column, pointer), shape=matrix.shape)


def reference(matrix, eps, min_samples):
    return DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed").fit_predict(matrix)


def made(count, levels, seed):
    random = np.random.default_rng(seed)
    matrix = random.integers(0, levels + 1, (count, count)).astype(np.float32) / np.float32(levels)
    matrix = np.maximum(matrix, matrix.T)
    np.fill_diagonal(matrix, 0)
    return matrix


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(2, 10), st.floats(0.05, 0.9), st.integers(1, 6), st.integers(0, 9999))
def test_labels_and_numbering_are_those_of_scikit_learn(count, levels, eps, min_samples, seed):
    matrix = made(count, levels, seed)
    matrix = np.where(made(count, 3, seed + 1) > 0.4, np.float32(1), matrix)
    np.fill_diagonal(matrix, 0)
    np.testing.assert_array_equal(
        dbscan(sparse(matrix, eps), eps, min_samples), reference(matrix, eps, min_samples)
    )


def test_a_border_point_joins_the_smallest_numbered_cluster():
    # 6 lies between two stars whose centres are 5 and 0; the centre 0 numbers its cluster first.
    matrix = np.ones((9, 9), np.float32)
    for centre, others in ((0, (1, 2, 6)), (5, (7, 8, 6))):
        for other in others:
            matrix[centre, other] = matrix[other, centre] = 0.1
    np.fill_diagonal(matrix, 0)
    labels = dbscan(sparse(matrix, 0.5), 0.5, 4)
    np.testing.assert_array_equal(labels, [0, 0, 0, -1, -1, 1, 0, 1, 1])
    np.testing.assert_array_equal(labels, reference(matrix, 0.5, 4))


def test_the_radius_is_compared_in_float32():
    matrix = np.full((3, 3), np.float32(0.6))
    np.fill_diagonal(matrix, 0)
    np.testing.assert_array_equal(dbscan(sparse(matrix, 0.6), 0.6, 3), [0, 0, 0])
    np.testing.assert_array_equal(reference(matrix, 0.6, 3), [0, 0, 0])


def test_several_radii_from_one_graph():
    matrix = made(60, 9, 5)
    matrix[made(60, 7, 6) > 0.2] = 1
    np.fill_diagonal(matrix, 0)
    radii = [0.2, 0.35, 0.5]
    for eps, labels in zip(radii, dbscan_many(sparse(matrix, 0.5), radii, 3), strict=True):
        np.testing.assert_array_equal(labels, reference(matrix, eps, 3))


def test_empty_and_all_outliers():
    assert dbscan(csr_array((0, 0), dtype=np.float32), 0.5, 4).shape == (0,)
    labels = dbscan(sparse(1 - np.eye(5, dtype=np.float32), 0.5), 0.5, 2)
    np.testing.assert_array_equal(labels, [-1] * 5)
    assert labels.dtype == np.int64


def test_bad_arguments_are_refused():
    with pytest.raises(DrfmError, match="min_samples"):
        dbscan(csr_array((2, 2), dtype=np.float32), 0.5, 0)
    with pytest.raises(DrfmError, match="square"):
        dbscan(csr_array((2, 3), dtype=np.float32), 0.5, 1)
