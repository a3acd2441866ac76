"""Every method trains, resumes bit for bit, and does not stop on small data."""

import os
import signal

import numpy as np
import pytest
import torch

from drfm.engine.checkpoint import load_checkpoint
from drfm.engine.journal import Journal
from drfm.engine.trainer import Interrupted
from drfm.methods import METHODS
from drfm.resolution.pairs import pairs_from_arrays

PRESETS = {"drfm": "paper", "single": "a1"}
VARIANTS = {
    "ice without cameras": {"options": "cameras=false", "sampler.kind": "pk"},
    "pplr with cameras": {"options": "cameras=true,agree_start=1"},
    "purification without warm epochs": {"options": "warm_epochs=0"},
    "dccc student": {"options": "result=student,decay=log"},
    "rlim not refined": {"options": "refine=false"},
    "a2": {},
    "a3": {},
    "a4": {},
    "a5": {},
    "a6": {},
    "a7": {},
    "a7 life": {"memory.life": "run"},
    "a8": {},
    "cluster_contrast hard": {"options": "update=hard"},
    "spcl features": {"labels.source": "features", "memory.life": "epoch", "labels.outliers": "exclude"},
}
CASES = [(PRESETS.get(name, name), {}) for name in METHODS]
CASES += [(name.split()[0], changes) for name, changes in VARIANTS.items()]
NAMES = [*METHODS, *VARIANTS]


def same(a, b) -> bool:
    """Bit for bit, through dicts and lists; timings do not count."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a if k != "seconds")
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def interrupt_after(trainer, steps):
    step = trainer._step

    def counting(*arguments):
        nonlocal steps
        steps -= 1
        if steps == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return step(*arguments)

    trainer._step = counting
    with pytest.raises(Interrupted):
        trainer.fit()


@pytest.mark.parametrize(("preset", "changes"), CASES, ids=NAMES)
def test_a_run_cut_in_an_epoch_and_between_two_is_the_same_run(tiny, tmp_path, preset, changes):
    torch.set_num_threads(1)
    # The last epoch's labels are one epoch old, so they come from the checkpoint.
    changes = changes | {"labels.every": 2}
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    tiny.tiny_trainer(whole, 4, preset, **changes).fit()
    for steps in (2, 4, 3):
        interrupt_after(tiny.tiny_trainer(cut, 4, preset, **changes), steps)
    tiny.tiny_trainer(cut, 4, preset, **changes).fit()
    assert same(load_checkpoint(whole / "checkpoint.pt"), load_checkpoint(cut / "checkpoint.pt"))
    entries = Journal(whole / "journal.jsonl").read()
    assert len(entries) == 4
    assert all(entry["clusters"] >= 2 and np.isfinite(entry["loss"]["total"]) for entry in entries)
    assert same(entries, Journal(cut / "journal.jsonl").read())


# A3 has nothing to learn from where HR images form no cluster, and says so.
@pytest.mark.parametrize(("preset", "changes"), [case for case in CASES if case[0] != "a3"])
@pytest.mark.parametrize("persons", [1, 3])
def test_small_data_stops_no_loader(tiny, tmp_path, preset, changes, persons):
    """Fewer clusters than a batch has classes, fewer images than a batch, fewer images than k1."""
    pairs = tiny.tiny_pairs(persons=persons, shots=1)
    small = {"labels.k1": 30, "labels.k2": 6, "labels.eps": 0.6, "labels.min_samples": 4}
    small |= {"sampler.batch": 64, "sampler.instances": 16, "train.iterations": 2}
    trainer = tiny.tiny_trainer(tmp_path, 2, preset, pairs, **small, **changes)
    trainer.fit()
    for entry in trainer.journal.read():
        assert np.isfinite(entry["loss"]["total"])


@pytest.mark.parametrize(("preset", "changes"), CASES, ids=NAMES)
def test_training_changes_the_model_and_not_the_features_it_was_given(tiny, tmp_path, preset, changes):
    trainer = tiny.tiny_trainer(tmp_path, 1, preset, **changes)
    before = {name: value.clone() for name, value in trainer.method.model.state_dict().items()}
    given = trainer._extract()
    kept = {name: rows.clone() for name, rows in given.items()}
    trainer._extract = lambda: given
    trainer.fit()
    assert all(torch.equal(kept[name], given[name]) for name in kept)
    after = trainer.method.model.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(("preset", "changes"), CASES, ids=NAMES)
def test_every_method_has_a_ceiling_that_says_what_it_is(tiny, tmp_path, preset, changes):
    """Trained on true identities, whatever the features are."""
    persons = np.repeat(np.arange(5), 8)
    changes = changes | {"labels.source": "ground_truth"}
    trainer = tiny.tiny_trainer(tmp_path, 2, preset, truth=persons, **changes)
    trainer.fit()
    assert trainer.labels.labels.tolist() == persons.tolist()
    for entry in trainer.journal.read():
        assert entry["labels"]["supervised"] == "labels are true identities"
        assert (entry["clusters"], entry["outliers"]) == (5, 0)
        assert np.isfinite(entry["loss"]["total"])


def test_images_without_cameras_are_trained_on(tiny, tmp_path):
    known = tiny.tiny_pairs()
    unknown = pairs_from_arrays(known.hr, known.lr, known.origin)
    trainer = tiny.tiny_trainer(tmp_path, 1, "cluster_contrast", unknown)
    trainer.fit()
    assert trainer.journal.read()[0]["clusters"] >= 2
