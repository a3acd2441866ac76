import numpy as np
import pytest
import torch

from drfm.data.records import JUNK
from drfm.errors import DrfmError
from drfm.evaluation.examples import RankedLists
from drfm.evaluation.ranking import Labels


def sides():
    gallery = Labels(np.array([0, 0, 1, 2, JUNK]), np.array([1, 0, 1, 1, 1]))
    query = Labels(np.array([0, 1, 2, 2, 9]), np.zeros(5, int))
    columns = torch.nn.functional.normalize(torch.eye(5) + 0.01, dim=1)
    rows = columns[[0, 2, 2, 2, 4]]
    return {"hr": rows, "lr": rows}, {"hr": columns, "lr": columns}, query, gallery


def test_successes_come_first_and_lists_keep_the_rules():
    found = RankedLists.of(*sides()).typical(count=4, top=3)
    assert [example.right[0] for example in found] == [True, True, False]
    assert len({example.query for example in found} & {2, 3}) == 1
    for example in found:
        assert 4 not in example.gallery
        assert list(example.similarity) == sorted(example.similarity, reverse=True)
    zero = next(example for example in found if example.query == 0)
    assert zero.gallery[0] == 0
    assert 1 not in zero.gallery
    assert zero.first == 1
    assert found[-1].first > 1


def test_half_of_the_examples_are_failures_where_there_are_some():
    random = np.random.default_rng(0)
    rows = torch.nn.functional.normalize(torch.from_numpy(random.normal(size=(60, 3))).float(), dim=1)
    labels = Labels(np.arange(60) % 20, np.full(60, -1))
    lists = RankedLists.of({"fused": rows}, {"fused": rows + 0.1}, labels, labels)
    found = lists.typical(count=6)
    again = lists.typical(count=6)
    assert found == again
    assert len(found) == 6
    assert all(len(example.gallery) == 5 for example in found)


def test_asking_for_none_is_refused():
    with pytest.raises(DrfmError, match="count = 0"):
        RankedLists.of(*sides()).typical(count=0)
    with pytest.raises(DrfmError, match="top = 0"):
        RankedLists.of(*sides()).hardest(top=0)


def test_the_hardest_are_failures_worst_first_one_a_person_with_their_match():
    random = np.random.default_rng(1)
    rows = torch.nn.functional.normalize(torch.from_numpy(random.normal(size=(40, 3))).float(), dim=1)
    query, gallery = Labels(np.arange(40) % 10, np.full(40, 0)), Labels(np.arange(40) % 10, np.full(40, 1))
    lists = RankedLists.of({"hr": rows}, {"hr": rows.flip(0)}, query, gallery)
    found = lists.hardest(count=5, top=3)
    firsts = [example.first for example in found]
    assert firsts == sorted(firsts, reverse=True)
    assert firsts[0] == lists.ranking.first.max()
    assert min(firsts) > 1
    assert len({query.persons[example.query] for example in found}) == len(found) == 5
    similarity = rows @ rows.flip(0).T
    for example in found:
        order = similarity[example.query].argsort(descending=True)
        own = [place for place, row in enumerate(order.tolist(), 1)
               if gallery.persons[row] == query.persons[example.query]]  # fmt: skip
        assert example.first == own[0]
        assert example.match == order[own[0] - 1]
