"""`drfm gallery` and what `drfm calibrate` says: from images to an answer that can be judged."""

import csv
import importlib.util
import io
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from drfm.cli import main
from drfm.cli.calibrate import _line
from drfm.data.drawn import draw_person_image
from drfm.gallery.bundle import read_bundle, write_calibration


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = Path(__file__).parents[1] / "gallery" / "conftest.py"
    spec = importlib.util.spec_from_file_location("gallery_conftest_of_cli", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.tiny.__wrapped__()
    return module.made_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crops")
    for person in range(4):
        (folder / "door").mkdir(exist_ok=True)
        Image.fromarray(draw_person_image(person, 0, 0, 3)).save(folder / "door" / f"{person}.png")
    Image.fromarray(draw_person_image(1, 1, 0, 3)).save(folder / "query.png")
    Image.new("RGB", (10, 20), (90, 80, 70)).save(folder / "small.png")
    return folder


@pytest.fixture
def gallery(made, crops, tmp_path, capsys):
    place = str(tmp_path / "people")
    assert main(["gallery", "create", place, "--bundle", str(made.folder)]) == 0
    assert (
        main(["gallery", "add", place, str(crops / "door"), "--camera", "door", "--bundle", str(made.folder)])
        == 0
    )
    told = capsys.readouterr().out
    assert "4 of 4 images added" in told
    assert "4 added, 0 there already, 4 in all" in told
    return place


@pytest.fixture
def calibrated(made, tmp_path):
    """Anything is possible from 30 rows on, and nothing likely."""
    level = {
        "threshold": -1.0,
        "low": -1.0,
        "high": -1.0,
        "found": 0.8,
        "check_false": 0.01,
        "check_found": 0.8,
    }
    band = {"low": 30, "high": 400, "possible": level, "likely": level}
    found = {
        "rates": {"likely": 0.001, "possible": 0.01}, "confidence": 0.95, "labelled": False, "dropped": [],
        "evidence_from": 30, "source": "pseudo-labels", "benchmark": {}, "notes": [], "bands": [band],
    }  # fmt: skip
    copy = shutil.copytree(made.folder, tmp_path / "calibrated")
    return write_calibration(read_bundle(copy), found)


def test_an_answer_without_calibration_says_that_it_means_nothing(gallery, made, crops, capsys):
    words = ["gallery", "search", gallery, str(crops / "query.png"), "--bundle", str(made.folder), "--k", "3"]
    assert main([*words, "--format", "json"]) == 0
    shown = capsys.readouterr()
    lines = json.loads(shown.out)
    assert [line["rank"] for line in lines] == [1, 2, 3]
    assert {line["verdict"] for line in lines} == {None}
    assert {line["camera"] for line in lines} == {"door"}
    assert "not calibrated" in shown.err
    assert "drfm calibrate" in shown.err


def test_an_answer_is_judged_by_the_height_of_its_query(gallery, calibrated, crops, capsys):
    words = ["gallery", "search", gallery, str(crops / "query.png"), str(crops / "small.png")]
    assert main([*words, "--bundle", str(calibrated.folder), "--k", "2", "--format", "csv"]) == 0
    shown = capsys.readouterr()
    said = [(Path(row["query"]).name, row["verdict"]) for row in csv.DictReader(io.StringIO(shown.out))]
    assert said == [("query.png", "possible")] * 2 + [("small.png", "no evidence")] * 2
    assert "small.png: The query has 20 rows; below 30 rows there is no evidence" in shown.err
    assert "query.png" not in shown.err
    assert main([*words[:4], "--bundle", str(calibrated.folder)]) == 0
    assert "verdict" in capsys.readouterr().out


def test_a_gallery_of_another_bundle_is_refused(gallery, made, tmp_path, crops, capsys):
    assert main(["gallery", "create", str(tmp_path / "other"), "--size", "32"]) == 0
    assert main(["gallery", "search", gallery, str(crops / "query.png")]) == 2
    assert "give images and --bundle" in capsys.readouterr().err
    assert main(["gallery", "search", gallery, str(crops / "none.png"), "--bundle", str(made.folder)]) == 2
    assert "none.png: no such file" in capsys.readouterr().err


def test_a_bad_image_stops_an_add_or_is_named_and_left_out(made, tmp_path, crops, capsys):
    place, folder = str(tmp_path / "people"), tmp_path / "mixed"
    shutil.copytree(crops / "door", folder)
    (folder / "1.png").write_bytes(b"no pixels")
    assert main(["gallery", "create", place, "--bundle", str(made.folder)]) == 0
    words = ["gallery", "add", place, str(folder), "--bundle", str(made.folder)]
    assert main(words) == 2
    assert "1.png: is not an image" in capsys.readouterr().err
    assert main([*words, "--skip-bad"]) == 0
    shown = capsys.readouterr()
    assert "left out: " in shown.err
    assert shown.err.count("\n") == 1
    assert "3 added, 1 left out, 0 there already, 3 in all" in shown.out
    for name in ("0.png", "2.png", "3.png"):
        (folder / name).unlink()
    assert main([*words, "--skip-bad"]) == 0
    assert "0 added, 1 left out, 0 there already, 3 in all" in capsys.readouterr().out


def test_a_file_that_is_no_matrix_is_one_line(gallery, crops, tmp_path, capsys):
    bad = tmp_path / "rows.npy"
    for content in (b"", b"no matrix"):
        bad.write_bytes(content)
        assert main(["gallery", "add", gallery, str(crops / "query.png"), "--vectors", str(bad)]) == 2
        assert "is no .npy file of numbers" in capsys.readouterr().err
    assert main(["gallery", "add", gallery, str(crops / "query.png"), "--vectors", str(tmp_path)]) == 2
    assert "cannot be read (Is a directory)" in capsys.readouterr().err


def test_without_labels_no_threshold_of_likely_is_shown():
    level = {"high": 0.5, "found": 0.25}
    band = {"low": 30, "high": 60, "possible": level, "likely": level}
    assert _line(band, labelled=False) == "30 to 60 rows: possible from 0.500 (finds 25%)"
    assert _line(band, labelled=True).endswith(", likely from 0.500 (finds 25%)")


def test_an_exported_file_encodes_for_a_gallery_like_its_bundle(gallery, made, crops, tmp_path, capsys):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from drfm.gallery.onnx_export import export_onnx

    export_onnx(made, tmp_path / "model.onnx")
    found = []
    for bundle in (made.folder, tmp_path / "model.onnx"):
        words = ["gallery", "search", gallery, str(crops / "query.png"), "--bundle", str(bundle)]
        assert main([*words, "--format", "json"]) == 0
        found.append([line["path"] for line in json.loads(capsys.readouterr().out)])
    assert found[0] == found[1]
    assert len(found[0]) == 4
