import pytest
import torch

from drfm.config.load import load_config
from drfm.engine import precision
from drfm.engine.precision import settle_precision
from drfm.models.build import build_model

CPU = torch.device("cpu")


@pytest.fixture
def config(tiny):
    return load_config("paper", None, {**tiny.OPTIONS, "train.precision": "auto"}).config


@pytest.mark.parametrize(("low", "chosen"), [(0.89, "bfloat16"), (0.91, "float32"), (3.0, "float32")])
def test_the_faster_one_is_chosen_where_it_pays(config, monkeypatch, low, chosen):
    monkeypatch.setattr(precision, "bare_seconds", lambda calls, device: low if calls[0].low else 1.0)
    settled, facts = settle_precision(config, build_model(config.model, seed=1), CPU)
    assert settled.train.precision == facts["chosen"] == chosen
    assert facts["seconds"] == {"float32": 1.0, "bfloat16": low}


def test_both_are_measured_without_a_trace(config):
    model = build_model(config.model, seed=1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    settled, facts = settle_precision(config, model, CPU)
    assert settled.train.precision in ("float32", "bfloat16")
    assert min(facts["seconds"].values()) > 0
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_run_keeps_what_it_began_with(config):
    settled, facts = settle_precision(config, torch.nn.Module(), CPU, known="bfloat16")
    assert settled.train.precision == "bfloat16"
    assert facts == {}
