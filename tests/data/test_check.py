import shutil

import pytest

from drfm.data.build import build_benchmark
from drfm.data.check import check_dataset
from drfm.data.choices import BuildChoices
from drfm.data.readers import read_dataset
from drfm.errors import DrfmError


def test_a_sound_data_set(market):
    report = check_dataset(market)
    assert report.ok
    assert report.counts == {"images": 25, "unusable": 0, "persons": 5}
    text = report.text()
    assert "market1501, 25 images" in text
    assert "5 persons, 3 to 6 images each" in text
    assert "images by split: gallery: 12, query: 4, train: 9" in text
    assert "images by camera: 1: 11, 2: 10, 3: 4" in text
    assert "heights 12 to 12 px" in text
    assert text.endswith("no problems")


def test_every_kind_of_bad_file_is_listed(tmp_path, make):
    root = make(tmp_path / "set", {"a.png": (10, 5), "b.png": (40, 20), "cut.png": (30, 30)})
    (root / "cut.png").write_bytes((root / "cut.png").read_bytes()[:900])
    (root / "zero.jpg").write_bytes(b"")
    (root / "text.jpg").write_bytes(b"hello")
    (root / "movie.mp4").write_bytes(b"x")
    report = check_dataset(root)
    assert not report.ok
    assert [problem.split(": ")[0].rpartition("/")[2] for problem in report.problems] == [
        "cut.png",
        "text.jpg",
        "zero.jpg",
    ]
    assert report.warnings == ("1 files that are no images, such as movie.mp4",)
    assert "by height alone (Otsu, 20 px): 1 LR and 1 HR images" in report.facts
    assert report.text().endswith("3 problems")


def test_duplicates_and_persons_in_both(tmp_path, make):
    root = make(tmp_path / "set", ["train/1_c1_1.png", "train/2_c1_1.png", "test/2_c2_1.png"])
    shutil.copy(root / "train" / "1_c1_1.png", root / "train" / "1_c1_2.png")
    shutil.copy(root / "train" / "1_c1_1.png", root / "test" / "3_c1_2.png")
    report = check_dataset(root)
    assert report.problems[0] == "person 2 is in train and test"
    assert report.problems[1].startswith("same bytes in train and test: test/3_c1_2.png")
    assert "2 of 3 persons were seen by one camera only" in report.warnings
    shutil.rmtree(root / "test")
    assert check_dataset(root).warnings[0] == "same bytes: train/1_c1_1.png, train/1_c1_2.png"


def test_long_lists_are_cut(tmp_path):
    root = tmp_path / "set"
    root.mkdir()
    for k in range(30):
        (root / f"{k}.png").write_bytes(b"x%d" % k)
    text = check_dataset(root).text()
    assert "problem: and 10 more" in text
    assert len(text.splitlines()) < 35


def test_a_built_benchmark(market, tmp_path):
    out = tmp_path / "out"
    build_benchmark(read_dataset("market1501", market), out, BuildChoices())
    report = check_dataset(out)
    assert report.ok
    assert (
        "train 9 (3 LR, 3 persons), query 6 (6 LR, 2 persons), gallery 6 (0 LR, 2 persons)" in report.text()
    )
    next((out / "images" / "original" / "query").iterdir()).unlink()
    assert "cannot be read" in check_dataset(out).problems[0]


def test_nothing_to_check(tmp_path):
    with pytest.raises(DrfmError, match="no images found"):
        check_dataset(tmp_path)
    with pytest.raises(DrfmError, match="no such folder"):
        check_dataset(tmp_path / "none")
