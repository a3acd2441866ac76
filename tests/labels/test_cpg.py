"""Cross-resolution pseudo-label generation against loops written from Eq. 4 to 9."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from drfm.config import LabelsConfig
from drfm.data.records import HR, LR
from drfm.errors import DrfmError
from drfm.labels import cpg
from drfm.labels.cpg import (
    assign,
    class_centroids,
    class_vectors,
    fused_logits,
    generate,
    labelled_count,
    labelled_proportion,
    most_confident,
    with_singletons,
)


def unit(rows, dimension, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(rows, dimension, generator=generator), dim=1)


def table(hr, lr, dimension=5, seed=0):
    features = {space: unit(hr + lr, dimension, seed + i) for i, space in enumerate(("hr", "lr"))}
    origin = np.array([HR] * hr + [LR] * lr, dtype=np.int8)
    return features, np.random.default_rng(seed).permutation(origin)


def naive(features, origin, hr_labels, config):
    """Guess and confidence of each LR row, in double precision, product of softmaxes as printed."""
    hr_rows = [i for i, o in enumerate(origin) if o == HR]
    clusters = max(hr_labels) + 1
    centroids = {}
    for space in ("hr", "lr"):
        centroids[space] = []
        for j in range(clusters):
            members = [features[space][r].double() for r, y in zip(hr_rows, hr_labels, strict=True) if y == j]
            mean = sum(members) / len(members)
            centroids[space].append(mean / mean.norm() if config.normalise_centroids else mean)
    result = {}
    for row in (i for i, o in enumerate(origin) if o == LR):
        product = []
        for j in range(clusters):
            a = math.exp(float(features["lr"][row].double() @ centroids["lr"][j]) / config.tau_l)
            b = math.exp(float(features["hr"][row].double() @ centroids["hr"][j]) / config.tau_h)
            product.append(a * b)
        s = [p / sum(product) for p in product]
        result[row] = (s.index(max(s)), max(s))
    return result


@pytest.mark.parametrize("normalise", [False, True])
def test_generate_equals_the_printed_equations(normalise):
    config = LabelsConfig(t=0.6, normalise_centroids=normalise)
    features, origin = table(hr=11, lr=9)
    hr_labels = np.array([0, 1, 2, 0, 1, 2, -1, 2, 0, -1, 1])
    labels = generate(features, origin, hr_labels, config)
    expected = naive(features, origin, hr_labels, config)
    lr_rows = np.flatnonzero(origin == LR)
    assert [int(labels.guess[r]) for r in lr_rows] == [expected[r][0] for r in lr_rows]
    np.testing.assert_allclose(labels.confidence[lr_rows], [expected[r][1] for r in lr_rows], rtol=1e-4)
    np.testing.assert_array_equal(labels.labels[origin == HR], hr_labels)
    count = math.floor(9 / 11 * 0.6 * 9)
    chosen = sorted(lr_rows, key=lambda r: (-expected[r][1], r))[:count]
    assert sorted(chosen) == [r for r in lr_rows if labels.labels[r] >= 0]
    assert labels.ambiguous.tolist() == [r for r in lr_rows if r not in chosen]
    assert labels.clusters == 3
    assert labels.facts["lr_labelled"] == count
    assert labels.facts["hr_outliers"] == 2
    assert labels.confidence[origin == HR].tolist() == [float(y >= 0) for y in hr_labels]


def test_class_vectors_and_their_fusion_agree():
    lr, hr, lr_centroids, hr_centroids = unit(4, 6, 1), unit(4, 6, 2), unit(3, 6, 3), unit(3, 6, 4)
    product = class_vectors(lr, lr_centroids, 0.5) * class_vectors(hr, hr_centroids, 0.4)
    fused = torch.softmax(fused_logits(lr, lr_centroids, hr, hr_centroids, tau_l=0.5, tau_h=0.4), dim=1)
    torch.testing.assert_close(fused, product / product.sum(dim=1, keepdim=True))


def test_contradicting_class_vectors_do_not_become_nan():
    found = assign(torch.tensor([[4000.0, -4000.0, 0.0], [-4000.0, -3999.0, -9000.0]]))
    assert found.guess.tolist() == [0, 1]
    assert torch.isfinite(found.confidence).all()
    assert found.confidence[1] == pytest.approx(1 / (1 + math.exp(-1)))


def test_doubt_orders_where_confidence_saturates():
    found = assign(torch.tensor([[50.0, 0.0], [60.0, 0.0], [40.0, 0.0]]))
    assert found.confidence.tolist() == [1.0, 1.0, 1.0]
    assert most_confident(found.doubt.numpy(), 2).tolist() == [0, 1]
    assert most_confident(found.doubt.numpy(), 1).tolist() == [1]


def test_one_class_is_certain():
    found = assign(torch.tensor([[3.0], [-2.0]]))
    assert found.confidence.tolist() == [1.0, 1.0]
    assert found.guess.tolist() == [0, 0]


def test_ties_go_to_the_first():
    assert most_confident(np.array([1.0, 0.5, 0.5, 0.5], dtype=np.float32), 2).tolist() == [1, 2]


def test_centroids_ignore_outliers_and_leave_empty_classes_zero():
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]])
    means = class_centroids(features, torch.tensor([1, 1, -1]), 3)
    assert means.tolist() == [[0.0, 0.0], [0.5, 0.5], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("clustered", "total", "t", "candidates", "count"),
    [(10, 10, 0.7, 10, 7), (9, 10, 0.7, 10, 6), (10, 10, 1.0, 5, 5), (1, 100, 0.1, 8, 1),
     (0, 10, 0.7, 10, 0), (10, 10, 0.0, 10, 0), (0, 0, 0.7, 10, 0), (10, 10, 0.7, 0, 0),
     (3, 3, 0.29, 100, 29)],
)  # fmt: skip
def test_count_of_the_top_proportion(clustered, total, t, candidates, count):
    assert labelled_count(clustered, total, t, candidates) == count


def test_proportion_is_equation_9():
    assert labelled_proportion(30, 40, 0.8) == pytest.approx(0.6)


def test_blocks_do_not_change_the_result(monkeypatch):
    features, origin = table(hr=20, lr=33, seed=3)
    hr_labels = np.arange(20) % 4
    whole = generate(features, origin, hr_labels, LabelsConfig())
    monkeypatch.setattr(cpg, "_BLOCK_ELEMENTS", 12)
    parts = generate(features, origin, hr_labels, LabelsConfig())
    np.testing.assert_array_equal(whole.labels, parts.labels)
    np.testing.assert_allclose(whole.confidence, parts.confidence, rtol=1e-5)


def test_centroids_from_elsewhere():
    features, origin = table(hr=4, lr=3)
    hr_labels = np.array([0, 0, 1, 1])
    swapped = {space: -rows for space, rows in features.items()}
    config = LabelsConfig(t=1.0)
    one = generate(features, origin, hr_labels, config).guess[origin == LR]
    other = generate(features, origin, hr_labels, config, centroid_features=swapped).guess[origin == LR]
    assert (one == 1 - other).all()


def test_no_lr_pairs():
    features, origin = table(hr=4, lr=0)
    labels = generate(features, origin, np.array([0, 0, 1, -1]), LabelsConfig())
    assert labels.labels.tolist() == [0, 0, 1, -1]
    assert len(labels.ambiguous) == 0


def test_nothing_clustered():
    features, origin = table(hr=4, lr=3)
    labels = generate(features, origin, np.full(4, -1), LabelsConfig())
    assert (labels.labels == -1).all()
    assert (labels.guess == -1).all()
    assert labels.clusters == 0
    np.testing.assert_array_equal(labels.ambiguous, np.flatnonzero(origin == LR))


def test_no_hr_pairs():
    features, origin = table(hr=0, lr=3)
    labels = generate(features, origin, np.empty(0, dtype=np.int64), LabelsConfig())
    assert labels.clusters == 0
    assert len(labels.ambiguous) == 3


def test_one_cluster_takes_its_share():
    features, origin = table(hr=4, lr=10)
    labels = generate(features, origin, np.zeros(4, dtype=np.int64), LabelsConfig(t=0.5))
    lr_rows = np.flatnonzero(origin == LR)
    assert (labels.labels[lr_rows[:5]] == 0).all(), "all are equally certain, so the first are taken"
    assert labels.ambiguous.tolist() == lr_rows[5:].tolist()


def test_outliers_as_classes_of_one():
    assert with_singletons(np.array([0, -1, 1, -1])).tolist() == [0, 2, 1, 3]
    features, origin = table(hr=4, lr=3)
    labels = generate(features, origin, np.array([0, -1, 0, -1]), LabelsConfig(outliers="singletons", t=1.0))
    assert labels.clusters == 3
    assert labels.facts["hr_outliers"] == 2
    assert (labels.labels >= 0).all()


def test_wrong_number_of_labels():
    features, origin = table(hr=4, lr=3)
    with pytest.raises(DrfmError, match="5 labels for 4 HR pairs"):
        generate(features, origin, np.zeros(5, dtype=np.int64), LabelsConfig())


@settings(deadline=None, max_examples=40)
@given(
    hr=st.integers(1, 12),
    lr=st.integers(0, 12),
    clusters=st.integers(0, 4),
    t=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_properties(hr, lr, clusters, t, seed):
    features, origin = table(hr, lr, seed=seed)
    drawn = np.random.default_rng(seed).integers(-1, clusters, hr) if clusters else np.full(hr, -1)
    _, hr_labels = np.unique(np.append(drawn, -1), return_inverse=True)
    hr_labels = hr_labels[:-1] - 1
    before = {space: rows.clone() for space, rows in features.items()}
    labels = generate(features, origin, hr_labels, LabelsConfig(t=t))
    lr_rows = np.flatnonzero(origin == LR)
    assert set(labels.ambiguous) == {r for r in lr_rows if labels.labels[r] < 0}
    assert (labels.labels < labels.clusters).all()
    assert ((labels.confidence >= 0) & (labels.confidence <= 1)).all()
    labelled = labels.confidence[lr_rows[labels.labels[lr_rows] >= 0]]
    if len(labelled) and len(labels.ambiguous):
        assert labelled.min() >= labels.confidence[labels.ambiguous].max() - 1e-6
    assert all(torch.equal(before[space], features[space]) for space in features)
