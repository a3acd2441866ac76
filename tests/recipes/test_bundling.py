"""From a run to a bundle, and from a bundle to the very vectors that the run was tested with."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import drfm
from drfm import recipes
from drfm.data.imagefile import open_image
from drfm.data.manifest import load_benchmark
from drfm.errors import DrfmError
from drfm.files import sha256_file
from drfm.models.extract import extract
from drfm.models.storage import load_model
from drfm.recipes.bundling import height_rule
from drfm.resolution.store import open_pairs


@pytest.fixture(scope="module")
def made(whole, tmp_path_factory):
    return recipes.bundle(whole, tmp_path_factory.mktemp("bundles") / "made")


def test_the_bundle_encodes_files_as_the_run_encodes_its_pairs(made, whole, bench, cache, configure):
    entries = load_benchmark(bench).query + load_benchmark(bench).gallery
    pairs = open_pairs(entries, configure().config.images, cache, workers=1)
    wanted = extract(load_model(whole / "model"), pairs, device="cpu", batch_size=7)["fused"].numpy()
    known = [entry.resolution for entry in entries]
    encoder = drfm.load(made.folder)
    found = encoder.encode([entry.path for entry in entries], known, batch_size=7)
    assert found.dtype == np.float32
    assert (found == wanted).all()
    arrays = [open_image(entry.path) for entry in entries]
    assert (encoder.encode(arrays, known, batch_size=7) == wanted).all()


def test_the_rule_is_what_parted_the_training_images(made, bench):
    heights = {e.resolution: [] for e in load_benchmark(bench).train}
    for entry in load_benchmark(bench).train:
        heights[entry.resolution].append(entry.height)
    assert max(heights["lr"]) < made.record["rule"]["lr_below"] <= min(heights["hr"])
    assert made.record["rule"]["balanced_accuracy"] == 1


def test_the_record_says_what_the_model_is(made, whole):
    record, run = made.record, json.loads((whole / "record.json").read_text())
    assert record["encoder"]["weights"] == sha256_file(whole / "model" / "model.safetensors")
    assert record["encoder"]["dimension"] == 32
    assert record["training"]["benchmark"] == run["benchmark"]
    assert record["training"]["result"]["rows"]["trained"]["rank1"] == run["headline"]["rank1"]
    assert "local" not in json.dumps(record["rule"])
    card = (made.folder / "README.md").read_text()
    for words in ("mostly clothing", "invented", "GDPR", "evidence", made.id):
        assert words in card


def test_the_same_run_gives_the_same_bundle(made, whole, tmp_path):
    assert recipes.bundle(whole, tmp_path / "again").record == made.record


def test_a_run_whose_data_are_gone_needs_the_rule(made, whole, tmp_path):
    run = shutil.copytree(whole, tmp_path / "run")
    (run / "local.json").unlink()
    with pytest.raises(DrfmError, match=r"local\.json: missing .*or give --lr-below ROWS"):
        recipes.bundle(run, tmp_path / "out")
    other = recipes.bundle(run, tmp_path / "out", lr_below=20)
    assert other.record["rule"] == {"lr_below": 20, "from": "given"}
    assert other.id != made.id


def test_a_model_of_another_run_is_refused(whole, tmp_path):
    run = shutil.copytree(whole, tmp_path / "run")
    record = json.loads((run / "record.json").read_text())
    record["model"]["sha256"] = "0" * 64
    (run / "record.json").write_text(json.dumps(record))
    with pytest.raises(DrfmError, match=r"model\.safetensors: is not the model of .*record\.json"):
        recipes.bundle(run, tmp_path / "out")


@pytest.mark.parametrize(("lr_below", "message"), [(-1, "--lr-below = -1: give 0 or more rows")])
def test_a_senseless_rule_is_refused(whole, tmp_path, lr_below, message):
    with pytest.raises(DrfmError, match=message):
        recipes.bundle(whole, tmp_path / "out", lr_below=lr_below)


def test_an_unfinished_run_and_a_taken_folder_are_refused(whole, made, tmp_path):
    with pytest.raises(DrfmError, match="holds no finished run"):
        recipes.bundle(tmp_path, tmp_path / "out")
    with pytest.raises(DrfmError, match="exists already; choose another --out"):
        recipes.bundle(whole, made.folder)
    assert sorted(path.name for path in made.folder.parent.iterdir()) == ["made"]


def test_importing_drfm_stays_light():
    script = (
        "import sys, drfm; assert callable(drfm.load); assert not {'torch', 'numpy'} & sys.modules.keys()"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans()), min_size=1, max_size=30))
def test_no_height_parts_better_than_the_rule(captures):
    height, low = np.array([h for h, _ in captures]), np.array([b for _, b in captures])
    rows, accuracy = height_rule(height, low)

    def right(threshold):
        sides = [(height[low] < threshold).mean()] if low.any() else []
        sides += [(height[~low] >= threshold).mean()] if (~low).any() else []
        return sum(sides) / len(sides)

    assert right(rows) == pytest.approx(accuracy)
    assert accuracy == pytest.approx(max(right(threshold) for threshold in range(42)))


def test_the_rule_stands_in_the_middle_of_the_gap():
    assert height_rule([32, 40, 64, 128, 128], [True, True, True, False, False]) == (91, 1.0)
    assert height_rule([50, 60], [False, False]) == (0, 1.0)
    assert height_rule([50, 60], [True, True]) == (61, 1.0)
