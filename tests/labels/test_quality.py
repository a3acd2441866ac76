"""Scores of pseudo-labels against loops over all pairs, and against scikit-learn."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from drfm.data.records import HR, LR, UNKNOWN
from drfm.errors import DrfmError
from drfm.labels.quality import label_quality


def naive(labels, persons, origin, prefix, pairs):
    right = claimed = true = 0
    rows = [i for i in range(len(labels)) if persons[i] >= 0 and (pairs == "all" or labels[i] >= 0)]
    for i, j in itertools.combinations(rows, 2):
        same_origin = origin[i] == origin[j]
        if (prefix == "same_" and not same_origin) or (prefix == "cross_" and same_origin):
            continue
        label, person = labels[i] == labels[j] and labels[i] >= 0, persons[i] == persons[j]
        right, claimed, true = right + (label and person), claimed + label, true + person
    precision, recall = right / claimed if claimed else 0, right / true if true else 0
    return precision, recall, 2 * precision * recall / (precision + recall) if right else 0


def naive_bcubed(labels, persons):
    precision, recall = [], []
    for i in range(len(labels)):
        mates = [j for j in range(len(labels)) if labels[j] == labels[i]]
        fellows = [j for j in range(len(labels)) if persons[j] == persons[i]]
        both = len(set(mates) & set(fellows))
        precision.append(both / len(mates))
        recall.append(both / len(fellows))
    return np.mean(precision), np.mean(recall)


image = st.tuples(
    st.integers(-1, 3), st.integers(-3, 3).filter(lambda p: p not in (-1, -2)), st.sampled_from([HR, LR])
)


@settings(deadline=None, max_examples=60)
@given(st.lists(image, max_size=14), st.sampled_from(["all", "labelled"]))
def test_scores_equal_loops_over_pairs(images, pairs):
    labels, persons, origin = (np.array([i[k] for i in images], dtype=np.int64) for k in range(3))
    scores = label_quality(labels, persons, origin.astype(np.int8), pairs=pairs)
    for prefix in ("", "same_", "cross_"):
        expected = naive(labels, persons, origin, prefix, pairs)
        found = [scores[prefix + name] for name in ("precision", "recall", "f")]
        assert found == pytest.approx(expected)
    assert all(np.isfinite(list(scores.values())))


def drawn(count, clusters, people, seed=0):
    random = np.random.default_rng(seed)
    persons = random.integers(0, people, count)
    labels = np.where(random.random(count) < 0.5, persons, random.integers(0, clusters, count))
    return labels, persons, random.integers(0, 2, count).astype(np.int8)


@pytest.mark.parametrize(("clusters", "people"), [(7, 9), (1, 5), (60, 2), (1, 1)])
def test_partition_scores_equal_scikit_learn(clusters, people):
    labels, persons, origin = drawn(60, clusters, people)
    scores = label_quality(labels, persons, origin)
    assert scores["nmi"] == pytest.approx(metrics.normalized_mutual_info_score(persons, labels), abs=1e-9)
    assert scores["ami"] == pytest.approx(metrics.adjusted_mutual_info_score(persons, labels), abs=1e-9)
    assert scores["ari"] == pytest.approx(metrics.adjusted_rand_score(persons, labels), abs=1e-9)
    precision, recall = naive_bcubed(labels, persons)
    assert scores["bcubed_precision"] == pytest.approx(precision)
    assert scores["bcubed_recall"] == pytest.approx(recall)


def test_perfect_labels():
    labels, origin = np.array([0, 0, 1, 1]), np.array([HR, LR, HR, LR], dtype=np.int8)
    scores = label_quality(labels, labels + 5, origin)
    for name in ("precision", "recall", "f", "cross_f", "nmi", "ari", "ami", "bcubed_f"):
        assert scores[name] == pytest.approx(1.0)
    assert scores["same_f"] == 0.0, "there are no pairs of one origin"


def test_outliers_cost_recall_or_leave():
    labels, persons = np.array([0, 0, -1, -1]), np.array([1, 1, 1, 1])
    origin = np.array([HR, HR, LR, LR], dtype=np.int8)
    assert label_quality(labels, persons, origin)["recall"] == pytest.approx(1 / 6)
    assert label_quality(labels, persons, origin, pairs="labelled")["recall"] == 1.0


def test_coverage_by_origin_leaves_out_the_unknown():
    labels, persons = np.array([0, -1, 0, 0, -1]), np.array([1, 1, 1, UNKNOWN, 2])
    scores = label_quality(labels, persons, np.array([HR, HR, LR, LR, LR], dtype=np.int8))
    assert (scores["coverage"], scores["coverage_hr"], scores["coverage_lr"]) == (0.5, 0.5, 0.5)
    assert (scores["clusters"], scores["persons"]) == (1.0, 2.0)


@pytest.mark.parametrize("labels", [[], [-1, -1], [0, 1]])
def test_degenerate(labels):
    labels = np.array(labels, dtype=np.int64)
    persons = np.full(len(labels), UNKNOWN)
    scores = label_quality(labels, persons, np.zeros(len(labels), dtype=np.int8))
    assert set(scores.values()) == {0.0}


def test_inputs_are_left_alone():
    labels, persons, origin = np.array([0, -1]), np.array([1, 1]), np.array([HR, LR], dtype=np.int8)
    label_quality(labels, persons, origin)
    assert labels.tolist() == [0, -1]


def test_lengths_must_agree():
    with pytest.raises(DrfmError, match="2 labels, 1 persons"):
        label_quality(np.zeros(2, dtype=np.int64), np.zeros(1, dtype=np.int64), np.zeros(2, dtype=np.int8))
