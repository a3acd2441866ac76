import pytest

from drfm.config import TrainConfig
from drfm.engine.schedule import Stream, epoch_seed, learning_rate


def test_step_decays_by_ten():
    config = TrainConfig(lr=1.0, schedule="step", lr_step=20)
    assert [learning_rate(config, e) for e in (0, 19, 20, 39, 40)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_constant():
    assert learning_rate(TrainConfig(lr=0.5, schedule="constant"), 39) == 0.5


def test_warmup_rises_from_a_tenth_and_stays():
    config = TrainConfig(lr=1.0, schedule="warmup", warmup=10)
    assert [learning_rate(config, e) for e in (0, 5, 10, 30)] == pytest.approx([0.1, 0.55, 1, 1])


def test_cosine_begins_at_the_rate_and_falls():
    config = TrainConfig(lr=1.0, schedule="cosine", epochs=4)
    rates = [learning_rate(config, e) for e in range(4)]
    assert rates[0] == 1
    assert rates == sorted(rates, reverse=True)
    assert rates[2] == pytest.approx(0.5)


def test_seeds_differ_by_seed_epoch_and_stream_and_repeat():
    seeds = {epoch_seed(s, e, k) for s in range(4) for e in range(4) for k in Stream}
    assert len(seeds) == 4 * 4 * len(Stream)
    assert epoch_seed(1, 2, Stream.AUGMENT) == epoch_seed(1, 2, Stream.AUGMENT)
    assert all(0 <= seed < 2**63 for seed in seeds)
