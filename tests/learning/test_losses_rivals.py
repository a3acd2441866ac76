"""Losses of the rivals against loops written from their formulas."""

import math

import pytest
import torch
from torch.nn import functional

from drfm.learning.losses_rivals import (
    camera_contrastive,
    hard_instance,
    soft_instance,
    unified_contrastive,
)


def unit(count, seed, width=8):
    rows = torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return functional.normalize(rows, dim=1)


QUERY, KEY, WEAK = unit(6, 0), unit(6, 1), unit(6, 2)
LABELS = torch.tensor([0, 0, 1, 1, 1, 2])


def test_unified_contrastive_is_the_formula_with_its_constants():
    centroids = 0.6 * unit(4, 3)
    expected = 0.0
    for feature, label in zip(QUERY, LABELS.tolist(), strict=True):
        scores = [math.exp(float(feature @ centroid) / 0.05) for centroid in centroids]
        expected -= math.log(scores[label] / (sum(scores) + 1e-6) + 1e-6) / 6
    assert unified_contrastive(QUERY, LABELS, centroids, 0.05).item() == pytest.approx(expected, rel=1e-9)


def test_unified_contrastive_of_a_hopeless_row_is_bounded():
    centroids = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    loss = unified_contrastive(torch.tensor([[-1.0, 0.0]]), torch.tensor([0]), centroids, 0.01)
    assert loss.item() == pytest.approx(-math.log(1e-6), rel=1e-5)


def test_hard_instance_takes_the_least_similar_positive_and_all_negatives():
    expected = 0.0
    for i in range(6):
        similarity = [float(QUERY[i] @ KEY[j]) / 0.1 for j in range(6)]
        hardest = min(similarity[j] for j in range(6) if LABELS[j] == LABELS[i])
        others = [similarity[j] for j in range(6) if LABELS[j] != LABELS[i]]
        total = math.exp(hardest) + sum(math.exp(s) for s in others)
        expected -= math.log(math.exp(hardest) / total) / 6
    assert hard_instance(QUERY, KEY, LABELS).item() == pytest.approx(expected, rel=1e-9)


def test_hard_instance_without_negatives_is_nothing():
    query = QUERY.clone().requires_grad_()
    loss = hard_instance(query, KEY, torch.zeros(6, dtype=torch.int64))
    assert loss.item() == 0.0
    loss.backward()
    assert torch.isfinite(query.grad).all()


def test_soft_instance_is_the_divergence_of_relations():
    expected = 0.0
    for i in range(6):
        target = torch.softmax(torch.stack([WEAK[i] @ w for w in WEAK]) / 0.4, dim=0)
        found = torch.softmax(torch.stack([QUERY[i] @ k for k in KEY]) / 0.4, dim=0)
        expected += sum(float(p * math.log(p / q)) for p, q in zip(target, found, strict=True)) / 6
    assert soft_instance(QUERY, KEY, WEAK).item() == pytest.approx(expected, rel=1e-9)
    assert soft_instance(WEAK, WEAK, WEAK).item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("proxies", [7, 120])
def test_camera_contrastive_is_a_sum_of_means_over_cameras(proxies):
    """With 120 proxies only the 50 nearest of other clusters count."""
    centroids, owners = unit(proxies, 4), torch.arange(proxies) % 4
    camera = torch.tensor([5, 1, 1, 5, 1, 5])
    expected = 0.0
    for number in (1, 5):
        rows = [i for i in range(6) if camera[i] == number]
        for i in rows:
            logits = [float(QUERY[i] @ c) / 0.07 for c in centroids]
            mine = [k for k in range(proxies) if owners[k] == LABELS[i]]
            rest = sorted((k for k in range(proxies) if owners[k] != LABELS[i]), key=lambda k: -logits[k])
            total = sum(math.exp(logits[k]) for k in mine + rest[:50])
            row = -sum(math.log(math.exp(logits[k]) / total) for k in mine) / len(mine)
            expected += row / len(rows)
    found = camera_contrastive(QUERY, LABELS, camera, centroids, owners)
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_nothing_gives_nothing():
    rows, labels = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    some, owners = torch.randn(3, 4), torch.arange(3)
    assert unified_contrastive(rows, labels, some, 0.05).item() == 0.0
    assert soft_instance(rows, rows, rows).item() == 0.0
    assert camera_contrastive(rows, labels, labels, some, owners).item() == 0.0
