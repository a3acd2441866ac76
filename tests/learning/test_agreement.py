"""Agreement scores and the losses of PPLR against loops written from their definitions."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from drfm.learning.agreement import (
    agreement_smoothing,
    cross_agreement,
    inter_camera,
    part_guided,
    soft_margin_triplet,
)


def unit(rows, dimension=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(rows, dimension, generator=generator), dim=1)


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def naive_agreement(whole, part, k):
    def neighbours(features, i):
        others = [j for j in range(len(features)) if j != i]
        return set(sorted(others, key=lambda j: float((features[i] - features[j]).norm()))[:k])

    scores = []
    for i in range(len(whole)):
        a, b = neighbours(whole, i), neighbours(part, i)
        scores.append(len(a & b) / len(a | b))
    return scores


@pytest.mark.parametrize(("rows", "k"), [(30, 4), (30, 20), (6, 20), (2, 3)])
def test_agreement_equals_the_loop(rows, k):
    whole, parts = unit(rows), [unit(rows, seed=seed) for seed in (1, 2, 3)]
    found = cross_agreement(whole, parts, k)
    assert found.shape == (rows, 3)
    expected = np.array([naive_agreement(whole, part, k) for part in parts]).T
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_a_part_like_the_whole_agrees_and_another_does_not():
    whole = unit(40)
    found = cross_agreement(whole, [whole, unit(40, seed=1)], k=5)
    assert (found[:, 0] == 1).all()
    assert found[:, 1].mean() < 0.3


def test_one_image_agrees_with_itself():
    assert cross_agreement(unit(1), [unit(1, seed=1)]).tolist() == [[1.0]]


def test_identical_images_have_lists_of_the_same_length():
    same = torch.ones(9, 4) / 2
    found = cross_agreement(same, [unit(9, 4)], k=3)
    assert found.shape == (9, 1)
    assert ((found >= 0) & (found <= 1)).all()


def softmax(row):
    top = [math.exp(v) for v in row.tolist()]
    return [v / sum(top) for v in top]


AGREEMENT = torch.tensor([[1.0, 0.0, 0.5], [0.2, 0.9, 0.1]], dtype=torch.float64)
LABELS = torch.tensor([2, 0])


@pytest.mark.parametrize("beta", [0.5, 0.0, 1.0])
def test_part_guided_equals_the_loop(beta):
    whole, parts = numbers(2, 4), [numbers(2, 4, seed=seed) for seed in (1, 2, 3)]
    total = 0.0
    for i, y in enumerate(LABELS.tolist()):
        weights = softmax(AGREEMENT[i])
        said = [softmax(part[i]) for part in parts]
        target = [(1 - beta) * sum(w * q[c] for w, q in zip(weights, said, strict=True)) for c in range(4)]
        target[y] += beta
        total -= sum(t * math.log(p) for t, p in zip(target, softmax(whole[i]), strict=True))
    found = part_guided(whole, parts, LABELS, AGREEMENT, beta)
    assert float(found) == pytest.approx(total / 2, rel=1e-10)


def test_part_guided_does_not_teach_the_parts():
    whole, part = numbers(2, 4).requires_grad_(), numbers(2, 4, seed=1).requires_grad_()
    part_guided(whole, [part], LABELS, AGREEMENT[:, :1]).backward()
    assert part.grad is None
    assert whole.grad.abs().max() > 0


def test_smoothing_equals_the_loop():
    parts = [numbers(2, 4, seed=seed) for seed in (1, 2, 3)]
    total = 0.0
    for i, y in enumerate(LABELS.tolist()):
        for p, part in enumerate(parts):
            said, ca = softmax(part[i]), float(AGREEMENT[i, p])
            total += -ca * math.log(said[y])
            total += (1 - ca) * sum(0.25 * math.log(0.25 / q) for q in said)
    assert float(agreement_smoothing(parts, LABELS, AGREEMENT)) == pytest.approx(total / 6, rel=1e-10)


def test_smoothing_gradient():
    part = numbers(2, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: agreement_smoothing([z], LABELS, AGREEMENT[:, :1]), (part,))


# Cluster 0 was seen by three cameras, 1 by two, 2 and 3 by one each.
CLUSTER = torch.tensor([0, 0, 0, 1, 1, 2, 3])


@pytest.mark.parametrize("number", [0, 1, 2, 50])
def test_inter_camera_equals_the_loop(number):
    features, proxies = unit(5).double(), unit(7, seed=1).double()
    own = torch.tensor([0, 3, 5, 2, 4])
    total, counted = 0.0, 0
    for f, mine in zip(features, own.tolist(), strict=True):
        score = [float(f @ p) / 0.07 for p in proxies]
        positives = [k for k in range(7) if CLUSTER[k] == CLUSTER[mine] and k != mine]
        others = sorted((k for k in range(7) if CLUSTER[k] != CLUSTER[mine]), key=lambda k: -score[k])
        if positives:
            bottom = sum(math.exp(score[k]) for k in positives + others[:number])
            total -= sum(math.log(math.exp(score[k]) / bottom) for k in positives) / len(positives)
            counted += 1
    assert counted == 4
    found = inter_camera(features, own, proxies, CLUSTER, tau=0.07, negatives=number)
    assert float(found) == pytest.approx(total / counted, rel=1e-10)


def test_inter_camera_without_another_camera_is_zero():
    features = unit(2).requires_grad_()
    alone = torch.tensor([0, 1])
    loss = inter_camera(features, alone, unit(2, seed=1), alone, tau=0.07, negatives=50)
    loss.backward()
    assert loss.item() == 0.0
    assert features.grad.abs().max() == 0.0


def test_triplet_equals_the_loop():
    features, labels = numbers(6, 3), [0, 1, 0, 2, 1, 2]
    total = 0.0
    for i in range(6):
        away = [float((features[i] - features[j]).norm()) for j in range(6)]
        ap = max(away[j] for j in range(6) if labels[j] == labels[i])
        an = min(away[j] for j in range(6) if labels[j] != labels[i])
        total -= math.log(math.exp(an) / (math.exp(ap) + math.exp(an)))
    assert float(soft_margin_triplet(features, torch.tensor(labels))) == pytest.approx(total / 6, rel=1e-10)


def test_triplet_gradient_is_finite_where_images_are_the_same():
    features = torch.ones(4, 3, requires_grad=True)
    soft_margin_triplet(features, torch.tensor([0, 0, 1, 1])).backward()
    assert torch.isfinite(features.grad).all()


def test_triplet_of_one_class_is_zero():
    features = numbers(4, 3).requires_grad_()
    loss = soft_margin_triplet(features, torch.zeros(4, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.isfinite(features.grad).all()
