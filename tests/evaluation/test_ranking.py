import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drfm.data.records import DISTRACTOR, JUNK, UNKNOWN
from drfm.errors import DrfmError
from drfm.evaluation.metrics import exact, multi_shot, multi_shot_chance, single_shot, single_shot_chance
from drfm.evaluation.ranking import Labels, rank, similarity_blocks

KS = (1, 5, 10, 20)


def order(similarity, match):
    """Gallery from best to worst, non-matches first among ties."""
    return sorted(range(len(similarity)), key=lambda j: (-similarity[j], match[j]))


def oracle(similarity, query, gallery):
    """Per query: (ranks of the matches) by sorting, or [] where there is none."""
    found = []
    for q, row in enumerate(similarity):
        keep = []
        for j in range(len(row)):
            same = gallery.persons[j] == query.persons[q]
            camera = gallery.cameras[j] == query.cameras[q] and query.cameras[q] >= 0
            if gallery.persons[j] in (JUNK, UNKNOWN) or (same and camera):
                continue
            keep.append(j)
        match = [gallery.persons[j] == query.persons[q] and query.persons[q] >= 0 for j in keep]
        ranked = order(row[keep], match)
        found.append([r + 1 for r, j in enumerate(ranked) if match[j]])
    return found


def scores(found):
    valid = [ranks for ranks in found if ranks]
    values = {f"rank{k}": np.mean([ranks[0] <= k for ranks in valid]) for k in KS}
    values["map"] = np.mean([np.mean([(i + 1) / r for i, r in enumerate(ranks)]) for ranks in valid])
    values["minp"] = np.mean([len(ranks) / ranks[-1] for ranks in valid])
    return values


def enumerate_galleries(similarity, query, gallery):
    """Exact single-shot scores by going through every gallery of one permitted image a person."""
    sums, valid = {**{f"rank{k}": 0.0 for k in KS}, "map": 0.0}, 0
    for q, row in enumerate(similarity):
        choices, own = [], None
        for person in sorted(set(gallery.persons[gallery.persons >= 0])):
            images = [j for j in range(len(row)) if gallery.persons[j] == person]
            if person == query.persons[q]:
                images = [j for j in images if gallery.cameras[j] != query.cameras[q] or query.cameras[q] < 0]
                own = len(choices)
            choices.append(images)
        if own is None or not choices[own]:
            continue
        valid += 1
        ranks = []
        for drawn in itertools.product(*choices):
            limit = row[drawn[own]]
            ranks.append(1 + sum(row[j] >= limit for i, j in enumerate(drawn) if i != own))
        for k in KS:
            sums[f"rank{k}"] += np.mean(np.array(ranks) <= k)
        sums["map"] += np.mean(1 / np.array(ranks))
    return {name: value / valid for name, value in sums.items()}


def block(similarity):
    return [np.array(similarity, dtype=np.float32)]


@st.composite
def cases(draw, most=14, lowest=-3):
    """Similarities with many ties, and labels with junk, distractors and unknown cameras."""
    queries, images = draw(st.integers(1, 5)), draw(st.integers(2, most))
    grid = st.integers(0, draw(st.integers(0, 6)))
    similarity = np.array(
        draw(st.lists(st.lists(grid, min_size=images, max_size=images), min_size=queries, max_size=queries)),
        dtype=np.float32,
    )
    person, camera = st.integers(lowest, 3), st.integers(-1, 2)

    def labels(count):
        return Labels(
            np.array(draw(st.lists(person, min_size=count, max_size=count)), dtype=np.int64),
            np.array(draw(st.lists(camera, min_size=count, max_size=count)), dtype=np.int64),
        )

    return similarity / 8, labels(queries), labels(images)


@settings(max_examples=150, deadline=None)
@given(cases())
def test_equals_the_sorted_oracle(case):
    similarity, query, gallery = case
    found = oracle(similarity, query, gallery)
    if not any(found):
        with pytest.raises(DrfmError):
            rank(block(similarity), query, gallery)
        return
    ranking = rank(block(similarity), query, gallery)
    assert ranking.matches.tolist() == [len(ranks) for ranks in found]
    assert ranking.first.tolist() == [ranks[0] if ranks else 0 for ranks in found]
    got, wanted = multi_shot(ranking), scores(found)
    assert got == pytest.approx(wanted, abs=1e-12)


