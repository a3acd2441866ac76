"""Bundles that were changed are refused, and encoders take what they should."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import drfm
from drfm.errors import DrfmError
from drfm.gallery import bundle as bundles
from drfm.gallery.bundle import read_bundle, write_calibration
from drfm.gallery.modelcard import licence_notes, model_card

CALIBRATION = {
    "rates": {"likely": 0.001, "possible": 0.01}, "confidence": 0.95, "notes": ["From nothing."],
    "labelled": True, "evidence_from": None, "bands": [],
}  # fmt: skip


@pytest.fixture(scope="module")
def made(make, tmp_path_factory):
    return make(tmp_path_factory.mktemp("made"))


@pytest.fixture
def copy(made, tmp_path):
    return shutil.copytree(made.folder, tmp_path / "copy")


@pytest.fixture(scope="module")
def encoder(made):
    return drfm.load(made.folder, device="cpu")


@pytest.mark.parametrize("name", ["model.safetensors", "README.md"])
@pytest.mark.parametrize("how", ["changed", "missing"])
def test_a_changed_or_missing_file_is_refused(copy, name, how):
    if how == "missing":
        (copy / name).unlink()
    else:
        data = bytearray((copy / name).read_bytes())
        data[-1] ^= 1
        (copy / name).write_bytes(data)
    with pytest.raises(
        DrfmError, match=rf"{name}: is missing, or not the file of this bundle; copy the whole"
    ):
        drfm.load(copy)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("encoder", "preprocessing", "images", "hr_size"), [64, 32]),
        (("encoder", "preprocessing", "lr_below"), 51),
        (("encoder", "preprocessing", "features"), "hr"),
        (("encoder", "model", "crff_gate"), "sigmoid"),
        (("encoder", "dimension"), 33),
        (("calibration",), CALIBRATION),
        (("files", "model.safetensors"), "0" * 64),
    ],
)
def test_an_edited_record_is_refused(copy, path, value):
    record = json.loads((copy / "bundle.json").read_text())
    inner = record
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    (copy / "bundle.json").write_text(json.dumps(record))
    with pytest.raises(DrfmError, match=r"bundle\.json: was changed after it was written"):
        read_bundle(copy)


def test_weights_of_another_bundle_are_refused(made, make, tmp_path, copy):
    other = make(tmp_path, fusion="none", features="hr")
    shutil.copy(other.folder / "model.safetensors", copy / "model.safetensors")
    with pytest.raises(DrfmError, match="not the file of this bundle"):
        drfm.load(copy)
    assert other.id != made.id


def test_another_format_and_no_bundle_are_refused(copy, tmp_path):
    with pytest.raises(DrfmError, match=r"is no bundle \(bundle\.json is missing\); `drfm bundle RUN"):
        read_bundle(tmp_path)
    (copy / "bundle.json").write_text('{"format": 7}')
    with pytest.raises(DrfmError, match="format 7, this version of drfm reads 1"):
        read_bundle(copy)


@pytest.mark.parametrize("how", ["more", "less"])
def test_a_preparation_of_another_version_is_refused(copy, how):
    record = json.loads((copy / "bundle.json").read_text())
    if how == "more":
        record["encoder"]["preprocessing"]["images"]["angle"] = 1
    else:
        del record["encoder"]["preprocessing"]["std"]
    record["id"] = bundles.fingerprint(record["encoder"])
    bundles._write_record(copy, record)
    with pytest.raises(DrfmError, match=r"bundle\.json: its preparation does not fit this version"):
        read_bundle(copy)


def test_weights_that_were_cut_before_they_were_bundled_are_refused(made, tmp_path):
    short = tmp_path / "short.safetensors"
    short.write_bytes((made.folder / "model.safetensors").read_bytes()[:1000])
    cut = bundles.write_bundle(tmp_path / "cut", made.record, {"model.safetensors": short})
    with pytest.raises(DrfmError, match=r"model\.safetensors: cannot be read as safetensors"):
        drfm.load(cut.folder)


def test_a_calibration_changes_record_and_card_but_not_the_id(copy, made):
    found = write_calibration(read_bundle(copy), CALIBRATION)
    assert found.id == made.id
    assert found.record["calibration"] == CALIBRATION
    assert "From nothing." in (copy / "README.md").read_text()
    again = write_calibration(found, {**CALIBRATION, "notes": ["Once more."]})
    assert read_bundle(copy).record == again.record


def test_the_card_shows_no_threshold_of_a_verdict_that_is_never_given(copy):
    write_calibration(read_bundle(copy), {**CALIBRATION, "labelled": False})
    card = (copy / "README.md").read_text()
    assert "| likely" not in card
    assert "to be called possible" in card


def test_a_crash_between_record_and_card_does_no_harm(copy, monkeypatch):
    def crash(path, data):
        raise KeyboardInterrupt

    monkeypatch.setattr(bundles, "write_atomic", crash)
    with pytest.raises(KeyboardInterrupt):
        write_calibration(read_bundle(copy), CALIBRATION)
    monkeypatch.undo()
    assert read_bundle(copy).record["calibration"] == CALIBRATION


def test_vectors_have_unit_length_and_do_not_depend_on_the_batch(encoder, tmp_path):
    random = np.random.default_rng(0)
    crops = [random.integers(0, 256, (h, 20, 3), dtype=np.uint8) for h in (10, 30, 49, 50, 51, 80)]
    files = [tmp_path / f"{number}.png" for number in range(len(crops))]
    for crop, file in zip(crops, files, strict=True):
        Image.fromarray(crop).save(file)
    rows = encoder.encode(crops)
    assert rows.shape == (6, 32)
    assert rows.dtype == np.float32
    assert np.abs(np.linalg.norm(rows, axis=1) - 1).max() < 1e-5
    assert np.abs(encoder.encode(files, batch_size=1) - rows).max() < 1e-5
    assert (encoder.encode([str(file) for file in files]) == rows).all()
    assert np.abs(encoder.encode(crops[2]) - rows[2]).max() < 1e-5
    assert encoder.encode([]).shape == (0, 32)


def test_crops_may_come_one_by_one(encoder, tmp_path):
    for number in range(3):
        Image.new("RGB", (8, 20), (number * 60, 90, 20)).save(tmp_path / f"{number}.png")
    files = sorted(tmp_path.glob("*.png"))
    assert np.array_equal(encoder.encode(path for path in files), encoder.encode(files))
    assert encoder.encode([]).shape == (0, 32)


def test_the_height_decides_unless_it_is_said(encoder):
    crops = [np.random.default_rng(h).integers(0, 256, (h, 20, 3), dtype=np.uint8) for h in (49, 50)]
    assert (encoder.encode(crops) == encoder.encode(crops, ["lr", "hr"])).all()
    assert (encoder.encode(crops, ["lr", None]) == encoder.encode(crops)).all()
    assert np.abs(encoder.encode(crops, "hr")[0] - encoder.encode(crops)[0]).max() > 1e-4


@pytest.mark.parametrize(
    ("crops", "options", "message"),
    [
        ([np.zeros((4, 4), np.uint8)], {}, r"crop 0 = array of uint8 \(4, 4\): give uint8 RGB"),
        ([np.zeros((4, 4, 3))], {}, r"crop 0 = array of float64"),
        ([np.zeros((0, 4, 3), np.uint8)], {}, r"crop 0 = array of uint8 \(0, 4, 3\)"),
        ([None], {}, "crop 0 = NoneType: give a file or a uint8 array"),
        (["none.png"], {}, r"none\.png: no such file"),
        ([np.zeros((4, 4, 3), np.uint8)], {"resolution": "low"}, "resolution = low: give hr, lr"),
        ([np.zeros((4, 4, 3), np.uint8)], {"resolution": ["hr", "lr"]}, "2 values for 1 crops"),
        ([np.zeros((4, 4, 3), np.uint8)], {"batch_size": 0}, "batch_size = 0: give 1 or more"),
    ],
)
def test_what_is_no_crop_is_refused(encoder, crops, options, message):
    with pytest.raises(DrfmError, match=message):
        encoder.encode(crops, **options)


def test_a_device_that_is_not_there_is_refused(made):
    with pytest.raises(DrfmError, match="device = abacus: there is no such device here"):
        drfm.load(made.folder, device="abacus")


def test_the_card_says_what_must_be_known(made):
    card = model_card(made.record)
    for words in (
        "mostly clothing", "It cannot", "never a finding", "Out of scope", "evidence in any proceeding",
        "**Super-resolved detail is invented, and no evidence.**", "was not tested", "GDPR", "2024/1689",
        "no similarity of this model means", "**was not measured**", "## Licences",
    ):  # fmt: skip
        assert words in " ".join(card.split())


def test_terms_follow_the_training_data():
    notes = licence_notes("market1501", {"source": "a/b"}, {"sr_model": "c"})
    assert "research only" in " ".join(notes)
    assert "a/b" in " ".join(notes)
    assert "own licence" in notes[-1]
    assert "nobody is in them" in licence_notes("market-style", {"source": "random"}, {}, drawn=True)[1]
    assert "collected by whoever" in licence_notes("folder", {"source": "random"}, {})[1]
    assert "were not read" in licence_notes("grid", {"source": "random"}, {})[1]
