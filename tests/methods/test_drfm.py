"""The method end to end on a model of a few numbers: labels, losses, memories, fallbacks, resume."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from drfm.config import (
    Config,
    LabelsConfig,
    LossConfig,
    MemoryConfig,
    ModelConfig,
    SamplerConfig,
    TrainConfig,
)
from drfm.data.records import HR, LR
from drfm.errors import DrfmError
from drfm.learning.batch import Batch
from drfm.learning.losses import (
    cross_resolution_contrastive,
    identity_consistency,
    probability_sharpening,
    softmax_classification,
)
from drfm.methods import METHODS, build_method
from drfm.methods.drfm import Drfm
from drfm.models.features import Encoded
from drfm.resolution.pairs import PairSet, pairs_from_arrays

PEOPLE, EACH, SIDE = 4, 6, 4
COUNT = PEOPLE * EACH


class TinyDual(nn.Module):
    """Linear encoders over all pixels; `passes` notes the size of each forward pass."""

    def __init__(self, fused=True, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.hr_encoder, self.lr_encoder = (nn.Linear(3 * SIDE * SIDE, 8) for _ in range(2))
            self.fusion = nn.Linear(16, 8) if fused else None
            self.predictor = nn.Linear(8, 8)
        self.passes = []

    def forward(self, hr, lr):
        self.passes.append(len(hr))
        pooled = self.hr_encoder(hr.flatten(1))
        h = functional.normalize(pooled, dim=1)
        low = functional.normalize(self.lr_encoder(lr.flatten(1)), dim=1)
        fused = (
            None if self.fusion is None else functional.normalize(self.fusion(torch.cat([h, low], 1)), dim=1)
        )
        return Encoded(h, low, fused, pooled)

    def predict(self, encoded):
        return functional.normalize(self.predictor(encoded.hr), dim=1)


PERSON = np.repeat(np.arange(PEOPLE), EACH)
ORIGIN = np.tile([HR, HR, HR, LR, LR, LR], PEOPLE).astype(np.int8)


def pairs_of(origin=ORIGIN):
    """Pairs whose images nobody looks at."""
    blank = np.zeros((len(origin), 8, 8, 3), np.uint8)
    return pairs_from_arrays(blank, blank, origin)


def by_person(features, config):
    """A clusterer that knows the persons of the HR rows, and leaves one image out."""
    labels = PERSON[ORIGIN == HR].copy()
    labels[-1] = -1
    return labels


def images(seed=0):
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(PEOPLE, 3, SIDE, SIDE, generator=generator)[torch.from_numpy(PERSON)]
    return base + 0.3 * torch.randn(COUNT, 3, SIDE, SIDE, generator=generator)


HR_IMAGES, LR_IMAGES = images(1), images(2)


def batch_of(rows):
    rows = torch.as_tensor(np.asarray(rows), dtype=torch.int64)
    return Batch(rows, (HR_IMAGES[rows], LR_IMAGES[rows]), None)


def extracted(model):
    with torch.no_grad():
        return model(HR_IMAGES, LR_IMAGES).spaces()


def config(**sections):
    base = {"sampler": SamplerConfig(batch=8), "loss": LossConfig(ps_start=1, ps_batch=4)}
    return Config(**{**base, **sections})


def ready(clusterer=by_person, epoch=0, model=None, **sections):
    model = model or TinyDual()
    method = Drfm(config(**sections), model, pairs_of(), clusterer=clusterer)
    method.relabel(extracted(model), epoch)
    model.passes.clear()
    return method


def steps(method, number, epoch, random):
    stream = method.selections(method.labels, epoch, random)
    optimiser = torch.optim.SGD(method.model.parameters(), lr=0.05)
    history = []
    for selection in itertools.islice(stream, number):
        losses = method.losses(batch_of(selection.labelled), batch_of(selection.ambiguous), epoch)
        optimiser.zero_grad()
        sum(losses.values()).backward()
        optimiser.step()
        method.after_step()
        history.append({name: value.item() for name, value in losses.items()})
    return history


LABELLED = [0, 1, 3, 6, 7, 9, 12, 15]


def test_losses_are_the_weighted_equations():
    method = ready(loss=LossConfig(ps_start=0, ic_weight=0.5, ps_weight=1.5))
    batch, doubtful = batch_of(LABELLED), batch_of(method.labels.ambiguous[:3])
    found = method.losses(batch, doubtful, 0)
    labels = torch.from_numpy(method.labels.labels)[batch.rows]
    encoded, other = method.model(*batch.images), method.model(*doubtful.images)
    cc = 0
    for space in ("hr", "lr", "fused"):
        memory = method.memories[space]
        cc += cross_resolution_contrastive(
            getattr(encoded, space), labels, memory.centroids, memory.groups.cluster, memory.groups.origin,
            tau=0.04, negatives=20,
        )  # fmt: skip
    lr = torch.from_numpy(ORIGIN == LR)[batch.rows]
    ic = identity_consistency(method.model.predict(encoded)[lr], encoded.lr[lr])
    means = [
        method.memories["fused"].features[(method.labels.labels == j) & (ORIGIN == HR)].mean(dim=0)
        for j in range(PEOPLE)
    ]
    ps = probability_sharpening(other.fused, torch.stack(means), 0.02, 0.04)
    torch.testing.assert_close(found, {"cc": cc, "ic": 0.5 * ic, "ps": 1.5 * ps})


def test_training_lowers_the_losses():
    method = ready(epoch=1)
    history = steps(method, 60, 1, np.random.default_rng(0))
    assert set(history[0]) == {"cc", "ic", "ps"}
    assert np.mean([h["cc"] for h in history[-5:]]) < 0.7 * np.mean([h["cc"] for h in history[:5]])
    assert np.mean([h["ic"] for h in history[-5:]]) < np.mean([h["ic"] for h in history[:5]])


def test_memories_change_after_the_step_and_not_before():
    method = ready()
    features = extracted(method.model)
    method.relabel({space: functional.normalize(rows + 1, dim=1) for space, rows in features.items()}, 1)
    before = {space: memory.features.clone() for space, memory in method.memories.items()}
    losses = method.losses(batch_of(LABELLED), None, 0)
    sum(losses.values()).backward()
    assert all(torch.equal(before[space], memory.features) for space, memory in method.memories.items())
    method.after_step()
    for space, memory in method.memories.items():
        changed = (memory.features != before[space]).any(dim=1)
        assert torch.nonzero(changed).squeeze(1).tolist() == sorted(LABELLED)
    again = {space: memory.features.clone() for space, memory in method.memories.items()}
    method.after_step()
    assert all(torch.equal(again[space], memory.features) for space, memory in method.memories.items())


def test_consistency_does_not_reach_the_lr_encoder():
    method = ready()
    method.losses(batch_of(LABELLED), None, 0)["ic"].backward()
    assert method.model.lr_encoder.weight.grad is None
    assert method.model.hr_encoder.weight.grad.abs().max() > 0
    assert method.model.predictor.weight.grad.abs().max() > 0


def test_sharpening_begins_at_its_epoch():
    method = ready(loss=LossConfig(ps_start=3))
    random = np.random.default_rng(0)
    assert len(next(method.selections(method.labels, 2, random)).ambiguous) == 0
    assert len(next(method.selections(method.labels, 3, random)).ambiguous) == 16
    assert "ps" not in method.losses(batch_of(LABELLED), batch_of(method.labels.ambiguous), 2)
    assert "ps" in method.losses(batch_of(LABELLED), batch_of(method.labels.ambiguous), 3)


def test_selections_keep_labels_and_doubt_apart():
    method = ready(epoch=1)
    for selection in itertools.islice(method.selections(method.labels, 1, np.random.default_rng(0)), 10):
        assert (method.labels.labels[selection.labelled] >= 0).all()
        assert set(selection.ambiguous) <= set(method.labels.ambiguous)
        assert len(selection.labelled) == 8
        assert len(selection.ambiguous) == 4


@pytest.mark.parametrize(("mode", "passes"), [("separate", [8, 3]), ("joint", [11])])
def test_ambiguous_pairs_apart_or_with_the_others(mode, passes):
    method = ready(train=TrainConfig(bn_ambiguous=mode), epoch=1)
    reference = ready(epoch=1).losses(batch_of(LABELLED), batch_of([4, 5, 10]), 1)
    found = method.losses(batch_of(LABELLED), batch_of([4, 5, 10]), 1)
    assert method.model.passes == passes
    torch.testing.assert_close(found, reference)


def test_losses_are_float32_in_low_precision():
    method = ready(train=TrainConfig(precision="bfloat16"), epoch=1)
    low = method.losses(batch_of(LABELLED), batch_of([4, 5, 10]), 1)
    full = ready(epoch=1).losses(batch_of(LABELLED), batch_of([4, 5, 10]), 1)
    assert all(value.dtype == torch.float32 for value in low.values())
    assert all(low[name].item() == pytest.approx(full[name].item(), abs=0.5) for name in full)
    assert low["cc"].item() != full["cc"].item(), "the encoders did work in low precision"
    method.after_step()
    assert method.memories["hr"].features.dtype == torch.float32


@pytest.mark.parametrize("pairs", ["labelled_lr", "all_lr", "both_origins"])
def test_pairs_of_the_consistency_loss(pairs):
    method = ready(loss=LossConfig(ic_pairs=pairs))
    rows, doubtful = LABELLED, [4, 5, 10]
    found = method.losses(batch_of(rows), batch_of(doubtful), 0)["ic"]
    wanted = {
        "labelled_lr": [r for r in rows if ORIGIN[r] == LR],
        "all_lr": [r for r in rows if ORIGIN[r] == LR] + doubtful,
        "both_origins": rows,
    }[pairs]
    encoded = method.model(HR_IMAGES[wanted], LR_IMAGES[wanted])
    torch.testing.assert_close(found, identity_consistency(method.model.predict(encoded), encoded.lr))
    ambiguous = next(method.selections(method.labels, 0, np.random.default_rng(0))).ambiguous
    assert (len(ambiguous) > 0) == (pairs == "all_lr")


def test_losses_switched_off_are_missing():
    method = ready(loss=LossConfig(ic_weight=0, ps_weight=0, ps_start=0))
    assert set(method.losses(batch_of(LABELLED), None, 5)) == {"cc"}
    assert len(next(method.selections(method.labels, 5, np.random.default_rng(0))).ambiguous) == 0


def test_fusion_loss_waits_for_its_epoch():
    method = ready(loss=LossConfig(fusion_start=2, ic_weight=0))
    method.losses(batch_of(LABELLED), None, 1)["cc"].backward()
    assert method.model.fusion.weight.grad is None
    method.losses(batch_of(LABELLED), None, 2)["cc"].backward()
    assert method.model.fusion.weight.grad.abs().max() > 0


def test_a_model_without_fusion_trains_two_spaces():
    model = TinyDual(fused=False)
    method = Drfm(config(model=ModelConfig(fusion="none")), model, pairs_of(), clusterer=by_person)
    method.relabel(extracted(model), 1)
    assert set(method.memories) == {"hr", "lr"}
    assert set(steps(method, 3, 1, np.random.default_rng(0))[0]) == {"cc", "ic", "ps"}


@pytest.mark.parametrize(("tau", "alpha"), [(0.1, 0.5), (0.05, 0.1)])
def test_softmax_loss_and_its_slots(tau, alpha):
    loss = LossConfig(identification="sc", ic_weight=0, tau_sc=tau)
    method = ready(loss=loss, memory=MemoryConfig(slot_alpha=alpha))
    labels = torch.from_numpy(method.labels.labels)
    slots = {space: slot.clone() for space, slot in method.slots.items()}
    batch = batch_of([0, 6, 12])
    found = method.losses(batch, None, 0)
    encoded = method.model(*batch.images)
    expected = sum(
        softmax_classification(getattr(encoded, space), labels[batch.rows], slots[space], tau)
        for space in slots
    )
    torch.testing.assert_close(found, {"sc": expected})
    method.after_step()
    moved = functional.normalize(alpha * slots["hr"][:3] + (1 - alpha) * encoded.hr.detach(), dim=1)
    torch.testing.assert_close(method.slots["hr"][:3], moved)
    assert torch.equal(method.slots["hr"][3], slots["hr"][3])


def test_memories_rebuilt_each_epoch_or_kept():
    fresh = ready()
    kept = ready(memory=MemoryConfig(life="run"))
    later = {space: functional.normalize(rows + 1, dim=1) for space, rows in extracted(fresh.model).items()}
    before = kept.memories["hr"].features.clone()
    for method in (fresh, kept):
        method.relabel(later, 1)
    assert torch.equal(fresh.memories["hr"].features, later["hr"])
    assert torch.equal(kept.memories["hr"].features, before)


def test_fusion_memory_may_begin_with_hr_features_once():
    method = ready(memory=MemoryConfig(fusion_start="hr"))
    features = extracted(method.model)
    assert torch.equal(method.memories["fused"].features, features["hr"])
    method.relabel(features, 1)
    assert torch.equal(method.memories["fused"].features, features["fused"])


@pytest.mark.parametrize("source", ["features", "memory", "fused"])
def test_what_is_clustered(source):
    seen = []

    def watching(features, options):
        seen.append(features.clone())
        return by_person(features, options)

    method = ready(clusterer=watching, labels=LabelsConfig(source=source))
    features = extracted(method.model)
    steps(method, 3, 0, np.random.default_rng(0))
    memory = method.memories["hr"].features.clone()
    later = extracted(method.model)
    method.relabel(later, 1)
    hr = torch.from_numpy(np.flatnonzero(ORIGIN == HR))
    assert torch.equal(seen[0], features["fused" if source == "fused" else "hr"][hr])
    expected = {"features": later["hr"], "memory": memory, "fused": later["fused"]}[source]
    assert torch.equal(seen[1], expected[hr])


def test_centroids_from_memory_change_the_guesses():
    method = ready(labels=LabelsConfig(centroids="memory"), memory=MemoryConfig(life="run"))
    features = extracted(method.model)
    for space in ("hr", "lr"):
        method.memories[space].features.neg_()
    plain = ready().relabel(features, 1).guess[ORIGIN == LR]
    turned = method.relabel(features, 1).guess[ORIGIN == LR]
    assert (plain != turned).all()


def test_labels_last_several_epochs():
    method = ready(labels=LabelsConfig(every=3))
    first = method.labels
    features = {
        space: functional.normalize(rows + 1, dim=1) for space, rows in extracted(method.model).items()
    }
    second = method.relabel(features, 1)
    assert np.array_equal(first.labels, second.labels)
    assert second.facts["reused"] == "labels.every"
    assert torch.equal(method.memories["hr"].features, features["hr"])
    assert "reused" not in method.relabel(features, 3).facts


def nobody(features, options):
    return np.full(len(features), -1)


def everybody(features, options):
    return np.zeros(len(features), dtype=np.int64)


def test_another_eps_is_said():
    method = ready(clusterer=lambda f, c: by_person(f, c) if c.eps > 0.68 else nobody(f, c))
    assert method.labels.facts["fallback"].endswith("0.7 is used in this epoch")
    assert method.labels.clusters == PEOPLE


@pytest.mark.parametrize("finds", [nobody, everybody])
def test_earlier_labels_are_used_again(finds):
    method = ready()
    first = method.labels
    method._clusterer = finds
    again = method.relabel(extracted(method.model), 1)
    assert np.array_equal(first.labels, again.labels)
    assert "the labels of an earlier epoch" in again.facts["fallback"]
    assert set(steps(method, 2, 0, np.random.default_rng(0))[0]) == {"cc", "ic"}
    method._clusterer = by_person
    assert "fallback" not in method.relabel(extracted(method.model), 2).facts


@pytest.mark.parametrize("finds", [nobody, everybody])
def test_an_epoch_without_labels_trains_consistency_alone(finds):
    method = ready(clusterer=finds)
    assert "this epoch trains L_ic alone" in method.labels.facts["fallback"]
    assert method.labels.clusters == 0
    for selection in itertools.islice(method.selections(method.labels, 5, np.random.default_rng(0)), 5):
        assert (ORIGIN[selection.labelled] == LR).all()
        assert len(selection.labelled) == 8
    assert set(steps(method, 3, 5, np.random.default_rng(0))[0]) == {"ic"}
    other = Drfm(config(), TinyDual(), pairs_of(), clusterer=finds)
    other.load_state_dict(method.state_dict())
    assert other.labels.clusters == 0
    method._clusterer = by_person
    assert method.relabel(extracted(method.model), 6).clusters == PEOPLE


def test_nothing_to_learn_from():
    with pytest.raises(DrfmError, match=r"labels\.eps = 0\.6, labels\.k1 = 30"):
        ready(clusterer=nobody, loss=LossConfig(ic_weight=0))
    with pytest.raises(DrfmError, match="no HR captures"):
        Drfm(config(), TinyDual(), pairs_of(np.full(4, LR, dtype=np.int8)))
    with pytest.raises(DrfmError, match=r"labels\.source = fused"):
        Drfm(
            config(labels=LabelsConfig(source="fused"), model=ModelConfig(fusion="none")),
            TinyDual(),
            pairs_of(),
        )


def test_hr_pairs_alone_train_without_consistency():
    hr = ORIGIN == HR
    model = TinyDual()
    method = Drfm(config(), model, pairs_of(ORIGIN[hr]), clusterer=by_person)
    with torch.no_grad():
        method.relabel(model(HR_IMAGES[hr], LR_IMAGES[hr]).spaces(), 0)
    rows = next(method.selections(method.labels, 9, np.random.default_rng(0))).labelled
    losses = method.losses(Batch(torch.from_numpy(rows), (HR_IMAGES[hr][rows], LR_IMAGES[hr][rows])), None, 9)
    assert losses["ic"].item() == 0.0
    assert losses["cc"].item() > 0


@pytest.mark.parametrize("identification", ["cc", "sc"])
@pytest.mark.parametrize("life", ["epoch", "run"])
@pytest.mark.parametrize("refresh", ["step", "epoch"])
def test_a_resumed_run_is_the_same_run(identification, life, refresh, tmp_path):
    sections = {
        "memory": MemoryConfig(life=life, refresh=refresh),
        "loss": LossConfig(identification=identification, ps_start=0, ps_batch=4),
        "labels": LabelsConfig(source="memory", centroids="memory", every=2),
    }
    straight = ready(**sections)
    steps(straight, 4, 0, np.random.default_rng(0))
    torch.save({"method": straight.state_dict(), "model": straight.model.state_dict()}, tmp_path / "state.pt")
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    resumed = Drfm(config(**sections), TinyDual(seed=5), pairs_of(), clusterer=by_person)
    resumed.model.load_state_dict(saved["model"])
    resumed.load_state_dict(saved["method"])
    assert resumed.labels.facts == straight.labels.facts
    histories = []
    for method in (straight, resumed):
        random = np.random.default_rng(7)
        history = steps(method, 3, 0, random)
        for epoch in (1, 2):
            method.relabel(extracted(method.model), epoch)
            history += steps(method, 3, epoch, random)
        histories.append(history)
    assert histories[0] == histories[1]
    one, other = straight.state_dict(), resumed.state_dict()
    for space in one["memories"]:
        assert all(
            torch.equal(one["memories"][space][n], other["memories"][space][n])
            for n in one["memories"][space]
        )


def test_a_state_before_the_first_epoch():
    method = Drfm(config(), TinyDual(), pairs_of(), clusterer=by_person)
    method.load_state_dict(Drfm(config(), TinyDual(), pairs_of(), clusterer=by_person).state_dict())
    assert method.labels is None


def test_a_state_of_other_data_is_refused():
    state = ready().state_dict()
    with pytest.raises(DrfmError, match="labels of 24 pairs, the training set has 23"):
        Drfm(config(), TinyDual(), pairs_of(ORIGIN[1:]), clusterer=by_person).load_state_dict(state)


def test_features_given_are_left_alone():
    model = TinyDual()
    features = extracted(model)
    before = {space: rows.clone() for space, rows in features.items()}
    method = Drfm(config(), model, pairs_of(), clusterer=by_person)
    method.relabel(features, 0)
    steps(method, 3, 0, np.random.default_rng(0))
    assert all(torch.equal(before[space], features[space]) for space in features)


def test_methods_are_found_by_name():
    blank = np.zeros((COUNT, SIDE, SIDE, 3), dtype=np.uint8)
    zeros = np.zeros(COUNT, dtype=np.int64)
    pairs = PairSet(blank, blank, ORIGIN, zeros, zeros.astype(np.int32), tuple(map(str, range(COUNT))))
    assert isinstance(build_method(Config(), TinyDual(), pairs), Drfm)
    assert "drfm" in METHODS
    with pytest.raises(DrfmError, match=r"method = drmf: choose one of .*drfm"):
        build_method(replace(Config(), method="drmf"), TinyDual(), pairs)
