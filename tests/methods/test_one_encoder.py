"""What is the own of each method with one encoder, on a network of a few numbers."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from drfm.config import Config, LabelsConfig, LossConfig, MemoryConfig, ModelConfig, SamplerConfig
from drfm.data.records import HR, LR
from drfm.errors import DrfmError
from drfm.labels.clustering import cluster
from drfm.labels.reliable import reliable
from drfm.learning.batch import Batch
from drfm.learning.cluster_memory import ClusterMemory
from drfm.learning.losses import cross_resolution_contrastive, softmax_classification
from drfm.learning.losses_rivals import (
    camera_contrastive,
    hard_instance,
    soft_instance,
    unified_contrastive,
)
from drfm.methods import build_method
from drfm.methods.cluster_contrast import ClusterContrast
from drfm.methods.ice import ICE
from drfm.methods.single import Single
from drfm.methods.spcl import SpCL
from drfm.models.single import Described
from drfm.resolution.pairs import pairs_from_arrays

PEOPLE, EACH, SIDE = 4, 6, 4
COUNT = PEOPLE * EACH
PERSON = np.repeat(np.arange(PEOPLE), EACH)
ORIGIN = np.tile([HR, HR, HR, LR, LR, LR], PEOPLE).astype(np.int8)
CAMERA = np.tile([0, 1, 2], COUNT // 3)


class Tiny(nn.Module):
    """A linear encoder with a BatchNorm; `normalise` as in the real one."""

    views = ("native",)

    def __init__(self, normalise=True, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.layer = nn.Linear(3 * SIDE * SIDE, 8)
        self.neck = nn.BatchNorm1d(8)
        self.normalise = normalise

    def forward(self, images):
        pooled = self.layer(images.flatten(1))
        feature = self.neck(pooled)
        if self.normalise or not self.training:
            feature = functional.normalize(feature)
        return Described(feature, (), pooled)


def images(seed):
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(PEOPLE, 3, SIDE, SIDE, generator=generator)[torch.from_numpy(PERSON)]
    return base + 0.3 * torch.randn(COUNT, 3, SIDE, SIDE, generator=generator)


VIEWS = images(1), images(2), images(3)


def by_person(features, config):
    """A clusterer that knows the persons, and leaves one image out."""
    labels = PERSON.copy()
    labels[-1] = -1
    return labels


def nobody(features, config):
    return np.full(len(features), -1)


def pairs(camera=CAMERA):
    blank = np.zeros((COUNT, SIDE, SIDE, 3), np.uint8)
    return pairs_from_arrays(blank, blank, ORIGIN, camera=camera)


def config(method, **sections):
    sections = {"model": ModelConfig(encoders="native"), "sampler": SamplerConfig(batch=8)} | sections
    return Config(method=method, **sections)


def extracted(network):
    mode = network.training
    with torch.no_grad():
        features = {"image": network.eval()(VIEWS[0]).image}
    network.train(mode)
    return features


def ready(kind, method, clusterer=by_person, network=None, **sections):
    made = kind(config(method, **sections), network or Tiny(), pairs(), clusterer=clusterer)
    made.relabel(extracted(made.labeller), 0)
    return made


def batch(rows, views=1):
    rows = torch.as_tensor(rows)
    return Batch(rows, tuple(view[rows] for view in VIEWS[:views]))


ROWS = [0, 3, 5, 6, 7, 12, 0]
LABELS = torch.from_numpy(PERSON[ROWS])


def test_outliers_are_dropped_or_become_classes():
    dropped = ready(ClusterContrast, "cluster_contrast").labels
    assert (dropped.clusters, dropped.labels[-1], dropped.facts["outliers"]) == (PEOPLE, -1, 1)
    kept = ready(ClusterContrast, "cluster_contrast", labels=LabelsConfig(outliers="singletons")).labels
    assert (kept.clusters, kept.labels[-1], kept.facts["outliers"]) == (PEOPLE + 1, PEOPLE, 1)
    assert len(dropped.ambiguous) == 0


def test_without_clusters_every_image_is_a_class_and_later_the_last_labels_stay():
    method = ready(ClusterContrast, "cluster_contrast", nobody)
    assert method.labels.clusters == COUNT
    assert "every image is a class of its own" in method.labels.facts["fallback"]
    assert torch.isfinite(method.losses(batch(ROWS), None, 0)["contrast"])
    method = ready(ClusterContrast, "cluster_contrast")
    method.clusterer = nobody
    again = method.relabel(extracted(method.network), 1)
    assert again.clusters == PEOPLE
    assert "those of an earlier epoch are used again" in again.facts["fallback"]
    method.clusterer = by_person
    assert "fallback" not in method.relabel(extracted(method.network), 2).facts


def test_labels_last_several_epochs():
    method = ready(ClusterContrast, "cluster_contrast", labels=LabelsConfig(every=2))
    method.clusterer = nobody
    assert method.relabel(extracted(method.network), 1).facts["reused"] == "labels.every"
    assert "reused" not in method.relabel(extracted(method.network), 2).facts


def test_partners_come_from_another_true_camera():
    sampler = SamplerConfig(batch=8, instances=2, cameras="camera")
    method = ready(ClusterContrast, "cluster_contrast", sampler=sampler)
    stream = method.selections(method.labels, 0, np.random.default_rng(0))
    for selection in itertools.islice(stream, 20):
        one, other = selection.labelled.reshape(-1, 2).T
        assert (PERSON[one] == PERSON[other]).all()
        assert (CAMERA[one] != CAMERA[other]).all()
        assert len(selection.ambiguous) == 0


def test_true_identities_are_a_ceiling_that_says_so():
    for name in ("single", "cluster_contrast", "spcl", "ice"):
        supervised = config(name, labels=LabelsConfig(source="ground_truth"))
        method = build_method(supervised, Tiny(), pairs(), PERSON)
        labels = method.relabel(extracted(method.labeller), 0)
        assert labels.labels.tolist() == PERSON.tolist()
        assert labels.facts["supervised"] == "labels are true identities"
        losses = method.losses(batch(ROWS, len(method.views)), None, 0)
        assert all(torch.isfinite(value) for value in losses.values())


@pytest.mark.parametrize("name", ["single", "cluster_contrast", "spcl", "ice"])
def test_what_does_not_fit_is_refused_in_a_line(name):
    with pytest.raises(DrfmError, match=rf"model\.encoders = dual: {name} trains one encoder"):
        build_method(config(name, model=ModelConfig()), Tiny(), pairs())
    with pytest.raises(DrfmError, match=rf"labels\.source = fused: {name} understands .*features"):
        build_method(config(name, labels=LabelsConfig(source="fused")), Tiny(), pairs())
    with pytest.raises(DrfmError, match=f"{name} has no option 'gop'"):
        build_method(replace(config(name), options="gop=1"), Tiny(), pairs())


def test_a_state_of_other_data_is_refused():
    state = ready(Single, "single").state_dict()
    state["labels"]["labels"] = state["labels"]["labels"][1:]
    with pytest.raises(DrfmError, match="labels of 23 pairs, the training set has 24"):
        ready(Single, "single").load_state_dict(state)


def test_the_ablations_have_the_losses_of_drfm():
    sc = ready(Single, "single", loss=LossConfig(identification="sc", tau_sc=0.07))
    cc = ready(Single, "single")
    given = sc.encode(VIEWS[0][ROWS]).image
    rows = extracted(Tiny())["image"]
    means = torch.stack([rows[:-1][PERSON[:-1] == k].mean(0) for k in range(PEOPLE)])
    expected = softmax_classification(given, LABELS, functional.normalize(means), 0.07)
    torch.testing.assert_close(sc.losses(batch(ROWS), None, 0)["sc"], expected)
    groups = [(k, o) for k in range(PEOPLE) for o in (HR, LR)]
    kept = np.arange(COUNT) < COUNT - 1
    centroids = torch.stack([rows[kept & (k == PERSON) & (o == ORIGIN)].mean(0) for k, o in groups])
    owner, origin = torch.tensor(groups).T
    expected = cross_resolution_contrastive(given, LABELS, centroids, owner, origin, tau=0.04, negatives=20)
    torch.testing.assert_close(cc.losses(batch(ROWS), None, 0)["cc"], expected)


def test_slots_of_the_softmax_loss_move_half_way():
    method = ready(Single, "single", loss=LossConfig(identification="sc"))
    before = method.memory.centroids.clone()
    method.network.eval()
    method.losses(batch([7]), None, 0)
    given = method.encode(VIEWS[0][[7]]).image.detach()
    method.after_step()
    expected = functional.normalize(before[1] + given[0], dim=0)
    torch.testing.assert_close(method.memory.centroids[1], expected)
    assert torch.equal(method.memory.centroids[0], before[0])


def test_cluster_contrast_is_cross_entropy_against_means():
    method = ready(ClusterContrast, "cluster_contrast", memory=MemoryConfig(alpha=0.1))
    centroids = method.memory.centroids.clone()
    torch.testing.assert_close(centroids.norm(dim=1), torch.ones(PEOPLE))
    given = method.encode(VIEWS[0][ROWS]).image
    loss = method.losses(batch(ROWS), None, 0)["contrast"]
    torch.testing.assert_close(loss, functional.cross_entropy(given @ centroids.T / 0.05, LABELS))
    method.after_step()
    assert not torch.equal(method.memory.centroids[0], centroids[0])
    assert torch.equal(method.memory.centroids[3], centroids[3])
    after = method.memory.centroids.clone()
    method.after_step()
    assert torch.equal(method.memory.centroids, after)


@pytest.mark.parametrize("update", ["momentum", "hard"])
def test_the_update_of_cluster_contrast_is_the_chosen_one(update):
    method = ready(ClusterContrast, "cluster_contrast", memory=MemoryConfig(alpha=0.1))
    method = replace_options(method, update=update)
    method.relabel(extracted(method.network), 0)
    expected = ClusterMemory(method.memory.centroids, alpha=0.1, update=update)
    method.network.eval()
    method.losses(batch(ROWS), None, 0)
    method.after_step()
    expected.update(LABELS, method.encode(VIEWS[0][ROWS]).image)
    torch.testing.assert_close(method.memory.centroids, expected.centroids)


def spcl(**changes):
    labels = LabelsConfig(source="memory", outliers="singletons", k1=6, k2=2, min_samples=2)
    return ready(SpCL, "spcl", labels=labels, memory=MemoryConfig(life="run"), **changes)


def test_spcl_scores_a_class_by_the_mean_of_its_slots():
    method = spcl()
    assert (method.labels.labels >= 0).all()
    rows, labels = method.memory.features.clone(), torch.from_numpy(method.labels.labels)
    means = torch.stack([rows[labels == k].mean(0) for k in range(method.labels.clusters)])
    given = method.encode(VIEWS[0][ROWS]).image
    expected = unified_contrastive(given, labels[ROWS], means, 0.05)
    torch.testing.assert_close(method.losses(batch(ROWS), None, 0)["contrast"], expected)
    method.after_step()
    moved = [row for row in range(COUNT) if not torch.equal(method.memory.features[row], rows[row])]
    assert moved == sorted(set(ROWS))


def test_spcl_clusters_its_memory_and_keeps_its_limit():
    method = spcl()
    limit = method.limit
    assert limit is not None
    before = method.memory.features.clone()
    nonsense = {"image": functional.normalize(torch.randn(COUNT, 8, generator=torch.Generator()), dim=1)}
    labels = method.relabel(nonsense, 1).labels
    assert torch.equal(method.memory.features, before)
    np.testing.assert_array_equal(labels, spcl().labels.labels)
    assert method.limit == limit


def test_spcl_keeps_what_a_tighter_and_a_looser_radius_agree_with():
    labels = LabelsConfig(source="features", k1=6, k2=2, min_samples=2, eps=0.5)
    method = SpCL(replace(config("spcl", labels=labels), options="gap=0.1,share=0.5"), Tiny(), pairs())
    random = torch.Generator().manual_seed(1)
    centre = torch.randn(PEOPLE, 8, generator=random)[torch.from_numpy(PERSON)]
    rows = functional.normalize(centre + 0.7 * torch.randn(COUNT, 8, generator=random))
    found, fallback = method.find({"image": rows}, 0)
    plain, tight, loose = (cluster(rows, replace(labels, eps=eps)) for eps in (0.5, 0.4, 0.6))
    expected, limit = reliable(plain, tight, loose, None, 0.5)
    assert fallback == ""
    assert found.tolist() == expected.tolist()
    assert method.limit == limit
    others = [(plain, loose, tight), (plain, tight, plain), (plain, plain, loose)]
    assert found.tolist() not in [reliable(*other, None, 0.5)[0].tolist() for other in others]


def ice(**changes):
    model = ModelConfig(encoders="native", normalise=False)
    return ready(ICE, "ice", network=Tiny(normalise=False), model=model, **changes)


def test_ice_has_four_losses_with_their_weights():
    method = ice()
    network, teacher = method.network, method.teacher.module
    # Without the statistics of a batch the passes can be repeated, and the order does not matter.
    method._teach = lambda images: functional.normalize(teacher.eval()(images).image.detach())
    losses = method.losses(batch(ROWS, 3), None, 0)
    feature = network(VIEWS[0][ROWS]).image
    query = functional.normalize(feature)
    key, weak = (method._teach(view[ROWS]) for view in VIEWS[1:])
    rows = extracted(teacher)["image"]
    means = torch.stack([rows[:-1][PERSON[:-1] == k].mean(0) for k in range(PEOPLE)])
    proxy = functional.cross_entropy(feature @ means.T / 0.5, LABELS, label_smoothing=0.1)
    torch.testing.assert_close(losses["proxy"], proxy)
    torch.testing.assert_close(losses["hard"], hard_instance(query, key, LABELS))
    torch.testing.assert_close(losses["soft"], 10 * soft_instance(query, key, weak))
    keys = [(k, c) for k in range(PEOPLE) for c in range(3)]
    kept = np.arange(COUNT) < COUNT - 1
    proxies = torch.stack([rows[kept & (k == PERSON) & (c == CAMERA)].mean(0) for k, c in keys])
    owners, camera = torch.tensor([k for k, _ in keys]), torch.from_numpy(CAMERA[ROWS])
    term = camera_contrastive(query, LABELS, camera, functional.normalize(proxies), owners)
    torch.testing.assert_close(losses["camera"], 0.5 * term)
    assert "camera" not in replace_options(method, cameras=False).losses(batch(ROWS, 3), None, 0)


def replace_options(method, **changes):
    method.options = replace(method.options, **changes)
    return method


def test_the_teacher_follows_and_is_what_labels_and_is_tested():
    method = ice()
    assert method.labeller is method.result is method.teacher.module
    assert [view.augmented for view in method.views] == [True, True, False]
    old = method.teacher.module.layer.weight.clone()
    sum(method.losses(batch(ROWS, 3), None, 0).values()).backward()
    assert method.teacher.module.layer.weight.grad is None
    assert not torch.equal(method.teacher.module.neck.running_mean, torch.zeros(8))
    with torch.no_grad():
        method.network.layer.weight.add_(1.0)
    method.after_step()
    torch.testing.assert_close(
        method.teacher.module.layer.weight, 0.999 * old + 0.001 * method.network.layer.weight
    )


def test_the_teachers_rows_come_back_in_their_order():
    method = ice()
    method.teacher.module.neck.eval()
    method.teacher.module.train = lambda: method.teacher.module
    found = method._teach(VIEWS[1])
    expected = functional.normalize(method.teacher.module(VIEWS[1]).image)
    torch.testing.assert_close(found, expected)


def test_camera_proxies_need_cameras():
    unknown = pairs(np.full(COUNT, -1))
    with pytest.raises(DrfmError, match="no image has a known camera; give cameras=false"):
        ICE(config("ice"), Tiny(), unknown)
    ICE(replace(config("ice"), options="cameras=false"), Tiny(), unknown)
