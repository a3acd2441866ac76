"""Samplers: the rules of the random multiple gallery sampler, and small data that must not stop them."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drfm.config import SamplerConfig
from drfm.data.records import HR, LR
from drfm.errors import DrfmError
from drfm.learning.samplers import (
    _camera_pass,
    _gallery_pass,
    _split,
    ambiguous_batches,
    labelled_batches,
    random_batches,
)


def take(stream, number):
    return list(itertools.islice(stream, number))


def batches(labels, origin, number, seed=0, **options):
    config = SamplerConfig(**{"batch": 8, "instances": 4, **options})
    stream = labelled_batches(
        np.array(labels), np.array(origin, dtype=np.int8), config, np.random.default_rng(seed)
    )
    return take(stream, number)


def crowd(classes=6, each=8):
    """Classes of equal size, half of each origin."""
    labels = np.repeat(np.arange(classes), each)
    return labels, np.tile([HR, LR], len(labels) // 2).astype(np.int8)


def test_gallery_pass_draws_partners_from_the_other_origin():
    labels, origin = crowd()
    rows = np.arange(len(labels))
    drawn = _gallery_pass(_split(rows, labels), origin, 4, np.random.default_rng(0))
    groups = drawn.reshape(-1, 4)
    assert sorted(labels[groups[:, 0]]) == list(range(6)), "every class once"
    for anchor, *others in groups:
        assert (labels[others] == labels[anchor]).all()
        assert (origin[others] != origin[anchor]).all()
        assert len(set(others)) == 3, "four rows of the other origin are enough to draw without replacement"


def test_gallery_pass_within_one_origin_leaves_the_anchor_out():
    labels, origin = np.zeros(6, dtype=np.int64), np.zeros(6, dtype=np.int8)
    for seed in range(20):
        drawn = _gallery_pass(_split(np.arange(6), labels), origin, 4, np.random.default_rng(seed))
        assert len(set(drawn)) == 4


@pytest.mark.parametrize("seed", range(5))
def test_gallery_pass_replaces_where_the_pool_is_small(seed):
    labels, origin = np.zeros(4, dtype=np.int64), np.array([HR, LR, LR, LR], dtype=np.int8)
    drawn = _gallery_pass(_split(np.arange(4), labels), origin, 4, np.random.default_rng(seed))
    assert len(drawn) == 4
    if origin[drawn[0]] == LR:
        assert drawn[1:].tolist() == [0, 0, 0]


def test_a_class_of_one_gives_its_anchor_alone():
    drawn = _gallery_pass(
        [np.array([3]), np.array([5, 6])], np.zeros(9, dtype=np.int8), 4, np.random.default_rng(0)
    )
    assert len(drawn) == 5
    assert (drawn == 3).sum() == 1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("members", "cameras"),
    [([0, 0, 1, 2, 2, 2], 3), ([0, 1, 2, 3, 4, 5], 4), ([0, 0], 1), ([3], 1), ([0, 1, 1], 2)],
)
def test_camera_pass_has_every_camera_and_exactly_k_of_each_class(members, cameras, seed):
    labels = np.repeat([0, 1], len(members))
    camera = np.array(members * 2)
    drawn = _camera_pass(_split(np.arange(len(labels)), labels), camera, 4, np.random.default_rng(seed))
    assert len(drawn) == 8
    for rows in np.split(drawn, 2):
        assert len(set(labels[rows])) == 1
        assert len(set(camera[rows])) == cameras
        if len(members) >= 4:
            assert len(set(rows)) == 4


def test_camera_pass_draws_all_rows_in_time():
    camera = np.arange(9) % 3
    random, classes = np.random.default_rng(0), _split(np.arange(9), np.zeros(9, dtype=np.int64))
    seen = np.concatenate([_camera_pass(classes, camera, 4, random) for _ in range(200)])
    share = np.bincount(seen, minlength=9) / len(seen)
    assert np.abs(share - 1 / 9).max() < 0.04


def test_batches_cut_the_pass_and_drop_the_rest():
    labels, origin = crowd(classes=5)
    for batch in batches(labels, origin, 10):
        assert len(set(labels[batch[:4]])) == len(set(labels[batch[4:]])) == 1
        assert labels[batch[0]] != labels[batch[4]], "two classes of one pass"


@pytest.mark.parametrize("kind", ["rmgs", "pk", "each_camera", "random"])
@pytest.mark.parametrize(
    ("labels", "origin"),
    [
        ([0], [HR]),
        ([0, 1, 2], [HR, HR, LR]),
        ([0, 0, 0, -1], [HR, LR, LR, LR]),
        ([-1, 7, 7, -1, 9], [LR, LR, HR, HR, HR]),
    ],
)
@pytest.mark.parametrize("origins", ["mixed", "balanced", "double"])
def test_small_data_still_fills_batches(kind, labels, origin, origins):
    labels = np.array(labels)
    for batch in batches(labels, origin, 5, kind=kind, origins=origins):
        assert len(batch) in (8, 16)
        assert (labels[batch] >= 0).all()


def test_pk_gives_exactly_k_of_each_class():
    labels = np.array([0, 1, 1, 2, 2, 2, 2, 2])
    for batch in batches(labels, [HR] * 8, 8, kind="pk"):
        first, second = batch.reshape(2, 4)
        assert len(set(labels[first])) == len(set(labels[second])) == 1


def test_random_goes_through_all_rows():
    labels, origin = crowd(classes=2)
    seen = np.concatenate(batches(labels, origin, 2, kind="random"))
    assert sorted(seen) == list(range(16))


def test_balanced_and_double_batches():
    labels, origin = crowd()
    for batch in batches(labels, origin, 4, origins="balanced"):
        assert origin[batch].tolist() == [HR] * 4 + [LR] * 4
    for batch in batches(labels, origin, 4, origins="double"):
        assert origin[batch].tolist() == [HR] * 8 + [LR] * 8


def test_balanced_with_one_origin_alone_is_a_full_batch():
    for batch in batches([0, 0, 1, 1, -1], [HR, HR, HR, HR, LR], 3, origins="balanced"):
        assert len(batch) == 8


def test_nothing_labelled():
    with pytest.raises(DrfmError, match="no pair has a pseudo-label"):
        batches([-1, -1], [HR, LR], 1)


@settings(deadline=None, max_examples=40)
@given(
    labels=st.lists(st.integers(-1, 4), min_size=1, max_size=30).filter(lambda y: max(y) >= 0),
    kind=st.sampled_from(["rmgs", "pk", "each_camera", "random"]),
    origins=st.sampled_from(["mixed", "balanced", "double"]),
    batch=st.integers(2, 12),
    seed=st.integers(0, 99),
)
def test_properties(labels, kind, origins, batch, seed):
    labels = np.array(labels)
    origin = np.random.default_rng(seed).integers(0, 2, len(labels))
    options = {"kind": kind, "origins": origins, "batch": batch, "instances": min(3, batch)}
    one, other = (batches(labels, origin, 6, seed=seed, **options) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True)), (
        "the generator decides everything"
    )
    both = len(set(origin[labels >= 0])) == 2
    size = 2 * batch if origins == "double" and both else batch
    assert all(len(rows) == size and rows.dtype == np.int64 and (labels[rows] >= 0).all() for rows in one)


def test_uniform_ambiguous_rows_come_once_per_round():
    rows = np.array([3, 5, 8, 9, 11, 20])
    drawn = take(
        ambiguous_batches(rows, np.zeros(30, dtype=np.int64), 4, "uniform", np.random.default_rng(0)), 3
    )
    stream = np.concatenate(drawn)
    assert sorted(stream[:6]) == sorted(stream[6:]) == rows.tolist()


def test_balanced_ambiguous_rows_visit_each_class():
    guess = np.array([0] * 20 + [1, 2])
    drawn = take(ambiguous_batches(np.arange(22), guess, 6, "balanced", np.random.default_rng(0)), 5)
    for batch in drawn:
        assert np.bincount(guess[batch]).tolist() == [2, 2, 2]


@pytest.mark.parametrize("sampling", ["uniform", "balanced"])
def test_few_or_no_ambiguous_rows(sampling):
    guess = np.zeros(5, dtype=np.int64)
    none = take(
        ambiguous_batches(np.empty(0, dtype=np.int64), guess, 4, sampling, np.random.default_rng(0)), 2
    )
    assert [len(batch) for batch in none] == [0, 0]
    one = take(ambiguous_batches(np.array([2]), guess, 4, sampling, np.random.default_rng(0)), 2)
    assert [batch.tolist() for batch in one] == [[2] * 4] * 2


def test_random_batches_are_full():
    assert [len(b) for b in take(random_batches(np.arange(3), 5, np.random.default_rng(0)), 4)] == [5] * 4
