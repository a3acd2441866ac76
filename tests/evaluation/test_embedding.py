"""The map of the feature space."""

import re

import numpy as np
import pytest

from drfm.evaluation.embedding import embedding_map, on_the_map, project


def clouds(count=3, each=12):
    random = np.random.default_rng(0)
    rows = np.repeat(np.eye(count, 8), each, axis=0) + random.normal(0, 0.02, (count * each, 8))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_alike_images_lie_together_and_a_seed_repeats_the_map():
    rows = clouds()
    places = project(rows, seed=1)
    np.testing.assert_array_equal(places, project(rows, seed=1))
    assert places.shape == (36, 2)
    assert places.min() == 0
    assert places.max() == 1
    assert places[:, 0].max() == 1
    group = np.repeat(np.arange(3), 12)
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (group[apart.argmin(1)] == group).all()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("dimension", [1, 2, 8])
def test_a_few_images_have_places_too(count, dimension):
    rows = np.random.default_rng(0).normal(size=(count, dimension)).astype(np.float32)
    places = project(rows)
    assert places.shape == (count, 2)
    assert np.isfinite(places).all()
    assert 0 <= places.min() <= places.max() <= 1


def test_equal_images_lie_in_one_place():
    assert not np.ptp(project(np.ones((9, 3), np.float32)), axis=0).any()


def test_whole_persons_are_shown():
    persons = np.arange(100) // 7
    rows = on_the_map(persons, most=30, seed=2)
    assert len(rows) <= 30
    for person in np.unique(persons[rows]):
        assert (persons[rows] == person).sum() == (persons == person).sum()
    np.testing.assert_array_equal(on_the_map(persons), np.arange(100))
    unknown = on_the_map(np.full(100, -1), most=30)
    assert len(np.unique(unknown)) == 30
    assert len(on_the_map(np.zeros(100, int), most=30)) == 30


def test_the_map_has_a_switch_for_each_colouring_and_a_ring_for_blurry_images():
    html = embedding_map(
        np.array([[0, 0], [1, 0.5]]),
        {"person": ["p1", "p<2"], "camera": ["c1", "c1"]},
        [True, False],
        ["tip & one", "two"],
    )
    assert html.count('type="radio"') == 2
    assert html.count(" checked") == 1
    assert html.count('class="ring"') == 1
    assert "tip &amp; one" in html
    assert "p&lt;2" in html
    first, second = re.findall(r'style="--m0:([^;]+);--m1:([^"]+)"', html)
    assert first[0] != second[0]
    assert first[1] == second[1]


def test_many_classes_have_colours_of_their_own():
    names = [f"person {number}" for number in range(40)]
    html = embedding_map(np.random.default_rng(0).random((40, 2)), {"person": names}, [False] * 40, names)
    assert len(set(re.findall('--m0:([^;"]+)', html))) == 40
    assert "40 colours" in html
