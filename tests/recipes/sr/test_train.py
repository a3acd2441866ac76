"""Training and measuring super-resolution end to end, on tiny pictures."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch

from drfm.cli import main
from drfm.config.schema import ImagesConfig
from drfm.data.imagefile import open_image
from drfm.data.manifest import load_benchmark
from drfm.errors import DrfmError
from drfm.recipes.sr import captures as captures_module
from drfm.recipes.sr import evaluate_sr, train_sr
from drfm.recipes.sr import train as train_module
from drfm.recipes.sr.captures import find_captures, hold_out
from drfm.recipes.sr.measure import examples, measure, summary
from drfm.recipes.sr.sheet import sheet
from drfm.resolution.choices import SRChoices
from drfm.resolution.quality import psnr
from drfm.resolution.superresolve import Bicubic, make_resolver

pytest.importorskip("transformers")

CHOICES = SRChoices(patch=(8, 8), rates=(2,), steps=4, batch=2, every=2, held=0.2, warmup=0, device="cpu")


@pytest.fixture(scope="module")
def model(bench, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sr") / "model"
    train_sr(bench, folder, CHOICES)
    return folder


def test_the_result_is_a_folder_that_swin2sr_loads(model, bench):
    images = ImagesConfig(sr="swin2sr", sr_model=str(model))
    resolver = make_resolver(images, "cpu")
    (large,) = resolver([np.zeros((9, 5, 3), np.uint8)])
    assert large.shape == (36, 20, 3)
    result = json.loads((model / "result.json").read_text())
    assert result["benchmark"]["id"] == load_benchmark(bench).id
    assert result["captures"] == {"train": 12, "held": 3, "held_by": "persons", "skipped": 0}
    assert [entry["step"] for entry in result["history"]] == [2, 4]
    captures = find_captures(bench, CHOICES)
    again = measure(captures, 2, "benchmark", resolver)
    assert again["psnr"]["model"] == pytest.approx(result["scores"][0]["psnr"]["model"], abs=1e-6)
    assert open_image(model / "sheet.png").shape[2] == 3


def test_neither_test_images_nor_blurry_ones_are_opened(bench, tmp_path, monkeypatch):
    opened = set()
    for module, name in ((captures_module, "load"), (captures_module, "open_image")):
        genuine = getattr(module, name)

        def watched(what, genuine=genuine):
            opened.add(str(getattr(what, "path", what)))
            return genuine(what)

        monkeypatch.setattr(module, name, watched)
    train_sr(bench, tmp_path / "m", dataclasses.replace(CHOICES, steps=1))
    sharp = {str(entry.path) for entry in load_benchmark(bench).train if entry.resolution == "hr"}
    assert opened == sharp


def test_held_out_persons_are_not_trained_on(bench):
    found = find_captures(bench, CHOICES)
    assert found.held_by == "persons"
    assert {entry.person for entry in found.train}.isdisjoint(entry.person for entry in found.held)
    other = find_captures(bench, dataclasses.replace(CHOICES, hold_out="images"))
    assert other.held_by == "images"
    assert len(other.held) == 3
    assert not {entry.name for entry in other.train} & {entry.name for entry in other.held}
    assert find_captures(bench, dataclasses.replace(CHOICES, seed=9)).held == found.held


def test_unknown_persons_are_held_out_by_image(bench):
    entries = [dataclasses.replace(entry, person=-3) for entry in load_benchmark(bench).train]
    assert hold_out(entries, CHOICES, "salt")[0] == "images"
    with pytest.raises(DrfmError, match="hold_out = persons: no person"):
        hold_out(entries, dataclasses.replace(CHOICES, hold_out="persons"), "salt")


def test_a_training_that_was_cut_ends_with_the_same_bits(model, bench, tmp_path, monkeypatch):
    genuine = train_module.step

    def stops(state, *rest):
        if state.step == 3:
            raise KeyboardInterrupt
        return genuine(state, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(train_module, "step", stops)
        with pytest.raises(KeyboardInterrupt):
            train_sr(bench, tmp_path / "cut", CHOICES)
    said = []
    train_sr(bench, tmp_path / "cut", CHOICES, say=said.append)
    assert "steps 2 to 4" in said[0]
    for name in ("model.safetensors", "sr.json", "config.json", "sheet.png", "result.md"):
        assert (tmp_path / "cut" / name).read_bytes() == (model / name).read_bytes(), name


def test_what_is_kept_is_the_average_of_the_weights(bench):
    """Decay 1/11, 2/12, 3/13 and so on until it is that of the choices."""
    choices = dataclasses.replace(CHOICES, ema=0.15)
    state = train_module._new(choices, torch.device("cpu"))
    drawn = train_module.patches(find_captures(bench, choices), choices)
    expected = {name: value.clone() for name, value in state.network.state_dict().items()}
    for number, decay in enumerate((1 / 11, 0.15, 0.15)):  # 2/12 is above 0.15
        train_module.step(state, drawn.batch(number, 2), choices, torch.device("cpu"))
        for name, value in state.network.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * value
    for name, value in expected.items():
        torch.testing.assert_close(state.average[name], value)
    assert not torch.equal(
        state.average["upsample.conv.bias"], state.network.state_dict()["upsample.conv.bias"]
    )


def test_another_training_in_the_folder_is_refused(model, bench, tmp_path):
    copy = shutil.copytree(model, tmp_path / "copy")
    with pytest.raises(DrfmError, match="other choices or data"):
        train_sr(bench, copy, dataclasses.replace(CHOICES, lr=2e-3))


def test_a_bad_capture_is_listed_and_does_not_stop_the_rest(bench, tmp_path):
    copy = shutil.copytree(bench, tmp_path / "bench")
    sharp = [entry for entry in load_benchmark(copy).train if entry.resolution == "hr"]
    sharp[0].path.write_bytes(b"no image")
    sharp[1].path.unlink()
    said = []
    result = train_sr(copy, tmp_path / "m", dataclasses.replace(CHOICES, steps=1), say=said.append)
    assert result["captures"]["skipped"] == 2
    assert [line for line in said if line.startswith("skipped: ")][1].endswith("no such file")


def test_too_small_captures_are_one_line(bench, tmp_path):
    with pytest.raises(DrfmError, match=r"0 HR captures .* of 15, .*patches need 64x32") as caught:
        train_sr(bench, tmp_path / "m", SRChoices(rates=(4,)))
    assert "\n" not in str(caught.value)


def test_training_lowers_the_loss_on_a_pattern_that_bicubic_cannot_restore(bench, tmp_path):
    result = train_sr(bench, tmp_path / "m", dataclasses.replace(CHOICES, steps=20, batch=8, every=10))
    first, last = (entry["loss"] for entry in result["history"])
    assert last < first
    assert result["scores"][0]["psnr"]["gain"] > 0


def test_bicubic_gains_nothing_where_rate_and_magnification_agree(bench):
    scores = measure(find_captures(bench, CHOICES), 2, "benchmark", Bicubic(2))
    assert scores["psnr"]["gain"] == 0
    assert scores["ssim"]["better"] == 0


def test_summary():
    rows = np.array([[20.0, 22.0, 0.5, 0.4], [30.0, 31.0, 0.7, 0.9]])
    found = summary(rows)
    assert found["psnr"] == {
        "bicubic": 25, "model": 26.5, "gain": 1.5, "gain_std": pytest.approx(np.sqrt(0.5)), "better": 1,
    }  # fmt: skip
    assert found["ssim"]["better"] == 0.5
    assert summary(rows[:1])["psnr"]["gain_std"] == 0


def test_examples_and_their_sheet(bench):
    captures = find_captures(bench, CHOICES)
    shown = examples(captures, captures.held, 2, "realistic", Bicubic(2))
    again = examples(captures, captures.held[1:], 2, "realistic", Bicubic(2))
    np.testing.assert_array_equal(shown[1].small, again[0].small)
    np.testing.assert_array_equal(shown[0].bicubic, shown[0].resolved)
    assert psnr(shown[0].bicubic, shown[0].sharp) < 100
    picture = sheet(shown)
    assert picture.shape == (4 * 196, 3 * 100, 3)


def test_evaluation_compares_back_ends(model, bench, cache, configure, tmp_path):
    config = configure().config
    found = evaluate_sr(bench, [str(model)], config, cache=cache)
    bicubic, own = found["backends"]
    assert bicubic["facts"]["sr"] == "bicubic (interpolation)"
    assert own["facts"]["sr_checksum"] == json.loads((model / "sr.json").read_text())["checksum"]
    assert own["scores"][0]["images"] == 3
    assert own["seconds_per_image"] > 0
    assert bicubic["retrieval"]["lr"] == own["retrieval"]["lr"]  # LR-space images know no super-resolution
    assert set(own["retrieval"]) >= {"hr", "lr", "fused"}
    other = shutil.copytree(model, tmp_path / "other")
    description = json.loads((other / "sr.json").read_text())
    description["facts"]["choices"]["held"] = 0.3
    (other / "sr.json").write_text(json.dumps(description))
    with pytest.raises(DrfmError, match="another held"):
        evaluate_sr(bench, [str(model), str(other)], config, cache=cache)


def test_commands(bench, tmp_path, capsys):
    torch.set_num_threads(1)
    words = ["sr", "train", str(bench), "--out", str(tmp_path / "m"), "--rates", "2"]
    small = ["--batch", "1", "--degradation", "realistic", "--steps", "1", "--patch", "8x8"]
    assert main([*words, *small]) == 0
    assert "--images.sr-model" in capsys.readouterr().out.replace("_", "-")
    for wrong, said in (
        (["--steps", "0"], "steps = 0: give 1 or more"),
        (["--patch", "9x8"], "patch = (9, 8): give multiples of 8"),
        (["--size", "huge"], "size = huge"),
        (["--split", "-1"], "--split = -1"),
    ):
        assert main([*words, *wrong]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
