"""Updates of cluster vectors against loops over the batch."""

import pytest
import torch
from torch.nn import functional

from drfm.learning.cluster_memory import ClusterMemory

ALPHA, TAU_W = 0.1, 0.3


def unit(count, seed, width=6):
    return functional.normalize(
        torch.randn(count, width, generator=torch.Generator().manual_seed(seed)), dim=1
    )


def loop(slots, labels, features, update):
    slots = slots.clone()
    if update == "momentum":
        for label, feature in zip(labels.tolist(), features, strict=True):
            slots[label] = functional.normalize(ALPHA * slots[label] + (1 - ALPHA) * feature, dim=0)
        return slots
    for label in sorted(set(labels.tolist())):
        mine = features[labels == label]
        similarity = mine @ slots[label]
        if update == "hard":
            written = mine[int(similarity.argmin())]
        else:
            written = torch.softmax(-similarity / TAU_W, dim=0) @ mine
        slots[label] = functional.normalize(ALPHA * slots[label] + (1 - ALPHA) * written, dim=0)
    return slots


@pytest.mark.parametrize("update", ["momentum", "hard", "weighted"])
@pytest.mark.parametrize("labels", [[2, 0, 2, 2, 4, 0, 2], [1], [3, 3, 3], []])
def test_every_update_is_that_of_the_loop(update, labels):
    slots, labels = unit(5, 0), torch.tensor(labels, dtype=torch.int64)
    features = unit(len(labels), 1)
    memory = ClusterMemory(slots, alpha=ALPHA, update=update, tau_w=TAU_W)
    memory.update(labels, features)
    torch.testing.assert_close(memory.centroids, loop(slots, labels, features, update))
    untouched = [row for row in range(5) if row not in labels.tolist()]
    assert torch.equal(memory.centroids[untouched], slots[untouched])


def test_the_first_of_equally_unlike_samples_is_the_hard_one():
    slots = torch.tensor([[1.0, 0.0]])
    memory = ClusterMemory(slots, alpha=0.0, update="hard")
    memory.update(torch.tensor([0, 0]), torch.tensor([[0.0, 1.0], [0.0, -1.0]]))
    assert memory.centroids.tolist() == [[0.0, 1.0]]


def test_a_sharp_temperature_leaves_the_least_similar_sample_alone():
    slots, labels, features = unit(1, 0), torch.zeros(8, dtype=torch.int64), unit(8, 3)
    sharp = ClusterMemory(slots, alpha=ALPHA, update="weighted", tau_w=1e-4)
    hard = ClusterMemory(slots, alpha=ALPHA, update="hard")
    for memory in (sharp, hard):
        memory.update(labels, features)
    torch.testing.assert_close(sharp.centroids, hard.centroids)


def test_what_was_given_stays_and_nothing_has_a_gradient():
    slots, features = unit(3, 0), unit(4, 1).requires_grad_()
    before = slots.clone()
    memory = ClusterMemory(slots, alpha=ALPHA, update="hard")
    memory.update(torch.tensor([0, 1, 1, 2]), features)
    assert torch.equal(slots, before)
    assert not memory.centroids.requires_grad