@settings(max_examples=80, deadline=None)
@given(cases(most=9))
def test_expectation_equals_every_gallery(case):
    similarity, query, gallery = case
    if not any(oracle(similarity, query, gallery)):
        return
    ranking = rank(block(similarity), query, gallery, expectation=True)
    assert exact(ranking) == pytest.approx(enumerate_galleries(similarity, query, gallery), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(cases(), st.randoms(use_true_random=False))
def test_order_of_images_does_not_matter(case, random):
    similarity, query, gallery = case
    if not any(oracle(similarity, query, gallery)):
        return
    first = rank(block(similarity), query, gallery, expectation=True)
    rows, columns = list(range(len(query))), list(range(len(gallery)))
    random.shuffle(rows)
    random.shuffle(columns)
    second = rank(
        block(similarity[rows][:, columns]),
        Labels(query.persons[rows], query.cameras[rows]),
        Labels(gallery.persons[columns], gallery.cameras[columns]),
        expectation=True,
    )
    assert second.first.tolist() == first.first[rows].tolist()
    np.testing.assert_allclose(second.precision, first.precision[rows], atol=1e-12)
    np.testing.assert_allclose(second.cmc, first.cmc[rows], atol=1e-12)
    np.testing.assert_allclose(second.reciprocal, first.reciprocal[rows], atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_scores_are_ordered_and_in_range(case):
    similarity, query, gallery = case
    if not any(oracle(similarity, query, gallery)):
        return
    ranking = rank(block(similarity), query, gallery, draws=3, expectation=True)
    for found in (multi_shot(ranking), exact(ranking), single_shot(ranking)[0]):
        curve = [found[f"rank{k}"] for k in KS]
        assert curve == sorted(curve)
        assert all(-1e-12 <= value <= 1 + 1e-12 for value in found.values())
    assert (np.diff(ranking.cmc, axis=1) >= -1e-12).all()


def random_case(seed=0, queries=40, images=200, persons=12, cameras=4):
    random = np.random.default_rng(seed)
    similarity = random.integers(-20, 20, (queries, images)).astype(np.float32) / 32
    query = Labels(random.integers(0, persons, queries), random.integers(0, cameras, queries))
    gallery = Labels(random.integers(-3, persons, images), random.integers(0, cameras, images))
    similarity += (query.persons[:, None] == gallery.persons[None]) * np.float32(0.5)
    return similarity, query, gallery


@pytest.mark.parametrize("draw", ["shared", "per_query"])
def test_draws_have_the_exact_expectation(draw):
    similarity, query, gallery = random_case()
    ranking = rank(block(similarity), query, gallery, draws=4000, draw=draw, expectation=True)
    mean, std = single_shot(ranking)
    wanted = exact(ranking)
    assert 0.2 < wanted["rank1"] < 0.95
    for name, value in wanted.items():
        assert mean[name] == pytest.approx(value, abs=5 * std[name] / 4000**0.5 + 1e-12)
    shares = (ranking.draws[ranking.valid] <= 1).mean(axis=1)
    assert np.abs(shares - ranking.cmc[ranking.valid, 0]).max() < 0.05


def test_shared_galleries_are_shared_and_redrawn_ones_are_not():
    similarity, query, gallery = random_case()
    similarity[:] = similarity[0]
    query = Labels(np.zeros(len(query), np.int64), np.full(len(query), -1))
    shared = rank(block(similarity), query, gallery, draws=30, seed=3)
    redrawn = rank(block(similarity), query, gallery, draws=30, draw="per_query", seed=3)
    assert (shared.draws == shared.draws[0]).all()
    assert not (redrawn.draws == redrawn.draws[0]).all()


@pytest.mark.parametrize("draw", ["shared", "per_query"])
def test_draws_follow_the_seed_and_not_the_blocks(draw):
    similarity, query, gallery = random_case()
    whole = rank(block(similarity), query, gallery, draws=5, draw=draw, seed=7)
    parts = rank(
        [block(similarity[:3])[0], block(similarity[3:])[0]], query, gallery, draws=5, draw=draw, seed=7
    )
    other = rank(block(similarity), query, gallery, draws=5, draw=draw, seed=8)
    np.testing.assert_array_equal(whole.draws, parts.draws)
    assert not np.array_equal(whole.draws, other.draws)


def test_draws_leave_out_the_query_camera():
    query = Labels(np.array([0]), np.array([1]))
    gallery = Labels(np.array([0, 0, 1]), np.array([1, 2, 1]))
    ranking = rank(block([[0.9, 0.1, 0.5]]), query, gallery, draws=50, expectation=True)
    assert (ranking.draws == 2).all()
    assert ranking.cmc[0, :2].tolist() == [0.0, 1.0]
    free = rank(block([[0.9, 0.1, 0.5]]), query, gallery, draws=50, same_camera=False, expectation=True)
    assert set(free.draws.ravel()) == {1, 2}
    assert free.cmc[0, 0] == 0.5


@pytest.mark.parametrize("gain", [0.0, 0.3, 0.8, 3.0])
def test_many_persons_keep_the_expectation_exact(gain):
    """From matches behind nearly all persons to matches before all of them."""
    random = np.random.default_rng(2)
    persons = np.repeat(np.arange(300), 3)
    gallery = Labels(persons, np.full(900, -1))
    similarity = random.random((1, 900)).astype(np.float32)
    similarity[0, :3] += np.float32(gain) * np.arange(3, dtype=np.float32) / 2
    one = Labels(np.array([0]), np.array([-1]))
    ranking = rank(block(similarity), one, gallery, expectation=True)
    reciprocal, cmc = 0.0, np.zeros(20)
    for g in range(3):
        shares = (similarity[0].reshape(300, 3)[1:] >= similarity[0, g]).mean(axis=1)
        pdf = np.ones(1)
        for share in shares:
            pdf = np.convolve(pdf, [1 - share, share])
        reciprocal += (pdf / np.arange(1, len(pdf) + 1)).sum() / 3
        cmc += np.cumsum(pdf)[:20] / 3
    assert ranking.reciprocal[0] == pytest.approx(reciprocal, abs=1e-13)
    np.testing.assert_allclose(ranking.cmc[0], cmc, atol=1e-13)


def test_ties_count_against_the_method():
    query = Labels(np.array([0, 1]), np.array([-1, -1]))
    gallery = Labels(np.array([0, 0, 1, 2, 3]), np.full(5, -1))
    ranking = rank(block(np.zeros((2, 5))), query, gallery, draws=4, expectation=True)
    assert ranking.first.tolist() == [4, 5]
    assert (ranking.draws == 4).all()
    assert ranking.cmc[0, :4].tolist() == [0, 0, 0, 1]
    assert ranking.reciprocal == pytest.approx([0.25, 0.25])


def test_distractors_stand_in_the_multi_shot_ranking_alone():
    query = Labels(np.array([0]), np.array([0]))
    gallery = Labels(np.array([0, DISTRACTOR, JUNK, UNKNOWN]), np.array([1, 1, 1, 1]))
    ranking = rank(block([[0.1, 0.9, 0.9, 0.9]]), query, gallery, draws=2, expectation=True)
    assert ranking.first.tolist() == [2]
    assert (ranking.draws == 1).all()
    assert (ranking.images, ranking.persons) == (2, 1)


def test_one_gallery_image_of_one_person():
    ranking = rank(block([[0.0]]), Labels(np.array([4]), np.array([0])), Labels(np.array([4]), np.array([1])),
                   draws=1, expectation=True)  # fmt: skip
    assert multi_shot(ranking) == {"rank1": 1, "rank5": 1, "rank10": 1, "rank20": 1, "map": 1, "minp": 1}
    assert exact(ranking)["map"] == pytest.approx(1)
    assert single_shot(ranking)[1]["rank1"] == 0


def test_features_and_threads_and_blocks_agree():
    random = torch.Generator().manual_seed(0)
    q, g = torch.randn(70, 16, generator=random), torch.randn(130, 16, generator=random)
    query = Labels(np.arange(70) % 10, np.zeros(70, np.int64))
    gallery = Labels(np.arange(130) % 13, np.ones(130, np.int64))
    whole = rank(similarity_blocks(q, g), query, gallery)
    parts = rank(similarity_blocks(q, g, block=9), query, gallery)
    assert multi_shot(whole) == pytest.approx(multi_shot(parts), abs=1e-6)
    found = oracle((q @ g.T).numpy(), query, gallery)
    assert multi_shot(whole) == pytest.approx(scores(found), abs=1e-6)


def test_no_match_and_no_person_and_nan_are_refused():
    one = Labels(np.array([0]), np.array([0]))
    with pytest.raises(DrfmError, match="none of the 1 queries has a match"):
        rank(block([[0.5]]), one, one)
    with pytest.raises(DrfmError, match="no gallery image has a person"):
        rank(block([[0.5]]), one, Labels(np.array([DISTRACTOR]), np.array([1])))
    with pytest.raises(DrfmError, match="not finite"):
        rank(block([[np.nan]]), one, Labels(np.array([0]), np.array([1])))
    with pytest.raises(DrfmError, match="2 persons but 1 cameras"):
        Labels(np.array([0, 1]), np.array([0]))


def test_chance_is_what_random_similarities_give():
    random = np.random.default_rng(0)
    persons = np.repeat(np.arange(10), 4)
    query = Labels(np.repeat(np.arange(10), 100), np.full(1000, -1))
    ranking = rank([random.random((1000, 40)).astype(np.float32)], query, Labels(persons, np.full(40, -1)),
                   expectation=True)  # fmt: skip
    chance, found = single_shot_chance(ranking.persons), exact(ranking)
    for name, value in chance.items():
        assert found[name] == pytest.approx(value, abs=0.03)
    found = multi_shot(ranking)
    for name, value in multi_shot_chance(ranking).items():
        assert found[name] == pytest.approx(value, abs=0.02)
