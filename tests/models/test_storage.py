import copy
import dataclasses
import json

import pytest
import safetensors.torch
import torch

from drfm.config import ModelConfig
from drfm.errors import DrfmError
from drfm.models.build import build_model
from drfm.models.storage import load_model, save_model


@pytest.mark.parametrize("sharing", ["separate", "shared", "stem"])
def test_round_trip(tmp_path, sharing):
    config = ModelConfig(backbone="efficientnet_lite0", weights="random", fusion="none", sharing=sharing)
    model = build_model(config, seed=1)
    with torch.no_grad():
        model.lr_encoder.neck.weight.fill_(2)
    save_model(model, tmp_path)
    state = torch.get_rng_state()
    again = load_model(tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    assert again.config == config
    assert again.facts == model.facts
    wanted = model.state_dict()
    for name, value in again.state_dict().items():
        assert torch.equal(value, wanted[name]), name
    assert len(list(again.parameters())) == len(list(model.parameters()))
    stored = safetensors.torch.load_file(tmp_path / "model.safetensors")
    assert len(stored) == len({id(v) for v in model.state_dict(keep_vars=True).values()})


def test_damage_is_noticed(tmp_path, model):
    with pytest.raises(DrfmError, match=r"model\.json: no such file"):
        load_model(tmp_path)
    save_model(copy.deepcopy(model), tmp_path)
    path = tmp_path / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(DrfmError, match="missing or damaged"):
        load_model(tmp_path)
    path.write_bytes(data)
    description = json.loads((tmp_path / "model.json").read_text())

    def describe(**changes):
        (tmp_path / "model.json").write_text(json.dumps(description | changes))

    describe(format=99)
    with pytest.raises(DrfmError, match="format 99"):
        load_model(tmp_path)
    describe(config={"backbones": "resnet18"})
    with pytest.raises(DrfmError, match="does not fit this version"):
        load_model(tmp_path)
    describe(config=dataclasses.asdict(dataclasses.replace(model.config, fusion="fc")))
    with pytest.raises(DrfmError, match=r"unknown tensor fusion\.f1"):
        load_model(tmp_path)
    describe(config=dataclasses.asdict(dataclasses.replace(model.config, backbone="mobilenetv2")))
    with pytest.raises(DrfmError, match="tensor hr_encoder"):
        load_model(tmp_path)
