import numpy as np
import pytest
import torch

from drfm.errors import DrfmError
from drfm.evaluation.distances import BINS, KINDS, distance_distributions
from drfm.evaluation.ranking import Labels


def naive(features, labels, origin):
    found = {kind: [] for kind in KINDS}
    for i in range(len(features)):
        for j in range(i + 1, len(features)):
            if labels.persons[i] < 0 or labels.persons[j] < 0:
                continue
            same = labels.persons[i] == labels.persons[j]
            if same and labels.cameras[i] == labels.cameras[j] and labels.cameras[i] >= 0:
                continue
            kind = f"{'positive' if same else 'negative'}/{'same' if origin[i] == origin[j] else 'cross'}"
            found[kind].append(min(max(1 - float(features[i] @ features[j]), 0), 2))
    return found


def case(count=300):
    random = np.random.default_rng(0)
    persons = random.integers(-1, 12, count)
    rows = random.normal(size=(14, 8))[persons] + 0.8 * random.normal(size=(count, 8))
    features = torch.nn.functional.normalize(torch.from_numpy(rows).float(), dim=1)
    return (
        features,
        Labels(persons, random.integers(-1, 4, count)),
        random.integers(0, 2, count).astype(np.int8),
    )


def test_equals_plain_loops():
    features, labels, origin = case()
    found, wanted = distance_distributions(features, labels, origin), naive(features, labels, origin)
    for kind in KINDS:
        assert found.counts[kind].sum() == len(wanted[kind]) > 0
        histogram = np.histogram(wanted[kind], BINS, (0, 2))[0]
        assert np.abs(found.counts[kind] - histogram).sum() <= 4  # a value on the edge of two bins
        assert found.numbers[f"{kind}/mean"] == pytest.approx(np.mean(wanted[kind]), abs=1e-6)
        assert found.numbers[f"{kind}/std"] == pytest.approx(np.std(wanted[kind]), abs=1e-5)
    for side in ("same", "cross"):
        p, n = np.array(wanted[f"positive/{side}"]), np.array(wanted[f"negative/{side}"])
        auc = (p[:, None] < n).mean() + (p[:, None] == n).mean() / 2
        assert found.numbers[f"{side}/auc"] == pytest.approx(auc, abs=2e-3)
        spread = np.sqrt((p.var() + n.var()) / 2)
        assert found.numbers[f"{side}/d_prime"] == pytest.approx((n.mean() - p.mean()) / spread, abs=1e-4)
        assert 0 < found.numbers[f"{side}/overlap"] < 1


def test_one_person_has_no_negatives():
    found = distance_distributions(
        torch.eye(2), Labels(np.zeros(2, int), np.array([0, 1])), np.zeros(2, np.int8)
    )
    assert found.numbers == {"positive/same/mean": 1.0, "positive/same/std": 0.0}
    assert found.to_dict()["counts"]["positive/same"][BINS // 2] == 1


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(DrfmError, match="3 features, 2 labels and 2 origins"):
        distance_distributions(torch.eye(3), Labels(np.zeros(2, int), np.zeros(2, int)), np.zeros(2, np.int8))
