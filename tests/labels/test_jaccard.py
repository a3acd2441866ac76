import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
import dense_oracle
from made_rows import clustered, unit

from drfm.errors import DrfmError
from drfm.labels.jaccard import camera_offset, jaccard_graph, mean_graph
from drfm.labels.neighbours import k_nearest


def dense(graph):
    full = np.ones(graph.shape, np.float32)
    row = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    full[row, graph.indices] = graph.data
    return full


@pytest.mark.parametrize("reading", ["inclusive", "exclusive"])
@pytest.mark.parametrize(("k1", "k2"), [(12, 4), (5, 1), (30, 6), (1, 1), (2, 2)])
def test_all_pairs_agree_with_the_dense_matrix(reading, k1, k2):
    rows = clustered(120)
    found = jaccard_graph(rows, k1=k1, k2=k2, eps=1, reading=reading)
    wanted = dense_oracle.jaccard(rows, k1, k2, reading)
    np.testing.assert_allclose(dense(found), wanted, atol=2e-6)
    np.testing.assert_array_equal(dense(found) < 1, wanted < 1)


def test_three_images_by_hand():
    # Two equal images and one at a right angle, k1 = 2: the third is alone in its reciprocal set.
    rows = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    found = dense(jaccard_graph(rows, k1=2, k2=1, eps=1))
    np.testing.assert_allclose(found, [[0, 0, 1], [0, 0, 1], [1, 1, 0]], atol=1e-6)


def test_half_of_an_odd_k1_is_rounded_to_even():
    rows = clustered(60, seed=3)
    for k1 in (3, 5, 7):
        wanted = dense_oracle.jaccard(rows, k1, 2)
        np.testing.assert_allclose(dense(jaccard_graph(rows, k1=k1, k2=2, eps=1)), wanted, atol=2e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 70), st.integers(1, 20), st.integers(1, 6), st.integers(1, 3), st.integers(0, 999))
def test_tied_and_repeated_rows_agree_with_the_dense_matrix(count, k1, k2, levels, seed):
    random = np.random.default_rng(seed)
    rows = random.integers(-levels, levels + 1, (count, 5)).astype(np.float32)
    rows[:, 0] += levels + 1
    rows = unit(rows)
    found = dense(jaccard_graph(rows, k1=k1, k2=min(k1, k2), eps=1))
    np.testing.assert_allclose(found, dense_oracle.jaccard(rows, k1, min(k1, k2)), atol=2e-6)
    np.testing.assert_array_equal(found, found.T)


def test_a_radius_keeps_exactly_the_pairs_within_it():
    rows = clustered(150)
    every, near = jaccard_graph(rows, k1=12, eps=1), jaccard_graph(rows, k1=12, eps=0.5)
    full = dense(every)
    np.testing.assert_array_equal(dense(near), np.where(full <= np.float32(0.5), full, 1))
    assert near.nnz < every.nnz
    assert near.has_sorted_indices


def test_given_neighbours_are_used_and_checked():
    rows = clustered(80)
    own = k_nearest(rows, 20)
    a, b = jaccard_graph(rows, k1=12, neighbours=own), jaccard_graph(rows, k1=12)
    np.testing.assert_array_equal(dense(a), dense(b))
    with pytest.raises(DrfmError, match="neighbours: shape"):
        jaccard_graph(rows, k1=30, neighbours=own)


def test_empty_and_single():
    assert jaccard_graph(np.empty((0, 4), np.float32)).shape == (0, 0)
    np.testing.assert_allclose(jaccard_graph(unit([[1, 2]])).toarray(), [[0]], atol=1e-6)


def test_bad_k_is_refused():
    for k1, k2 in ((0, 1), (3, 4), (3, 0)):
        with pytest.raises(DrfmError, match="give 1 <= k2 <= k1"):
            jaccard_graph(clustered(5), k1=k1, k2=k2)


def test_mean_of_three_distances_without_a_dense_matrix():
    parts = [clustered(90, seed=seed) for seed in range(3)]
    graphs = [jaccard_graph(rows, k1=8, k2=3, eps=1) for rows in parts]
    weights = [0.7, 0.15, 0.15]
    wanted = sum(w * dense_oracle.jaccard(rows, 8, 3) for w, rows in zip(weights, parts, strict=True))
    np.testing.assert_allclose(dense(mean_graph(graphs, weights)), wanted, atol=3e-6)


@pytest.mark.parametrize("weights", [[0.5], [0.5, 0.6], [1.5, -0.5]])
def test_bad_weights_are_refused(weights):
    graph = jaccard_graph(clustered(20), k1=5, k2=2, eps=1)
    with pytest.raises(DrfmError, match="weights"):
        mean_graph([graph, graph], weights)


def test_graphs_of_different_images_are_refused():
    a, b = (jaccard_graph(clustered(n), k1=5, k2=2, eps=1) for n in (20, 21))
    with pytest.raises(DrfmError, match="same images"):
        mean_graph([a, b], [0.5, 0.5])


def test_camera_offsets():
    rows = clustered(60)
    camera = np.arange(60) % 3
    graph = jaccard_graph(rows, k1=8, k2=3, eps=1)
    moved = camera_offset(graph, camera, 0.02, -0.01)
    shift = np.where(camera[:, None] == camera[None], 0.02, -0.01)
    np.fill_diagonal(shift, 0)
    full = dense(graph)
    wanted = np.where(full < 1, np.maximum(full + shift, 0), 1)
    np.testing.assert_allclose(dense(moved), wanted, atol=1e-6)
    with pytest.raises(DrfmError, match="camera"):
        camera_offset(graph, camera[:5], 0, 0)
