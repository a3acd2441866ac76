"""Success by native height."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import brentq

from drfm.evaluation.heights import by_height, height_panel, wilson
from drfm.evaluation.ranking import Ranking


def ranking(first, valid=None):
    first = np.asarray(first)
    matches = np.ones(len(first), int) if valid is None else np.asarray(valid, int)
    zeros = np.zeros(len(first))
    return Ranking(
        matches, first, 1 / np.maximum(first, 1), zeros, zeros[:, None], zeros[:, None], zeros, 9, 3
    )


def test_groups_by_hand():
    groups = by_height(ranking([1, 2, 1, 1, 4, 0], [1, 1, 1, 1, 1, 0]), [10, 10, 30, 40, 20, 99], groups=2)
    assert [(g.low, g.high, g.queries) for g in groups] == [(10, 20, 3), (30, 40, 2)]
    assert groups[0].rank1 == pytest.approx(1 / 3)
    assert groups[0].precision == pytest.approx((1 + 0.5 + 0.25) / 3)
    assert groups[1].rank1 == 1
    assert groups[1].middle == 35
    panel = height_panel(groups, chance=0.1)
    assert [y for _, y in panel.lines[0].points] == [g.rank1 for g in groups]
    assert panel.levels == [("chance", 0.1)]


def test_queries_of_one_height_are_one_group():
    (group,) = by_height(ranking([1, 3, 1, 1]), [24] * 4)
    assert (group.low, group.high, group.queries, group.rank1) == (24, 24, 4, 0.75)


def test_every_query_is_in_one_group_and_heights_do_not_mix():
    random = np.random.default_rng(0)
    heights = random.integers(10, 40, 200)
    groups = by_height(ranking(random.integers(1, 5, 200)), heights)
    assert sum(group.queries for group in groups) == 200
    assert all(before.high < after.low for before, after in pairwise(groups))
    assert len(groups) == 5


@pytest.mark.parametrize(("right", "total"), [(3, 10), (0, 5), (5, 5), (40, 55)])
def test_the_interval_holds_the_shares_that_a_score_test_keeps(right, total):
    low, high = wilson(right, total)
    share, z = right / total, 1.959964
    for end, inner, outer in ((low, share, 0.0), (high, share, 1.0)):
        if 0 < end < 1:
            inner += 1e-6 * (outer - inner)  # a share of 0 or 1 is a root of its own
            found = brentq(lambda p: (share - p) ** 2 - z**2 * p * (1 - p) / total, *sorted((inner, outer)))
            assert end == pytest.approx(found, abs=1e-6)
    assert 0 <= low <= share <= high <= 1
