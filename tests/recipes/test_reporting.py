"""A finished run is tested again and told in one page."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drfm import recipes
from drfm.data.build import build_benchmark
from drfm.data.choices import BuildChoices
from drfm.data.readers import read_dataset
from drfm.errors import DrfmError
from drfm.recipes.reporting import explanations


@pytest.fixture
def copy(whole, tmp_path) -> Path:
    return shutil.copytree(whole, tmp_path / "copy")


@pytest.fixture(scope="module")
def unlabelled(configure, train, tmp_path_factory) -> Path:
    """A run on images of two heights without persons or cameras."""
    root = tmp_path_factory.mktemp("unlabelled")
    (root / "pictures").mkdir()
    random = np.random.default_rng(0)
    for number in range(24):
        size = (32, 16) if number % 2 else (12, 6)
        pixels = random.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "pictures" / f"{number}.png")
    build_benchmark(read_dataset("folder", root / "pictures"), root / "bench", BuildChoices())
    train(root / "run", configure(), benchmark=root / "bench")
    return root / "run"


def test_evaluate_gives_what_training_gave(whole):
    again, kept = recipes.evaluate(whole).to_dict(), json.loads((whole / "trained.json").read_text())
    assert again["facts"].pop("headline") == json.loads((whole / "record.json").read_text())["headline"]
    assert json.loads(json.dumps(again)) == kept


def test_evaluate_takes_other_options_of_the_test(whole):
    said = []
    other = recipes.evaluate(whole, {"evaluation.draws": 2, "evaluation.features": "hr"}, say=said.append)
    assert (other.features, other.protocol.draws) == ("hr", 2)
    assert other.facts["config"]["evaluation"]["draws"] == 2
    kept = json.loads((whole / "trained.json").read_text())
    hr = next(row for row in kept["rows"] if row["features"] == "hr")
    assert other.row("hr").exact == hr["exact"]
    assert said


def test_evaluate_leaves_the_run_as_it_is(whole):
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*") if path.is_file()}
    recipes.evaluate(whole)
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*") if path.is_file()} == before


def test_the_report_is_one_page_that_asks_nobody_for_anything(copy):
    page = recipes.report(copy).read_text()
    assert page.startswith("<!doctype html>") or page.startswith("<!DOCTYPE html>")
    assert not re.search(r"""(?:src|href|action)\s*=\s*["']?\s*(?:https?:)?//""", page)
    assert not re.search(r"url\(\s*['\"]?\s*(?:https?:)?//|@import|<script[^>]+src|<link", page)
    assert "data:image/" in page
    record = json.loads((copy / "record.json").read_text())
    assert record["benchmark"]["id"] in page
    for part in ("Ranked lists", "What a similarity rests on", "Small queries", "Map of the images",
                 "person ", "camera ", "blurry", "One person, trained"):  # fmt: skip
        assert part in page, part
    assert recipes.report(copy).read_text() == page


def test_a_report_without_checkpoint_or_distances_leaves_them_out(copy):
    for name in ("checkpoint.pt", "trained-distances.json", "untrained-distances.json"):
        (copy / name).unlink()
    page = recipes.report(copy).read_text()
    assert "<h2>Distances" not in page
    assert "Map of the images" in page


def test_explanations_are_a_sheet_of_queries_and_what_they_found(whole):
    sheet = explanations(whole, count=2)
    assert len(sheet.rows) == 2
    assert len(sheet.titles) == 6
    assert {image.shape for row in sheet.rows for image in row} == {(32, 16, 3)}
    assert all("similarity" in words for words in sheet.words)


def test_unlabelled_images_are_trained_on_and_reported(unlabelled):
    record = json.loads((unlabelled / "record.json").read_text())
    assert record["pairs"] == {"train": 24, "train_hr": 12, "query": 0, "gallery": 0}
    assert "headline" not in record
    assert not (unlabelled / "trained.json").exists()
    lines = [json.loads(line) for line in (unlabelled / "journal.jsonl").read_text().splitlines()]
    assert len(lines) == 2
    assert "quality" not in lines[0]
    page = recipes.report(unlabelled).read_text()
    for part in ("nearest to them", "Map of the images", "What a similarity rests on", "cluster", "left out"):
        assert part in page, part
    for part in ("✓", "✗", "Hardest failures", "Small queries"):
        assert part not in page, part
    with pytest.raises(DrfmError, match="no query and gallery images, so there is nothing to test"):
        recipes.evaluate(unlabelled)


def test_a_benchmark_that_moved_is_told_and_found_again(bench, copy, train, configure, tmp_path):
    local = json.loads((copy / "local.json").read_text())
    moved = shutil.copytree(bench, tmp_path / "moved")
    (copy / "local.json").write_text(json.dumps({**local, "benchmark": str(tmp_path / "gone")}))
    for ask in (recipes.evaluate, recipes.report):
        with pytest.raises(DrfmError, match=rf"gone: no such folder; `drfm train BENCHMARK --run {copy}`"):
            ask(copy)
    train(copy, configure(train__epochs=4), benchmark=moved)
    assert recipes.evaluate(copy).facts["benchmark"]["name"]


def change(name: str, text: str | None):
    def apply(run: Path) -> None:
        if text is None:
            (run / name).unlink()
        else:
            (run / name).write_text(text)

    return apply


def shorten(name: str):
    return lambda run: (run / name).write_bytes((run / name).read_bytes()[:-9])


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (change("model/model.json", None), "holds no finished run; `drfm train` finishes it"),
        (change("model/model.json", "{"), r"model\.json: is not valid JSON"),
        (change("model/model.json", "{}"), r"copy again|damaged|format"),
        (change("model/model.json", "[]"), r"model\.json"),
        (shorten("model/model.safetensors"), r"model\.safetensors: missing or damaged"),
        (change("record.json", "{}"), r"record\.json: is damaged; restore it"),
        (change("record.json", None), r"record\.json: no such file"),
        (change("local.json", None), r"local\.json: missing or damaged; `drfm train BENCHMARK"),
        (change("local.json", "[1]"), r"local\.json: missing or damaged"),
        (change("local.json", '{"bench": 1}'), r"local\.json: missing or damaged"),
    ],
)
def test_a_damaged_run_is_one_line(copy, damage, expected):
    damage(copy)
    with pytest.raises(DrfmError, match=expected) as caught:
        recipes.evaluate(copy)
    assert "\n" not in str(caught.value)


def test_a_damaged_journal_or_result_is_one_line(copy):
    (copy / "journal.jsonl").write_text("nothing\n" + (copy / "journal.jsonl").read_text())
    with pytest.raises(DrfmError, match=r"journal\.jsonl: line 1 is not JSON"):
        recipes.report(copy)
    (copy / "journal.jsonl").unlink()
    (copy / "trained.json").write_text("{")
    with pytest.raises(DrfmError, match=r"trained\.json: is not valid JSON"):
        recipes.report(copy)
