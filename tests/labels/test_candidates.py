"""First candidates: the best of one pool after another."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drfm.labels import candidates
from drfm.labels.sweep import EMPTY


def empty_lists(count, width):
    return np.full((count, width), EMPTY, np.int32), np.full((count, width), -np.inf, np.float32)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=3),
    st.integers(1, candidates.PEAKS + 6),
    st.integers(1, 40),
    st.integers(0, 99),
)
def test_the_best_of_several_pools_are_kept(sizes, width, levels, seed):
    random = np.random.default_rng(seed)
    index, best = empty_lists(3, width)
    target = np.array([2, 0])
    every = []
    for size in sizes:
        bounds = random.integers(-levels, levels, (2, size)).astype(np.float32)
        pool = np.arange(size, dtype=np.int32) + 1000 * len(every)
        candidates.choose(bounds, target, pool, index, best)
        every.append(bounds)
    for a, t in enumerate(target):
        wanted = np.sort(np.concatenate([bounds[a] for bounds in every]))[::-1][:width]
        np.testing.assert_array_equal(best[t, : len(wanted)], wanted)
        assert (best[t, len(wanted) :] == -np.inf).all()
        held = index[t, : len(wanted)]
        assert len(set(held.tolist())) == len(held)
        for row, value in zip(held, best[t], strict=False):
            assert every[row // 1000][a, row % 1000] == value
    assert (index[1] == EMPTY).all()


@pytest.mark.parametrize("size", [1, 63, 64, 65, 128, 300])
@pytest.mark.parametrize("width", [1, 24, 64, 65])
def test_the_number_that_spares_insertions_is_reached_by_enough_values(size, width):
    values = np.random.default_rng(size + width).standard_normal(size).astype(np.float32)
    least = candidates._rank_of_peaks(values, width, np.empty(candidates.PEAKS, np.float32))
    if size < candidates.PEAKS or width > candidates.PEAKS:
        assert least == -np.inf
    else:
        assert (values >= least).sum() >= width
