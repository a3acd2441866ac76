import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drfm.config.schema import EvaluationConfig
from drfm.errors import DrfmError
from drfm.evaluation import Labels, evaluate
from drfm.evaluation.ranking import rank
from drfm.evaluation.rerank import reranked_blocks


def dense(query, gallery, k1, k2, weight):
    """Re-ranked distances by dense matrices and plain loops, from the definition of Zhong et al."""
    rows = torch.cat([query, gallery]).double()
    count = len(rows)
    distance = (2 - 2 * (rows @ rows.T)).numpy() ** 2
    distance /= np.where(distance.max(1) == 0, 1, distance.max(1))[:, None]
    similarity = (rows @ rows.T).to(torch.float32).numpy()
    nearest = np.stack([np.lexsort((np.arange(count), -similarity[i])) for i in range(count)])

    def mutual(i, k):
        return {j for j in nearest[i, : k + 1] if i in nearest[j, : k + 1]}

    value = np.zeros((count, count))
    for i in range(count):
        own = mutual(i, k1)
        grown = set(own)
        for j in own:
            other = mutual(j, int(np.around(k1 / 2)))
            if len(other & own) > 2 / 3 * len(other):
                grown |= other
        members = sorted(grown)
        value[i, members] = np.exp(-distance[i, members])
        value[i] /= value[i].sum()
    if k2 > 1:
        value = np.stack([value[nearest[i, :k2]].mean(0) for i in range(count)])
    final = np.zeros((len(query), len(gallery)))
    for q in range(len(query)):
        for g in range(len(gallery)):
            common = np.minimum(value[q], value[len(query) + g]).sum()
            final[q, g] = (1 - weight) * (1 - common / (2 - common)) + weight * distance[q, len(query) + g]
    return final


def unit(random, *shape):
    return torch.nn.functional.normalize(torch.from_numpy(random.normal(size=shape)).float(), dim=1)


def clumps(seed, queries, images, persons=4, noise=0.7):
    random = np.random.default_rng(seed)
    centre = unit(random, persons, 6)
    q, g = random.integers(0, persons, queries), random.integers(0, persons, images)
    sides = [
        torch.nn.functional.normalize(centre[p] + noise * unit(random, len(p), 6), dim=1) for p in (q, g)
    ]
    return sides[0], sides[1], q, g


def reranked(query, gallery, **options):
    return -np.concatenate([rows.copy() for rows in reranked_blocks(query, gallery, **options)])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 30), st.integers(1, 12), st.data())
def test_equals_the_dense_definition(seed, queries, images, k1, data):
    query, gallery, _, _ = clumps(seed, queries, images)
    k2, weight = data.draw(st.integers(1, k1)), data.draw(st.sampled_from([0.0, 0.3, 1.0]))
    found = reranked(query, gallery, k1=k1, k2=k2, weight=weight, block=data.draw(st.integers(1, 8)))
    np.testing.assert_allclose(found, dense(query, gallery, k1, k2, weight), atol=2e-6)


@pytest.mark.parametrize("k1", [1, 3, 20])
def test_copies_and_constant_rows(k1):
    query, gallery, _, _ = clumps(0, 4, 9)
    twice = torch.cat([gallery, gallery, query])
    np.testing.assert_allclose(
        reranked(query, twice, k1=k1, k2=1), dense(query, twice, k1, 1, 0.3), atol=2e-6
    )
    same = torch.ones(3, 4) / 2
    assert np.isfinite(reranked(same, torch.ones(5, 4) / 2, k1=k1, k2=1)).all()


def test_evaluation_ranks_it_and_says_so():
    query, gallery, q, g = clumps(1, 30, 60, persons=5, noise=1.0)
    labels = Labels(q, np.zeros(30, int)), Labels(g, np.ones(60, int))
    config = EvaluationConfig(rerank=True, features="hr")
    result = evaluate({"hr": query, "lr": query}, {"hr": gallery, "lr": gallery}, *labels, config)
    row = result.row("hr (re-ranked)")
    wanted = rank([-dense(query, gallery, 20, 6, 0.3).astype(np.float32)], *labels)
    assert row.multi["map"] == pytest.approx(wanted.precision.mean(), abs=1e-4)
    assert row.multi["map"] > result.row().multi["map"]
    assert not row.exact
    assert "k-reciprocal" in result.to_markdown()
    assert "hr (re-ranked)" in result.to_markdown()


def test_bad_constants_are_refused():
    rows = torch.eye(3)
    for options in ({"k1": 2, "k2": 3}, {"k2": 0}, {"weight": 1.5}):
        with pytest.raises(DrfmError, match="give 1 <= k2 <= k1"):
            list(reranked_blocks(rows, rows, **options))
    with pytest.raises(DrfmError, match="not finite"):
        list(reranked_blocks(rows, rows * float("nan")))
