import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drfm.errors import DrfmError
from drfm.video.tracking import NONE, IouTracker, make_tracker, overlaps


def at(*corners):
    return np.array([(x, y, x + 20, y + 50) for x, y in corners], np.float64).reshape(-1, 4)


def follow(tracker, frames):
    return [tracker.update(boxes, np.ones(len(boxes))).tolist() for boxes in frames]


def test_overlaps_equal_a_loop():
    rng = np.random.default_rng(0)
    first, second = (np.cumsum(rng.uniform(0, 10, (n, 2, 2)), axis=1).reshape(n, 4) for n in (5, 7))
    for i, (a, b, c, d) in enumerate(first):
        for j, (e, f, g, h) in enumerate(second):
            common = max(0.0, min(c, g) - max(a, e)) * max(0.0, min(d, h) - max(b, f))
            expected = common / ((c - a) * (d - b) + (g - e) * (h - f) - common)
            assert overlaps(first, second)[i, j] == pytest.approx(expected)


def test_overlaps_of_nothing():
    assert overlaps(np.zeros((0, 4)), at((0, 0))).shape == (0, 1)
    assert overlaps(np.zeros((1, 4)), np.zeros((1, 4))).tolist() == [[0.0]]


def test_who_stands_keeps_the_id_and_a_newcomer_gets_the_next():
    frames = [at((0, 0)), at((0, 0), (100, 0)), at((101, 0), (1, 0))]
    assert follow(IouTracker(5), frames) == [[1], [1, 2], [2, 1]]


def test_no_boxes_at_all():
    tracker = IouTracker(5)
    assert follow(tracker, [at(), at(), at((3, 3)), at()]) == [[], [], [1], []]


def test_a_gap_is_bridged_while_patience_lasts_and_no_longer():
    for gap, expected in ((5, 1), (6, 2)):
        assert follow(IouTracker(5), [at((0, 0)), *[at()] * gap, at((0, 0))])[-1] == [expected]


def test_a_walker_is_found_behind_a_pillar():
    steps = [at((8 * t, 0)) for t in range(30)]
    hidden = [at() if 10 <= t < 15 else step for t, step in enumerate(steps)]
    assert {one for ids in follow(IouTracker(10), hidden) for one in ids} == {1}


def test_two_who_pass_each_other_keep_their_ids():
    frames = [at((6 * t, 0), (180 - 6 * t, 12)) for t in range(31)]
    assert {tuple(ids) for ids in follow(IouTracker(10), frames)} == {(1, 2)}


def test_a_jump_is_another_track():
    assert follow(IouTracker(5), [at((0, 0)), at((300, 0))]) == [[1], [2]]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 120), st.integers(0, 60)), max_size=5, unique=True),
        min_size=1,
        max_size=8,
    )
)
def test_ids_are_unique_in_a_frame_and_start_without_holes(frames):
    ids = follow(IouTracker(3), [at(*corners) for corners in frames])
    assert all(len(set(one)) == len(one) and NONE not in one for one in ids)
    flat = {one for frame in ids for one in frame}
    assert flat == set(range(1, len(flat) + 1))


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(6)), st.integers(0, 3))
def test_the_order_of_boxes_does_not_matter(order, speed):
    frames = [at(*[(60 * n + speed * t, 3 * n) for n in range(6)]) for t in range(5)]
    plain = follow(IouTracker(3), frames)
    mixed = follow(IouTracker(3), [frames[0], *[boxes[list(order)] for boxes in frames[1:]]])
    assert all([ids[n] for n in order] == other for ids, other in zip(plain[1:], mixed[1:], strict=True))


def test_bytetrack_of_the_library():
    pytest.importorskip("trackers", exc_type=ImportError)
    tracker = make_tracker("bytetrack", 10)
    frames = [at((4 * t, 0), (200 - 4 * t, 100)) for t in range(10)]
    ids = follow(tracker, frames)
    assert ids[0] == [NONE, NONE]
    assert {tuple(sorted(one)) for one in ids[1:]} == {(1, 2)}
    assert len({tuple(one) for one in ids[1:]}) == 1
    assert tracker.update(at(), np.ones(0)).tolist() == []


def test_bytetrack_without_its_library_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "supervision", None)
    with pytest.raises(DrfmError, match=r"drfm\[tracks\]"):
        make_tracker("bytetrack", 10)
