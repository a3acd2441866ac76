import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import DBSCAN

sys.path.insert(0, str(Path(__file__).parent))
import dense_oracle
from made_rows import clustered, unit

from drfm.config.schema import LabelsConfig
from drfm.errors import DrfmError
from drfm.labels.clustering import HDBSCAN_LIMIT, cluster, cluster_radii, cosine_graph

CONFIG = LabelsConfig(k1=12, k2=4, eps=0.6)


def oracle(rows, config):
    return dense_oracle.labels(rows, config.k1, config.k2, config.eps, config.min_samples, config.k1_reading)


@pytest.mark.parametrize("spread", [0.3, 0.9, 1.6])
@pytest.mark.parametrize("reading", ["inclusive", "exclusive"])
def test_labels_are_those_of_dense_code_numbering_included(spread, reading):
    rows = clustered(250, spread=spread)
    config = replace(CONFIG, k1_reading=reading)
    labels = cluster(torch.from_numpy(rows), config)
    np.testing.assert_array_equal(labels, oracle(rows, config))
    assert labels.dtype == np.int64


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 80), st.integers(1, 30), st.integers(1, 6), st.integers(1, 4), st.integers(1, 5),
    st.sampled_from([0.2137, 0.4219, 0.6131, 0.8513]), st.integers(0, 9999),
)  # fmt: skip
def test_adversarial_rows_get_the_labels_of_dense_code(count, k1, k2, levels, min_samples, eps, seed):
    random = np.random.default_rng(seed)
    rows = random.integers(-levels, levels + 1, (count, 6)).astype(np.float32)
    rows[:, 0] += levels + 1
    rows = unit(rows[random.integers(0, max(1, count // 2), count)])
    config = LabelsConfig(k1=k1, k2=min(k1, k2), eps=eps, min_samples=min_samples)
    np.testing.assert_array_equal(cluster(rows, config), oracle(rows, config))


@pytest.mark.parametrize("copies", [2, 40])
def test_more_copies_of_an_image_than_neighbours(copies):
    rows = np.repeat(clustered(12), copies, axis=0)
    np.testing.assert_array_equal(cluster(rows, CONFIG), oracle(rows, CONFIG))


def test_constant_rows_and_fewer_images_than_neighbours():
    for count in (1, 2, 3, 4, 5, 11, 40):
        rows = np.tile(unit([[3, 4, 0]]), (count, 1))
        np.testing.assert_array_equal(cluster(rows, CONFIG), oracle(rows, CONFIG))


def test_no_images():
    assert cluster(np.empty((0, 8), np.float32), CONFIG).shape == (0,)


def test_all_outliers():
    rows = np.eye(30, dtype=np.float32)
    config = LabelsConfig(k1=3, k2=1, eps=0.1)
    labels = cluster(rows, config)
    np.testing.assert_array_equal(labels, oracle(rows, config))
    assert (labels == -1).all()


def test_cosine_distance_agrees_with_scikit_learn():
    rows = clustered(200)
    matrix = np.maximum(1 - dense_oracle.similarities(rows), 0)
    config = LabelsConfig(distance="cosine", eps=0.35)
    wanted = DBSCAN(eps=0.35, min_samples=4, metric="precomputed").fit_predict(matrix)
    np.testing.assert_array_equal(cluster(rows, config), wanted)
    graph = cosine_graph(rows, 0.35)
    np.testing.assert_array_equal(graph.toarray(), np.where(matrix <= np.float32(0.35), matrix, 0))


@pytest.mark.parametrize("distance", ["jaccard", "cosine"])
def test_hdbscan_finds_plain_clusters(distance):
    rows = clustered(180, spread=0.2)
    labels = cluster(rows, LabelsConfig(k1=12, cluster="hdbscan", distance=distance))
    near = dense_oracle.similarities(rows) > 0.5
    together = labels[:, None] == labels[None]
    clear = (labels[:, None] >= 0) & (labels[None] >= 0)
    assert (together == near)[clear].mean() > 0.98
    assert cluster(rows[:1], LabelsConfig(cluster="hdbscan")).tolist() == [-1]


def test_hdbscan_says_its_limit():
    rows = np.tile(unit([[1.0, 0.0]]), (HDBSCAN_LIMIT + 1, 1))
    with pytest.raises(DrfmError, match="choose dbscan"):
        cluster(rows, LabelsConfig(cluster="hdbscan", k1=2, k2=1))


def test_nan_is_refused_in_one_line():
    rows = clustered(10)
    rows[4, 2] = np.nan
    with pytest.raises(DrfmError, match="row 4 is not finite") as caught:
        cluster(rows, CONFIG)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("distance", ["jaccard", "cosine"])
def test_several_radii_give_what_each_gives_alone(distance):
    rows = clustered(120, spread=0.9)
    config = replace(CONFIG, distance=distance)
    for eps, labels in zip((0.6, 0.3, 0.7), cluster_radii(rows, config, (0.6, 0.3, 0.7)), strict=True):
        np.testing.assert_array_equal(labels, cluster(rows, replace(config, eps=eps)))
    assert [len(labels) for labels in cluster_radii(rows[:0], config, (0.6, 0.3))] == [0, 0]
    with pytest.raises(DrfmError, match=r"labels\.cluster = hdbscan: has no radius"):
        cluster_radii(rows, replace(config, cluster="hdbscan"), (0.6,))
