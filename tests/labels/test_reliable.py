"""SpCL's criterion against sets, written out."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drfm.labels.reliable import reliable


def members(labels, i):
    return {j for j in range(len(labels)) if labels[j] == labels[i] and labels[i] >= 0} | {i}


def change(one, other, i):
    a, b = members(one, i), members(other, i)
    return 1 - len(a & b) / len(a | b)


def by_sets(labels, tight, loose, limit, share):
    """The clusters that are kept, as a set of sets of images."""
    clusters = [[i for i in range(len(labels)) if labels[i] == k] for k in sorted(set(labels) - {-1})]
    independence = [min(change(labels, loose, i) for i in mine) for mine in clusters]
    if limit is None:
        several = sorted(v for v, mine in zip(independence, clusters, strict=True) if len(mine) > 1)
        if several:
            limit = several[min(len(several) - 1, round(share * len(several)))]
    kept = set()
    for mine, own in zip(clusters, independence, strict=True):
        best = min(change(labels, tight, i) for i in mine)
        if limit is None or own <= limit:
            kept.add(frozenset(i for i in mine if change(labels, tight, i) <= best))
    return kept, limit


def as_sets(labels):
    return {frozenset(np.flatnonzero(labels == k).tolist()) for k in set(labels.tolist()) - {-1}}


def dense(labels):
    """Labels without gaps in their numbers."""
    labels = np.array(labels)
    labels[labels >= 0] = np.unique(labels[labels >= 0], return_inverse=True)[1]
    return labels


triples = st.integers(1, 12).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(-1, 4), min_size=n, max_size=n).map(dense) for _ in range(3)])
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(triples, st.sampled_from([None, 0.0, 0.4, 1.0]), st.sampled_from([0.0, 0.5, 0.9, 1.0]))
def test_it_is_the_criterion_on_sets(labels, limit, share):
    found, found_limit = reliable(*labels, limit, share)
    expected, expected_limit = by_sets(*(part.tolist() for part in labels), limit, share)
    assert as_sets(found) == expected
    assert found_limit == expected_limit
    assert sorted(set(found.tolist()) - {-1}) == list(range(len(expected)))


def test_a_cluster_that_grows_is_dissolved_and_one_that_crumbles_keeps_its_heart():
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2, -1])
    tight = np.array([0, 0, 0, -1, 1, 1, 2, 2, -1])  # image 3 leaves cluster 0
    loose = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1])  # clusters 1 and 2 and an outlier merge
    found, _ = reliable(labels, tight, loose, 0.3)
    assert found.tolist() == [0, 0, 0, -1, -1, -1, -1, -1, -1]


def test_the_limit_is_that_of_the_nearest_place_in_the_order():
    """Of twelve clusters that grow by one image more each, place 10.8 is the last, not the one before."""
    loose = np.repeat(np.arange(12), 2 + np.arange(12))
    first = np.concatenate([[True], np.diff(loose) > 0])
    labels = np.where(first | np.concatenate([[False], first[:-1]]), loose, -1)
    found, limit = reliable(labels, labels, loose, None)
    assert limit == pytest.approx(1 - 2 / 13)
    assert len(set(found.tolist()) - {-1}) == 12
    assert reliable(labels, labels, loose, None, 0.79)[1] == pytest.approx(1 - 2 / 11)  # place 9.48


def test_without_clusters_there_is_no_limit_yet():
    nothing = np.full(4, -1)
    found, limit = reliable(nothing, nothing, np.zeros(4, dtype=np.int64), None)
    assert found.tolist() == [-1] * 4
    assert limit is None
    assert reliable(nothing, nothing, nothing, 0.5)[1] == 0.5


@pytest.mark.parametrize("count", [0, 1])
def test_very_few_images(count):
    labels = np.zeros(count, dtype=np.int64)
    assert reliable(labels, labels, labels, None)[0].tolist() == [0] * count
