"""What is DCCC's own: the radius over epochs, the moving average's ramp, softened labels."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from drfm.errors import DrfmError
from drfm.learning.batches import make_batch
from drfm.learning.cluster_memory import ClusterMemory
from drfm.methods.dccc import DCCC, FLOOR, average_decay, decayed, soft_contrast


def unit(rows, dimension=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(rows, dimension, generator=generator, dtype=torch.float64), dim=1)


def test_the_radius_shrinks_by_a_percent_from_the_first_epoch_on():
    found = [decayed("expo", 0.7, epoch, 70) for epoch in range(70)]
    eps, expected = 0.7, []
    for _ in range(70):
        if eps > 0.399:
            eps = 0.99 * eps
        expected.append(eps)
    assert found == expected
    assert found[0] == pytest.approx(0.693)
    assert found[-1] == found[60]
    assert 0.399 * 0.99 < found[-1] <= 0.399


def test_other_radii():
    assert [decayed("linear", 0.7, e, 70) for e in (0, 1, 10)] == pytest.approx([0.7, 0.695, 0.65])
    assert [decayed("step", 0.7, e, 70) for e in (4, 5, 12)] == pytest.approx([0.7, 0.67, 0.64])
    assert decayed("linear", 0.7, 69, 70) == decayed("step", 0.7, 69, 70) == FLOOR
    assert decayed("none", 0.7, 69, 70) == 0.7
    assert decayed("log", 0.8, 0, 70) == 0.8
    assert decayed("log", 0.8, 35, 70) == pytest.approx(0.8 * (1 - math.log((1 + math.e) / 2) / 2))
    assert decayed("log", 0.8, 70, 70) == pytest.approx(0.4)


@pytest.mark.parametrize("decay", ["expo", "linear", "step", "none"])
def test_a_radius_below_the_floor_stays(decay):
    assert decayed(decay, 0.3, 50, 70) == 0.3


def test_the_average_begins_anew_and_slows_down():
    assert {average_decay(step) for step in range(99)} == {0.999}
    assert average_decay(99) == 0
    assert average_decay(100) == 0.5
    assert average_decay(108) == pytest.approx(0.9)
    assert [average_decay(step) for step in (1098, 5000)] == [0.999, 0.999]
    ramp = [average_decay(step) for step in range(99, 1200)]
    assert ramp == sorted(ramp)


def test_softened_labels_equal_the_loop():
    logits, averaged, labels = unit(3) * 4, unit(3, seed=1) * 4, [1, 3, 0]
    total = 0.0
    for z, s, y in zip(logits.tolist(), averaged.tolist(), labels, strict=True):
        said = [math.exp(v) / sum(map(math.exp, z)) for v in z]
        other = [math.exp(v) / sum(map(math.exp, s)) for v in s]
        target = [0.3 * q + (0.7 if c == y else 0) for c, q in enumerate(other)]
        total -= sum(t * math.log(p) for t, p in zip(target, said, strict=True))
    found = soft_contrast(logits, averaged, torch.tensor(labels), 0.3)
    assert float(found) == pytest.approx(total / 3, rel=1e-10)


def test_softened_labels_teach_the_student_alone():
    logits, averaged = unit(3).requires_grad_(), unit(3, seed=1).requires_grad_()
    labels = torch.tensor([1, 3, 0])
    soft_contrast(logits, averaged, labels, 0.3).backward()
    assert averaged.grad is None
    held = averaged.detach()
    assert torch.autograd.gradcheck(lambda z: soft_contrast(z, held, labels, 0.3), (logits,))


@pytest.mark.parametrize(("options", "result"), [("default", "average"), ("result=student", "student")])
def test_both_models_learn_and_the_chosen_one_is_tested(build, steps, options, result):
    trainer = build("dccc", options=options)
    method = trainer.method
    student, average = method.network, method.average.module
    assert (method.result is average) == (result == "average")
    assert method.labeller is student
    assert len(method.views) == 2
    before = [p.clone() for p in average.parameters()]
    trainer._begin(0)
    assert set(steps(trainer, 0, 1)[0]) == {"total", "contrast"}
    for p, old, new in zip(average.parameters(), before, student.parameters(), strict=True):
        torch.testing.assert_close(p, 0.999 * old + 0.001 * new)
    assert any(not torch.equal(p, old) for p, old in zip(average.parameters(), before, strict=True))
    assert method.steps == 1


def test_loss_and_memory_are_those_of_both_models(build):
    trainer = build("dccc", options="share=0.4,tau_w=0.2", **{"memory.alpha": 0.1})
    trainer._begin(0)
    method, random = trainer.method, torch.Generator().manual_seed(0)
    rows = np.array([0, 1, 2, 8, 9, 16])
    batch = make_batch(trainer.pairs, rows, trainer.config.augment, random, views=method.views)
    with torch.no_grad():
        for parameter in method.average.module.parameters():
            parameter.mul_(1.1)
    start, labels = method.memory.centroids.clone(), method.row_labels[batch.rows]
    found = method.losses(batch, None, 0)["contrast"]
    student = method.network(batch.images[0]).image
    average = method.average.module(batch.images[1]).image
    logits, softened = (f @ start.T / 0.05 for f in (student, average))
    torch.testing.assert_close(found, soft_contrast(logits, softened, labels, 0.4))
    method.after_step()
    memory = ClusterMemory(start, alpha=0.1, update="weighted", tau_w=0.2)
    memory.update(labels, student)
    torch.testing.assert_close(method.memory.centroids, memory.centroids)


def test_the_average_sees_statistics_of_its_batches(build, steps):
    """Its features are those of training mode, also after it has labelled or been tested."""
    trainer = build("dccc")
    average = trainer.method.average.module
    trainer._begin(0)
    before = [b.clone() for b in average.buffers()]
    steps(trainer, 0, 1)
    assert average.training
    assert any(not torch.equal(b, old) for b, old in zip(average.buffers(), before, strict=True))
    assert all(not p.requires_grad for p in average.parameters())


def test_the_clusterer_gets_the_radius_of_the_epoch(build):
    radii = []

    def clusterer(rows, config):
        radii.append(config.eps)
        return np.arange(len(rows)) % 3

    method = build("dccc", **{"labels.eps": 0.7}).method
    method.clusterer = clusterer
    for epoch in (0, 4):
        assert method.find({"image": unit(6)}, epoch)[0].tolist() == [0, 1, 2, 0, 1, 2]
    assert radii == pytest.approx([0.7 * 0.99, 0.7 * 0.99**5])


@pytest.mark.parametrize("option", ["tau=0", "tau_w=0", "share=2"])
def test_bad_options_are_one_line(build, option):
    with pytest.raises(DrfmError, match=rf"^options: {option.replace('=', ' = ')}.*: give .*$"):
        build("dccc", options=option)


def test_epochs_are_bound_where_the_radius_follows_them():
    assert DCCC.needs_epochs(DCCC.Options(decay="log"))
    assert not DCCC.needs_epochs(DCCC.Options())
