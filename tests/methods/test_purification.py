"""What is Purification's own: two stages in one run, the mean of distances, the distance to the teacher."""

import numpy as np
import pytest
import torch
from sklearn.cluster import DBSCAN
from torch.nn import functional

from drfm.config.load import load_config
from drfm.errors import DrfmError
from drfm.labels.dbscan import dbscan
from drfm.learning.batches import make_batch
from drfm.learning.cluster_memory import ClusterMemory
from drfm.methods import needs_epochs
from drfm.methods.clusters import whole_graph
from drfm.recipes.facts import free_options

EPS = 0.5
ROWS = np.array([0, 1, 8, 9, 16, 17])


def batch_of(trainer):
    config, generator = trainer.config.augment, torch.Generator().manual_seed(0)
    return make_batch(trainer.pairs, ROWS, config, generator, views=trainer.method.views)


def stages(method, epochs):
    return [method._stage(epoch) for epoch in range(epochs)]


def test_stages_of_a_run_and_their_rates(build):
    method = build("purification", 102).method
    found = stages(method, 102)
    assert found[0] == ("teacher", 0)
    assert found[49:53] == [("teacher", 49), ("warm", 0), ("warm", 1), ("student", 0)]
    assert found[101] == ("student", 49)
    rates = [method.rate_epoch(epoch) for epoch in range(102)]
    # In the code of the paper the warm epoch is one of the 20 after which the rate of the student falls.
    assert rates == [*range(50), 0, 0, *range(1, 51)]


@pytest.mark.parametrize(
    ("epochs", "options", "expected"),
    [
        (1, "default", "w"),
        (2, "default", "tw"),
        (4, "default", "twws"),
        (8, "default", "tttwwsss"),
        (8, "warm_epochs=0", "ttttssss"),
        (8, "teacher_epochs=5", "tttttwws"),
    ],
)
def test_epochs_are_shared_out(build, epochs, options, expected):
    method = build("purification", epochs, options=options).method
    assert "".join(name[0] for name, _ in stages(method, epochs)) == expected


def test_the_journal_has_the_rate_of_each_stage(build):
    trainer = build("purification", 5, **{"train.lr": 1.0, "train.lr_step": 1, "train.iterations": 1})
    trainer.fit()
    rates = [entry["lr"] for entry in trainer.journal.read()]
    assert rates == pytest.approx([1, 1, 1, 0.1, 0.01])


@pytest.mark.parametrize(
    ("preset", "changes", "expected"),
    [
        ("purification", {}, True),
        ("purification", {"options": "teacher_epochs=3"}, False),
        ("dccc", {}, False),
        ("dccc", {"options": "decay=log"}, True),
        ("rlim", {}, False),
        ("paper", {}, False),
        ("paper", {"train.schedule": "cosine"}, True),
        ("paper", {"method": "none"}, False),
    ],
)
def test_runs_that_cannot_be_lengthened(preset, changes, expected):
    config = load_config(preset, None, changes).config
    assert needs_epochs(config) == expected
    assert ("train.epochs" in free_options(config)) == (not expected)


def test_rates_without_warm_epochs(build):
    method = build("purification", 6, options="warm_epochs=0").method
    assert [method.rate_epoch(epoch) for epoch in range(6)] == [0, 1, 2, 0, 1, 2]


def test_both_begin_with_the_same_weights_and_only_one_learns_at_a_time(build, steps):
    trainer = build("purification", 4)
    method = trainer.method

    def weights():
        return {
            name: [p.clone() for p in getattr(method, name).parameters()] for name in ("teacher", "student")
        }

    start = weights()
    assert all(torch.equal(a, b) for a, b in zip(start["teacher"], start["student"], strict=True))
    assert method.result is method.labeller is method.teacher
    for epoch, learner in enumerate(["teacher", "student", "student", "student"]):
        trainer._begin(epoch)
        before = weights()
        losses = steps(trainer, epoch, 2)
        after = weights()
        for name in before:
            moved = any(not torch.equal(a, b) for a, b in zip(before[name], after[name], strict=True))
            assert moved == (name == learner), (epoch, name)
        assert ("teacher" in losses[0]) == (learner == "student")
        assert method.result is getattr(method, learner)
        # What the next epoch is clustered by: the warm ones still by the teacher.
        assert method.labeller is (method.teacher if epoch < 2 else method.student)


def test_the_teacher_sees_statistics_of_the_students_batches(build, steps):
    """Its code lets the finished teacher run in training mode, without a gradient."""
    trainer = build("purification", 4)
    method = trainer.method
    trainer._begin(0)
    steps(trainer, 0, 1)
    trainer._begin(1)
    means = [b.clone() for name, b in method.teacher.named_buffers() if name.endswith("running_mean")]
    steps(trainer, 1, 1)
    after = [b for name, b in method.teacher.named_buffers() if name.endswith("running_mean")]
    assert means
    assert all(not torch.equal(a, b) for a, b in zip(means, after, strict=True))
    assert all(p.grad is None for p in method.teacher.parameters())


