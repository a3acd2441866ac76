"""What is RLIM's own: proxies of each resolution, static centroids, and losses between the two."""

import math

import numpy as np
import pytest
import torch

from drfm.data.records import LR
from drfm.errors import DrfmError
from drfm.labels.dbscan import dbscan_many
from drfm.labels.refinement import refined
from drfm.learning.batches import make_batch
from drfm.methods.clusters import whole_graph
from drfm.methods.rlim import agreeing, one_of_each
from drfm.resolution.pairs import pairs_from_arrays


def test_one_proxy_of_each_cluster_is_drawn_evenly():
    cluster = torch.tensor([0, 1, 1, 2, 2, 2])
    torch.manual_seed(0)
    drawn = torch.stack([one_of_each(cluster) for _ in range(600)])
    assert (cluster[drawn] == torch.tensor([0, 1, 2])).all()
    count = torch.bincount(drawn.flatten(), minlength=6)
    assert count[0] == 600
    assert ((count[1:3] - 300).abs() < 60).all()
    assert ((count[3:] - 200).abs() < 60).all()


def test_agreeing_equals_the_loop():
    generator = torch.Generator().manual_seed(0)
    logits, clusters = (torch.randn(3, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    total = 0.0
    for z, c in zip(logits.tolist(), clusters.tolist(), strict=True):
        said = [math.exp(v) / sum(map(math.exp, z)) for v in z]
        target = [math.exp(v) / sum(map(math.exp, c)) for v in c]
        total -= sum(t * math.log(p) for t, p in zip(target, said, strict=True))
    assert float(agreeing(logits, clusters)) == pytest.approx(total / 3, rel=1e-10)
    held = clusters.requires_grad_()
    agreeing(logits.requires_grad_(), held).backward()
    assert held.grad is None


def naive_association(features, labels, origin, proxies, cluster, tau, number):
    """Sum over the resolutions of the mean over their samples, positives in the denominator too."""
    total = 0.0
    for group in (0, 1):
        rows = [i for i in range(len(features)) if origin[i] == group]
        parts = []
        for i in rows:
            score = [float(features[i] @ p) / tau for p in proxies]
            positives = [k for k in range(len(score)) if cluster[k] == labels[i]]
            others = sorted(
                (k for k in range(len(score)) if cluster[k] != labels[i]), key=lambda k: -score[k]
            )
            bottom = sum(math.exp(score[k]) for k in positives + others[:number])
            parts.append(-sum(math.log(math.exp(score[k]) / bottom) for k in positives) / len(positives))
        total += sum(parts) / len(parts) if parts else 0.0
    return total


@pytest.mark.parametrize("rows", [[0, 1, 8, 9, 16], [0, 2, 8]])
def test_losses_are_those_of_the_loop(build, rows):
    trainer = build("rlim", options="negatives=3")
    trainer._begin(0)
    method = trainer.method
    batch = trainer_batch(trainer, rows)
    torch.manual_seed(5)
    found = method.losses(batch, None, 0)
    features = method.encode(batch.images[0]).image.detach()
    labels, origin = method.row_labels[batch.rows], method.origin[rows]
    logits = features @ method.centroids.T / 0.07
    smoothed = 0.0
    for z, y in zip(torch.log_softmax(logits, dim=1), labels, strict=True):
        smoothed -= float(0.9 * z[y] + 0.1 * z.mean()) / len(rows)
    assert found["cluster"].item() == pytest.approx(smoothed, rel=1e-5)
    expected = naive_association(
        features, labels, origin, method.proxies, method.groups.cluster.tolist(), 0.07, 3
    )
    assert found["proxy"].item() == pytest.approx(expected, rel=1e-5)
    torch.manual_seed(5)
    chosen = method.proxies[one_of_each(method.groups.cluster)]
    soft = 10 * agreeing(features @ chosen.T / 0.07, logits)
    assert found["soft"].item() == pytest.approx(float(soft), rel=1e-6)


def trainer_batch(trainer, rows):
    trainer.method.model.eval()
    config, generator = trainer.config.augment, torch.Generator().manual_seed(0)
    return make_batch(trainer.pairs, np.array(rows), config, generator, views=trainer.method.views)


def test_centroids_are_plain_means_and_stand_still(build, steps):
    trainer = build("rlim")
    features = trainer._extract()
    trainer._begin(0)
    method = trainer.method
    labels, origin = method.labels.labels, method.origin
    for k in range(method.labels.clusters):
        torch.testing.assert_close(method.centroids[k], features["image"][labels == k].mean(dim=0))
    for place, (k, group) in enumerate(zip(method.groups.cluster, method.groups.origin, strict=True)):
        mine = (labels == int(k)) & (origin == int(group))
        torch.testing.assert_close(method.proxies[place], features["image"][mine].mean(dim=0))
    assert float(method.centroids.norm(dim=1).min()) < 0.9999
    before = method.centroids.clone(), method.proxies.clone()
    steps(trainer, 0, 3)
    assert torch.equal(method.centroids, before[0])
    assert torch.equal(method.proxies, before[1])


def test_clusters_are_refined_by_a_tighter_radius(build):
    random = np.random.default_rng(3)
    centre = random.normal(size=(6, 8)).repeat(10, axis=0)
    rows = torch.from_numpy(centre + random.normal(0, 0.6, centre.shape)).float()
    rows = torch.nn.functional.normalize(rows, dim=1)
    origin = (np.arange(60) % 2).astype(np.int8)
    options = {"labels.eps": 0.5, "labels.k1": 12, "labels.k2": 3, "labels.min_samples": 3}
    found = {}
    for refine in ("true", "false"):
        method = build("rlim", options=f"refine={refine},gap=0.2", **options).method
        method.origin = origin
        found[refine] = method.find({"image": rows}, 0)[0]
    graph = whole_graph(rows, method.config.labels)
    loose, tight = dbscan_many(graph, (0.5, 0.3), 3)
    assert found["false"].tolist() == loose.tolist()
    assert found["true"].tolist() == refined(graph, loose, tight, origin.astype(np.int64)).tolist()
    assert (found["true"] >= 0).sum() < (loose >= 0).sum(), "somebody left"


def test_other_distances_are_refused(build):
    with pytest.raises(DrfmError, match=r"^labels\.distance = cosine: rlim understands jaccard alone$"):
        build("rlim", **{"labels.distance": "cosine"})
    with pytest.raises(DrfmError, match=r"^labels\.cluster = hdbscan: rlim understands dbscan alone$"):
        build("rlim", **{"labels.cluster": "hdbscan"})


@pytest.mark.parametrize("option", ["tau=0", "gap=-1", "smoothing=1", "negatives=-1", "soft=-1"])
def test_bad_options_are_one_line(build, option):
    with pytest.raises(DrfmError, match=r"^options: .*: give .*$"):
        build("rlim", options=option)


def test_soft_loss_can_be_switched_off(build, steps):
    trainer = build("rlim", options="soft=0")
    trainer._begin(0)
    assert set(steps(trainer, 0, 1)[0]) == {"total", "cluster", "proxy"}


def test_images_of_one_resolution_alone(tiny, tmp_path):
    known = tiny.tiny_pairs()
    one = pairs_from_arrays(known.hr, known.lr, np.full(len(known), LR))
    trainer = tiny.tiny_trainer(tmp_path, 1, "rlim", one)
    trainer.fit()
    assert math.isfinite(trainer.journal.read()[0]["loss"]["proxy"])
