"""What is PPLR's own: classifiers that begin anew with cluster means, and which losses are used when."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from drfm.errors import DrfmError
from drfm.learning.agreement import (
    agreement_smoothing,
    cross_agreement,
    inter_camera,
    part_guided,
    soft_margin_triplet,
)
from drfm.learning.batches import make_batch
from drfm.resolution.pairs import pairs_from_arrays

ROWS = np.array([0, 1, 8, 9, 16, 17])


def batch_of(trainer):
    trainer.method.model.eval()
    config, generator = trainer.config.augment, torch.Generator().manual_seed(0)
    return make_batch(trainer.pairs, ROWS, config, generator, views=trainer.method.views)


def test_the_first_rows_of_the_classifiers_are_cluster_means_again_in_every_epoch(build, steps):
    trainer = build("pplr")
    method = trainer.method
    trainer._begin(0)
    steps(trainer, 0, 3)
    before = [w.detach().clone() for w in method.classifiers]
    features = trainer._extract()
    trainer._begin(1)
    labels, count = torch.from_numpy(method.labels.labels), method.labels.clusters
    assert [len(w) for w in method.classifiers] == [len(trainer.pairs)] * 4
    for rows, weight, old in zip(features.values(), method.classifiers, before, strict=True):
        means = torch.stack([rows[labels == k].mean(dim=0) for k in range(count)])
        torch.testing.assert_close(weight[:count], functional.normalize(means, dim=1))
        assert torch.equal(weight[count:], old[count:])


@pytest.mark.parametrize(("images", "rows"), [(40, 40), (4000, 3000), (13000, 3250)])
def test_a_classifier_has_3000_rows_or_a_quarter_of_the_images(tiny, tmp_path, images, rows):
    blank = np.zeros((images, 2, 1, 3), np.uint8)
    many = pairs_from_arrays(blank, blank, np.arange(images, dtype=np.int8) % 2)
    method = tiny.tiny_trainer(tmp_path, 1, "pplr", many).method
    assert [len(weight) for weight in method.classifiers] == [rows] * 4


def test_classifiers_are_trained_with_the_encoder_and_do_not_travel_with_it(build, steps):
    trainer = build("pplr")
    trainer._begin(0)
    method = trainer.method
    trained = {id(p) for group in trainer.optimiser.param_groups for p in group["params"]}
    assert {id(w) for w in method.classifiers} <= trained
    assert method.result is method.labeller is method.network
    before = [w.detach().clone() for w in method.classifiers]
    steps(trainer, 0, 1)
    count = method.labels.clusters
    for weight, old in zip(method.classifiers, before, strict=True):
        assert (weight[:count] != old[:count]).any()


@pytest.mark.parametrize("epoch", [4, 5])
def test_losses_and_the_epoch_from_which_parts_are_smoothed(build, epoch):
    trainer = build("pplr", epochs=9)
    method = trainer.method
    trainer._begin(epoch)
    batch = batch_of(trainer)
    found = method.losses(batch, None, epoch)
    features = trainer._extract()
    whole, *rest = features.values()
    agreement = cross_agreement(whole, rest, 20)[ROWS]
    described = method.encode(batch.images[0])
    labels, count = method.row_labels[batch.rows], method.labels.clusters
    logits = [
        f @ w[:count].T for f, w in zip((described.image, *described.parts), method.classifiers, strict=True)
    ]
    parts = agreement_smoothing(logits[1:], labels, agreement)
    if epoch == 4:
        parts = sum(functional.cross_entropy(z, labels, label_smoothing=0.1) for z in logits[1:]) / 3
    expected = {
        "whole": part_guided(logits[0], logits[1:], labels, agreement),
        "triplet": soft_margin_triplet(described.image, labels),
        "parts": parts,
    }
    torch.testing.assert_close(found, expected)


def test_the_loss_over_cameras(build):
    trainer = build("pplr", options="cameras=true,camera_weight=0.5,negatives=4")
    method = trainer.method
    trainer._begin(0)
    batch = batch_of(trainer)
    found = method.losses(batch, None, 0)["camera"]
    labels, camera = method.labels.labels, trainer.pairs.camera
    keys = [(k, c) for k in range(method.labels.clusters) for c in range(3) if
            ((labels == k) & (camera == c)).any()]  # fmt: skip
    cluster = torch.tensor([k for k, _ in keys])
    own = torch.tensor([keys.index((labels[row], camera[row])) for row in ROWS])
    described = method.encode(batch.images[0])
    losses = []
    for rows, f in zip(trainer._extract().values(), (described.image, *described.parts), strict=True):
        means = torch.stack([rows[(labels == k) & (camera == c)].mean(dim=0) for k, c in keys])
        proxies = functional.normalize(means, dim=1)
        losses.append(inter_camera(functional.normalize(f), own, proxies, cluster, tau=0.07, negatives=4))
    torch.testing.assert_close(found, 0.5 * (losses[0] + sum(losses[1:]) / 3))
    assert found > 0


def test_it_needs_stripes(build):
    with pytest.raises(
        DrfmError, match=r"^model\.parts = 0: pplr compares the whole with its stripes; give 3$"
    ):
        build("pplr", **{"model.parts": 0})


def test_cameras_have_to_be_known(tiny, tmp_path):
    known = tiny.tiny_pairs()
    unknown = pairs_from_arrays(known.hr, known.lr, known.origin)
    with pytest.raises(DrfmError, match=r"^options: cameras = true: the training images have no cameras"):
        tiny.tiny_trainer(tmp_path, 1, "pplr", unknown, options="cameras=true")
    tiny.tiny_trainer(tmp_path, 1, "pplr", unknown)


def test_more_clusters_than_rows_are_one_line(build, monkeypatch):
    trainer = build("pplr")
    trainer.method.classifiers = trainer.method.classifiers[:0]
    trainer.method.classifiers.append(torch.nn.Parameter(torch.zeros(2, 32)))
    with pytest.raises(DrfmError, match=r"^labels\.eps = 0\.8: \d+ clusters, .* have 2 rows; give a larger"):
        trainer._begin(0)


BAD = [
    "beta=2",
    "smoothing=-1",
    "agree_start=-1",
    "camera_weight=-1",
    "negatives=-1",
    "neighbours=0",
    "tau=0",
]


@pytest.mark.parametrize("option", BAD)
def test_bad_options_are_one_line(build, option):
    with pytest.raises(DrfmError, match=rf"^options: {option.replace('=', ' = ')}.*: give .*$"):
        build("pplr", options=option)
