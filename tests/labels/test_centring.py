"""Rows about a centre keep their similarities."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from made_rows import clustered, unit

from drfm.labels import centring
from drfm.labels.similarity import similarity, similarity_before


@pytest.mark.parametrize("centre", ["mean", "zero", "a row", "anything"])
def test_a_similarity_is_the_sum_of_four_terms_for_any_centre(centre):
    rows = clustered(60, 40)
    given = {
        "mean": centring.mean_of(rows),
        "zero": np.zeros(40, np.float32),
        "a row": rows[7],
        "anything": np.random.default_rng(1).standard_normal(40).astype(np.float32),
    }[centre]
    seen = centring.about(rows, given)
    difference = seen.part(slice(None)).astype(np.float64)
    offset = seen.offset.astype(np.float64)
    sums = difference @ difference.T + offset[:, None] + offset + seen.shift
    exact = rows.astype(np.float64) @ rows.astype(np.float64).T
    np.testing.assert_allclose(sums, exact, rtol=0, atol=8e-7 * (1 + seen.reach**2 + seen.lift))
    assert (np.linalg.norm(difference, axis=1) <= seen.reach).all()
    assert np.abs(offset).max() == pytest.approx(seen.lift)


def test_the_mean_is_that_of_evenly_spaced_rows(monkeypatch):
    monkeypatch.setattr(centring, "SAMPLE", 4)
    rows = unit(np.random.default_rng(0).standard_normal((9, 5)))
    np.testing.assert_allclose(centring.mean_of(rows), rows[[0, 2, 4, 6]].mean(axis=0), rtol=1e-6)


def test_equal_rows_and_no_rows_can_be_divided_by_their_reach():
    same = unit(np.ones((5, 16)))
    seen = centring.about(same, centring.mean_of(same))
    assert 0 < seen.reach < 1e-6
    none = centring.about(same[:0], same[0])
    assert none.reach > 0
    assert none.lift == 0


@pytest.mark.parametrize("size", [1, 16, 33, 100])
def test_asking_for_the_next_row_changes_nothing(size):
    rows = unit(np.random.default_rng(size).standard_normal((5, size)))
    for ahead in rows:
        assert similarity_before(rows[0], rows[1], ahead) == similarity(rows[0], rows[1])
