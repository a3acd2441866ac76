"""Benchmarks with their pairs in the store."""

import numpy as np

from drfm.data.records import HR, LR
from drfm.engine.journal import Journal
from drfm.recipes.data import prepare


def test_several_twins_of_a_capture_are_there_for_training_alone(bench, cache, configure):
    plain = prepare(bench, configure().config, cache)
    some = prepare(bench, configure(images__twin_rates="several").config, cache)
    train = some.train.pairs
    assert len(train.twins) == 2
    np.testing.assert_array_equal(train.lr, plain.train.pairs.lr)
    for rate, twins in zip((2, 3), train.twins, strict=True):
        other = prepare(bench, configure(images__twin_rate=rate).config, cache).train.pairs
        np.testing.assert_array_equal(twins, other.lr)
        changed = (twins != train.lr).any(axis=(1, 2, 3))
        assert changed[train.origin == HR].all()
        assert not changed[train.origin == LR].any()
    assert train.key != plain.train.pairs.key
    assert train.facts["twin_rates"] == [2, 3, 4]
    assert some.test is not None
    assert some.test.gallery.pairs.twins == ()
    assert some.test.gallery.pairs.key == plain.test.gallery.pairs.key


def test_a_run_with_several_twins_is_another_run(train, configure, tmp_path):
    losses = []
    for rates in ("fixed", "several"):
        run = tmp_path / rates
        train(run, configure(train__epochs=1, images__twin_rates=rates))
        losses.append(Journal(run / "journal.jsonl").read()[0]["loss"]["total"])
    assert losses[0] != losses[1]
