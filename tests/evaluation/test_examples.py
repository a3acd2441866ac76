import numpy as np
import pytest
import torch

from drfm.data.records import JUNK
from drfm.errors import DrfmError
from drfm.evaluation.examples import ranked_examples
from drfm.evaluation.ranking import Labels


def sides():
    gallery = Labels(np.array([0, 0, 1, 2, JUNK]), np.array([1, 0, 1, 1, 1]))
    query = Labels(np.array([0, 1, 2, 2, 9]), np.zeros(5, int))
    columns = torch.nn.functional.normalize(torch.eye(5) + 0.01, dim=1)
    rows = columns[[0, 2, 2, 2, 4]]
    return {"hr": rows, "lr": rows}, {"hr": columns, "lr": columns}, query, gallery


def test_successes_come_first_and_lists_keep_the_rules():
    found = ranked_examples(*sides(), count=4, top=3)
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
    found = ranked_examples({"fused": rows}, {"fused": rows + 0.1}, labels, labels, count=6)
    again = ranked_examples({"fused": rows}, {"fused": rows + 0.1}, labels, labels, count=6)
    assert found == again
    assert len(found) == 6
    assert all(len(example.gallery) == 5 for example in found)


def test_asking_for_none_is_refused():
    with pytest.raises(DrfmError, match="count = 0"):
        ranked_examples(*sides(), count=0)