def test_warm_epochs_keep_labels_and_memories(build, steps):
    trainer = build("purification", 4)
    method = trainer.method
    trainer._begin(0)
    steps(trainer, 0, 2)
    trainer._begin(1)
    labels = method.labels.labels.copy()
    memories = {name: memory.centroids.clone() for name, memory in method.memories.items()}
    assert set(memories) == {"image", "part0", "part1"}
    steps(trainer, 1, 2)
    trainer._begin(2)
    steps(trainer, 2, 2)
    assert method.labels.facts["stage"] == "warm"
    assert method.labels.facts["reused"] == "warm_epochs"
    assert np.array_equal(method.labels.labels, labels)
    assert all(torch.equal(memories[name], memory.centroids) for name, memory in method.memories.items())
    trainer._begin(3)
    assert method.labels.facts["stage"] == "student"
    assert "reused" not in method.labels.facts
    filled = method.memories["image"].centroids.clone()
    steps(trainer, 3, 1)
    assert not torch.equal(filled, method.memories["image"].centroids)


def test_losses_are_those_of_the_loop(build):
    trainer = build("purification", 4, options="teaching=0.5,loss_share=0.2")
    method = trainer.method
    trainer._begin(0)
    trainer._begin(1)
    with torch.no_grad():
        for p in method.student.parameters():
            p.add_(0.01)
    method.model.eval()
    batch = batch_of(trainer)
    found = method.losses(batch, None, 1)
    student, teacher = method.student(batch.images[0]), method.teacher(batch.images[0])
    labels = method.row_labels[batch.rows]
    contrast = apart = 0.0
    for name, weight, f, goal in zip(
        ("image", "part0", "part1"),
        (0.8, 0.2, 0.2),
        (student.image, *student.parts),
        (teacher.image, *teacher.parts),
        strict=True,
    ):
        logits = f @ method.memories[name].centroids.T / 0.05
        contrast += weight * functional.cross_entropy(logits, labels).item()
        apart += weight * sum((a - b).norm().item() ** 2 for a, b in zip(f, goal, strict=True)) / len(ROWS)
    assert found["contrast"].item() == pytest.approx(contrast, rel=1e-5)
    assert found["teacher"].item() == pytest.approx(0.5 * apart, rel=1e-4)
    assert apart > 1e-4


@pytest.mark.parametrize("epoch", [0, 3])
def test_each_space_has_a_memory_of_its_own_that_follows_it(build, epoch):
    """The teacher's in its stage and the student's in its own, nine tenths new at every visit."""
    trainer = build("purification", 4)
    method = trainer.method
    trainer._begin(epoch)
    start = {name: memory.centroids.clone() for name, memory in method.memories.items()}
    batch = batch_of(trainer)
    method.losses(batch, None, epoch)
    network = method.teacher if epoch == 0 else method.student
    spaces = network(batch.images[0]).spaces()
    method.after_step()
    assert set(spaces) == set(start) == {"image", "part0", "part1"}
    for name, rows in spaces.items():
        expected = ClusterMemory(start[name], alpha=0.1)
        expected.update(method.row_labels[batch.rows], rows)
        torch.testing.assert_close(method.memories[name].centroids, expected.centroids)


def test_clusters_come_from_the_mean_of_the_distances(build):
    random = np.random.default_rng(0)
    centre = random.normal(size=(5, 8)).repeat(8, axis=0)
    features = {
        name: functional.normalize(
            torch.from_numpy(centre + random.normal(0, noise, centre.shape)).float(), dim=1
        )
        for name, noise in (("image", 0.7), ("part0", 0.9), ("part1", 1.2))
    }
    options = {"labels.k1": 8, "labels.k2": 3, "labels.min_samples": 3, "labels.eps": EPS}
    method = build("purification", **options).method
    config = method.config.labels
    mean = np.zeros((40, 40), np.float32)
    for weight, rows in zip((0.7, 0.15, 0.15), features.values(), strict=True):
        dense = np.ones((40, 40), np.float32)
        graph = whole_graph(rows, config).tocoo()
        dense[graph.row, graph.col] = graph.data
        mean += np.float32(weight) * dense
    expected = DBSCAN(eps=EPS, min_samples=3, metric="precomputed").fit_predict(mean)
    found, fallback = method.find(features, 0)
    assert fallback == ""
    assert found.tolist() == expected.tolist()
    assert found.tolist() != dbscan(whole_graph(features["image"], config), EPS, 3).tolist()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"model.parts": 0}, r"model\.parts = 0: purification splits a body into parts; give 2"),
        (
            {"options": "distance_share=0.5"},
            r"options: distance_share = 0\.5: 2 parts leave nothing for the whole; give less",
        ),
        (
            {"options": "teacher_epochs=4"},
            r"train\.epochs = 4: 4 are the teacher's; give more, for the student",
        ),
        ({"train.schedule": "cosine"}, r"train\.schedule = cosine: has one end"),
        ({"labels.distance": "cosine"}, r"labels\.distance = cosine: purification understands jaccard alone"),
        ({"options": "teaching=-1"}, "options: teaching = -1"),
        ({"options": "loss_share=0"}, "options: loss_share = 0"),
        ({"options": "tau=0"}, "options: tau = 0"),
    ],
)
def test_what_cannot_be_is_one_line(build, changes, expected):
    with pytest.raises(DrfmError, match=rf"^{expected}.*$"):
        build("purification", 4, **changes)
