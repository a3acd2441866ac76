"""Feature memories and resolution centroids against Eq. 1 to 3, 14 and 15."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from drfm.config import MemoryConfig
from drfm.learning.centroids import camera_groups, group_means, resolution_groups
from drfm.learning.memory import FeatureMemory, momentum_update


def unit(rows, dimension=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(rows, dimension, generator=generator), dim=1)


def one_by_one(slots, rows, features, alpha, normalise):
    slots = slots.clone()
    for row, feature in zip(rows.tolist(), features, strict=True):
        value = alpha * slots[row] + (1 - alpha) * feature
        slots[row] = value / value.norm() if normalise else value
    return slots


@settings(deadline=None, max_examples=50)
@given(
    rows=st.lists(st.integers(0, 5), max_size=12),
    alpha=st.sampled_from([0.0, 0.2, 0.8]),
    normalise=st.booleans(),
    extra=st.none() | st.integers(0, 3),
)
def test_update_equals_one_row_after_another(rows, alpha, normalise, extra):
    rows = torch.tensor(rows, dtype=torch.int64)
    slots, features = unit(6), unit(len(rows), seed=1)
    expected = one_by_one(slots, rows, features, alpha, normalise)
    old = slots.clone()
    most = int(torch.bincount(rows).max()) if len(rows) else 0
    repeats = None if extra is None else most + extra
    changed, change = momentum_update(
        slots, rows, features, alpha=alpha, normalise=normalise, repeats=repeats
    )
    torch.testing.assert_close(slots, expected)
    torch.testing.assert_close(old.index_add(0, changed, change), expected)


def test_alpha_is_the_weight_of_the_old_value():
    slots = torch.tensor([[1.0, 0.0]])
    momentum_update(slots, torch.tensor([0]), torch.tensor([[0.0, 1.0]]), alpha=0.2, normalise=False)
    torch.testing.assert_close(slots, torch.tensor([[0.2, 0.8]]))


LABELS = torch.tensor([0, 0, 2, -1, 0, 2, 1, -1])
ORIGIN = torch.tensor([0, 1, 0, 0, 0, 0, 1, 1], dtype=torch.int8)


def naive_centroids(features, labels, origin, normalise):
    found = []
    for cluster in range(int(labels.max()) + 1):
        for side in (0, 1):
            members = features[(labels == cluster) & (origin == side)]
            if len(members):
                mean = members.sum(dim=0) / len(members)
                found.append((cluster, side, mean / mean.norm() if normalise else mean))
    return found


def test_only_existing_groups_are_listed():
    groups = resolution_groups(LABELS, ORIGIN)
    assert groups.cluster.tolist() == [0, 0, 1, 2]
    assert groups.origin.tolist() == [0, 1, 1, 0]
    assert groups.count.tolist() == [2.0, 1.0, 1.0, 2.0]
    assert groups.of_row.tolist() == [0, 1, 3, -1, 0, 3, 2, -1]
    assert groups.hr.tolist() == [0, 3]


def test_no_labels_no_groups():
    groups = resolution_groups(torch.full((3,), -1), torch.tensor([0, 1, 0]))
    memory = FeatureMemory(unit(3), groups, MemoryConfig())
    memory.update(torch.tensor([1]), unit(1, seed=2))
    assert len(groups) == 0
    assert memory.centroids.shape == (0, 4)


@pytest.mark.parametrize("normalise", [False, True])
def test_centroids_follow_the_memory(normalise):
    config = MemoryConfig(normalise_centroids=normalise)
    memory = FeatureMemory(unit(8), resolution_groups(LABELS, ORIGIN), config)
    random = np.random.default_rng(0)
    for step in range(200):
        rows = torch.from_numpy(random.choice([0, 1, 2, 4, 5, 6], size=5))
        memory.update(rows, unit(5, seed=step))
        expected = naive_centroids(memory.features, LABELS, ORIGIN, normalise)
        torch.testing.assert_close(
            memory.centroids, torch.stack([c for *_, c in expected]), atol=2e-5, rtol=0
        )


def test_drift_of_running_sums_stays_small():
    labels = torch.arange(400) % 5
    memory = FeatureMemory(unit(400, 16), resolution_groups(labels, torch.zeros(400)), MemoryConfig())
    generator = torch.Generator().manual_seed(0)
    for step in range(400):
        memory.update(torch.randint(400, (64,), generator=generator), unit(64, 16, seed=step))
    followed = memory.centroids.clone()
    memory.regroup(memory.groups)
    assert (followed - memory.centroids).abs().max() < 1e-6


def test_refresh_once_an_epoch_keeps_the_centroids():
    memory = FeatureMemory(unit(8), resolution_groups(LABELS, ORIGIN), MemoryConfig(refresh="epoch"))
    before = memory.centroids.clone()
    memory.update(torch.tensor([0, 1]), unit(2, seed=5))
    assert torch.equal(memory.centroids, before)
    memory.regroup(memory.groups)
    assert not torch.equal(memory.centroids, before)


def test_rows_without_a_label_change_no_centroid():
    memory = FeatureMemory(unit(8), resolution_groups(LABELS, ORIGIN), MemoryConfig())
    before = memory.centroids.clone()
    memory.update(torch.tensor([3, 7]), unit(2, seed=5))
    torch.testing.assert_close(memory.centroids, before)


def test_features_given_are_copied_and_gradients_stay_out():
    features = unit(8)
    original = features.clone()
    memory = FeatureMemory(features, resolution_groups(LABELS, ORIGIN), MemoryConfig())
    memory.update(torch.tensor([0]), unit(1, seed=5).requires_grad_())
    assert torch.equal(features, original)
    assert not memory.features.requires_grad
    assert not memory.centroids.requires_grad


@pytest.mark.parametrize("refresh", ["step", "epoch"])
def test_state_goes_on_bit_for_bit(refresh):
    config = MemoryConfig(refresh=refresh)
    groups = resolution_groups(LABELS, ORIGIN)
    memory = FeatureMemory(unit(8), groups, config)
    for step in range(5):
        memory.update(torch.tensor([0, 0, 2, 6]), unit(4, seed=step))
    state = {name: value.clone() for name, value in memory.state_dict().items()}
    again = FeatureMemory.from_state(state, groups, config)
    for other in (memory, again):
        other.update(torch.tensor([5, 1, 0]), unit(3, seed=9))
    assert all(
        torch.equal(a, b)
        for a, b in zip(memory.state_dict().values(), again.state_dict().values(), strict=True)
    )


def test_camera_groups_are_the_pairs_of_cluster_and_camera():
    labels, camera = torch.tensor([1, 0, 1, -1, 1, 0]), torch.tensor([7, 7, 2, 2, 7, -1])
    groups = camera_groups(labels, camera)
    listed = list(zip(groups.cluster.tolist(), groups.origin.tolist(), groups.count.tolist(), strict=True))
    # Cameras -1, 2 and 7 are numbers 0, 1 and 2.
    assert listed == [(0, 0, 1.0), (0, 2, 1.0), (1, 1, 1.0), (1, 2, 2.0)]
    assert groups.of_row.tolist() == [3, 1, 2, -1, 3, 0]
    features = unit(6)
    means = group_means(features, groups)
    torch.testing.assert_close(means[3], (features[0] + features[4]) / 2)
    torch.testing.assert_close(group_means(features, groups, normalise=True).norm(dim=1), torch.ones(4))
