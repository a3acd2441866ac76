"""Losses against loops written from Eq. 16, 18 and 19; their gradients, and where none may flow."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from drfm.learning.losses import (
    cross_resolution_contrastive,
    identity_consistency,
    probability_sharpening,
    softmax_classification,
)

DENOMINATORS = ("positives_negatives", "one_positive", "positives")
READINGS = list(itertools.product(DENOMINATORS, ("all", "each_origin")))


def unit(rows, dimension=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(rows, dimension, generator=generator, dtype=torch.float64), dim=1)


def naive_contrastive(features, labels, centroids, clusters, origins, tau, number, denominator, source):
    total = 0.0
    for f, y in zip(features, labels.tolist(), strict=True):
        score = [float(f @ c) / tau for c in centroids]
        positives = [k for k, c in enumerate(clusters.tolist()) if c == y]
        others = [k for k in range(len(score)) if k not in positives]
        pools = [others]
        if source == "each_origin":
            pools = [[k for k in others if origins[k] == o] for o in (0, 1)]
        negatives = [k for pool in pools for k in sorted(pool, key=lambda k: -score[k])[:number]]
        row = 0.0
        for p in positives:
            bottom = {"positives_negatives": positives + negatives, "one_positive": [p, *negatives],
                      "positives": positives}[denominator]  # fmt: skip
            row -= math.log(math.exp(score[p]) / sum(math.exp(score[q]) for q in bottom))
        total += row / len(positives)
    return total / len(labels)


CLUSTERS = torch.tensor([0, 0, 1, 2, 2, 3])
ORIGINS = torch.tensor([0, 1, 0, 0, 1, 1])
BATCH_LABELS = torch.tensor([0, 2, 1, 0, 3])


@pytest.mark.parametrize("number", [0, 1, 2, 20])
@pytest.mark.parametrize(("denominator", "source"), READINGS)
def test_contrastive_equals_the_loop(denominator, source, number):
    features, centroids = unit(5), unit(6, seed=1) * 0.8
    found = cross_resolution_contrastive(
        features, BATCH_LABELS, centroids, CLUSTERS, ORIGINS,
        tau=0.1, negatives=number, denominator=denominator, negatives_from=source,
    )  # fmt: skip
    expected = naive_contrastive(
        features, BATCH_LABELS, centroids, CLUSTERS, ORIGINS, 0.1, number, denominator, source
    )
    assert float(found) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("denominator", "source"), READINGS)
def test_contrastive_gradient(denominator, source):
    features = unit(5).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda f: cross_resolution_contrastive(
            f, BATCH_LABELS, unit(6, seed=1), CLUSTERS, ORIGINS,
            tau=0.3, negatives=2, denominator=denominator, negatives_from=source,
        ),
        (features,),
    )  # fmt: skip


def test_denominator_as_printed_cannot_learn_from_one_positive():
    features = unit(1).requires_grad_()
    loss = cross_resolution_contrastive(
        features, torch.tensor([1]), unit(6, seed=1), CLUSTERS, ORIGINS,
        tau=0.04, negatives=20, denominator="positives",
    )  # fmt: skip
    loss.backward()
    assert loss.item() == 0.0
    assert features.grad.abs().max() == 0.0


@pytest.mark.parametrize("denominator", DENOMINATORS)
def test_contrastive_with_a_single_cluster_is_finite(denominator):
    features = unit(3).float().requires_grad_()
    loss = cross_resolution_contrastive(
        features, torch.zeros(3, dtype=torch.int64), unit(1).float(), torch.tensor([0]), torch.tensor([0]),
        tau=0.04, negatives=20, denominator=denominator,
    )  # fmt: skip
    loss.backward()
    assert loss.item() == 0.0
    assert torch.isfinite(features.grad).all()


def test_rows_without_a_centroid_do_not_count():
    features, centroids = unit(5), unit(6, seed=1)
    options = {"tau": 0.1, "negatives": 3}
    kept = cross_resolution_contrastive(features, BATCH_LABELS, centroids, CLUSTERS, ORIGINS, **options)
    more = cross_resolution_contrastive(
        torch.cat([features, unit(2, seed=4)]), torch.cat([BATCH_LABELS, torch.tensor([-1, 77])]),
        centroids, CLUSTERS, ORIGINS, **options,
    )  # fmt: skip
    torch.testing.assert_close(kept, more)


def test_an_empty_batch_gives_zero():
    none = torch.empty(0, 5, requires_grad=True)
    labels = torch.empty(0, dtype=torch.int64)
    losses = [
        cross_resolution_contrastive(none, labels, unit(6).float(), CLUSTERS, ORIGINS, tau=0.1, negatives=3),
        identity_consistency(none, none),
        probability_sharpening(none, unit(3).float(), 0.02, 0.04),
        softmax_classification(none, labels, unit(3).float()),
    ]
    assert [loss.item() for loss in losses] == [0.0] * 4
    sum(losses).backward()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.integers(0, 8), st.sampled_from(["positives_negatives", "one_positive"]))
def test_more_negatives_never_lower_the_loss(seed, number, denominator):
    features, centroids = unit(5, seed=seed), unit(6, seed=seed + 1)
    less, more = (
        cross_resolution_contrastive(
            features,
            BATCH_LABELS,
            centroids,
            CLUSTERS,
            ORIGINS,
            tau=0.1,
            negatives=n,
            denominator=denominator,
        )
        for n in (number, number + 1)
    )
    assert more >= less - 1e-12


def test_consistency_equals_the_loop():
    predicted, target = unit(4) * 3, unit(4, seed=1) * 0.2
    counted = torch.tensor([True, False, True, True])
    expected = -sum(
        float(predicted[i] @ target[i]) / float(predicted[i].norm() * target[i].norm()) for i in (0, 2, 3)
    )
    assert float(identity_consistency(predicted, target, counted)) == pytest.approx(expected / 3)


def test_consistency_of_equal_directions_is_minus_one():
    assert float(identity_consistency(unit(3) * 7, unit(3))) == pytest.approx(-1)


def test_consistency_without_counted_rows_is_zero():
    predicted = unit(3).requires_grad_()
    loss = identity_consistency(predicted, unit(3), torch.zeros(3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0.0
    assert predicted.grad.abs().max() == 0.0


def test_consistency_gradient_and_its_stop():
    predicted, target = unit(3).requires_grad_(), unit(3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: identity_consistency(p, unit(3, seed=1)), (predicted,))
    identity_consistency(predicted, target).backward()
    assert predicted.grad.abs().max() > 0
    assert target.grad is None


def test_sharpening_equals_the_loop():
    features, centroids, tau_s, tau_c = unit(3), unit(4, seed=1), 0.2, 0.4
    total = 0.0
    for f in features:
        z = [float(f @ c) for c in centroids]
        target = [math.exp(v / tau_s) / sum(math.exp(w / tau_s) for w in z) for v in z]
        student = [math.exp(v / tau_c) / sum(math.exp(w / tau_c) for w in z) for v in z]
        total -= sum(t * math.log(s) for t, s in zip(target, student, strict=True))
    assert float(probability_sharpening(features, centroids, tau_s, tau_c)) == pytest.approx(total / 3)


def test_sharpening_gradient_stops_at_the_target():
    features, centroids = unit(3).requires_grad_(), unit(4, seed=1)
    probability_sharpening(features, centroids, 0.2, 0.4).backward()
    z = features.detach() @ centroids.T
    # The gradient of cross-entropy with a constant target: (student - target) / tau_c, mean over rows.
    by_hand = (torch.softmax(z / 0.4, dim=1) - torch.softmax(z / 0.2, dim=1)) / 0.4 @ centroids / 3
    torch.testing.assert_close(features.grad, by_hand)


def test_sharpening_gradcheck_with_the_target_held():
    base, centroids = unit(3), unit(4, seed=1)
    target = torch.softmax(base @ centroids.T / 0.2, dim=1)

    def held(f):
        return -(target * torch.log_softmax(f @ centroids.T / 0.4, dim=1)).sum(dim=1).mean()

    features = base.clone().requires_grad_()
    assert torch.autograd.gradcheck(held, (features,))
    one = torch.autograd.grad(held(features), features)[0]
    other = torch.autograd.grad(probability_sharpening(features, centroids, 0.2, 0.4), features)[0]
    torch.testing.assert_close(one, other)


def test_sharpening_stays_finite_at_the_paper_temperatures():
    features = unit(3).float()
    assert torch.isfinite(probability_sharpening(features, torch.cat([features, -features]), 0.02, 0.04))


def test_classification_equals_the_loop():
    features, slots, labels = unit(3), unit(4, seed=1), torch.tensor([0, 3, 3])
    total = 0.0
    for f, y in zip(features, labels.tolist(), strict=True):
        score = [math.exp(float(f @ v) / 0.1) for v in slots]
        total -= math.log(score[y] / sum(score))
    assert float(softmax_classification(features, labels, slots)) == pytest.approx(total / 3)


def test_classification_gradient():
    labels = torch.tensor([0, 3, 3])
    assert torch.autograd.gradcheck(
        lambda f: softmax_classification(f, labels, unit(4, seed=1)), (unit(3).requires_grad_(),)
    )
