"""The folder of drawn pedestrians: names, bytes, refusals."""

import os
import re

import pytest
from PIL import Image

from drfm.data.drawn import draw_dataset, draw_person_image
from drfm.data.drawn.folder import _run
from drfm.errors import DrfmError

SMALL = {"persons": 2, "shots": 1, "test_persons": 1, "seed": 4}


def _bytes(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def test_names_follow_market_and_no_person_is_in_both_parts(tmp_path):
    out = draw_dataset(tmp_path / "a" / "drawn", persons=2, shots=2, test_persons=1, workers=1)
    names = [p.name for p in sorted((out / "train").iterdir())]
    assert names == [f"000{p}_c{c}_00{s}.jpg" for p in (1, 2) for c in (1, 2) for s in (0, 1)]
    assert [p.name[:4] for p in (out / "test").iterdir()] == ["0003"] * 4
    assert all(re.fullmatch(r"\d{4}_c[12]_\d{3}\.jpg", name) for name in names)
    with Image.open(out / "train" / "0002_c2_001.jpg") as image:
        assert (image.height, image.width) == draw_person_image(2, 1, 1, 0).shape[:2]


def test_one_process_and_two_write_the_same_bytes(tmp_path):
    settings = {"persons": 4, "shots": 2, "test_persons": 4, "seed": 4}
    alone = draw_dataset(tmp_path / "one", **settings, workers=1)
    together = draw_dataset(tmp_path / "two", **settings, workers=2)
    assert _bytes(alone) == _bytes(together)


def test_a_finished_folder_is_kept_and_another_is_refused(tmp_path):
    out = draw_dataset(tmp_path / "d", **SMALL, workers=1)
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    draw_dataset(out, **SMALL, workers=1)
    assert before == {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    with pytest.raises(DrfmError, match="remove it or choose another folder"):
        draw_dataset(out, **(SMALL | {"seed": 5}), workers=1)


def test_an_empty_folder_is_filled_and_a_foreign_one_is_not(tmp_path):
    (tmp_path / "empty").mkdir()
    assert len(_bytes(draw_dataset(tmp_path / "empty", **SMALL, workers=1))) == 7
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(DrfmError, match="other: exists"):
        draw_dataset(tmp_path / "other", **SMALL, workers=1)
    assert (tmp_path / "other" / "thesis.txt").read_text() == "mine"


def test_an_interrupted_drawing_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("drfm.data.drawn.folder.capture", interrupted)
    with pytest.raises(KeyboardInterrupt):
        draw_dataset(tmp_path / "d", **SMALL, workers=1)
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_cannot_write_says_why(tmp_path):
    jobs = [(str(tmp_path / "missing" / f"{n}.jpg"), n, 1, 0, 0) for n in range(4)]
    with pytest.raises(FileNotFoundError):
        list(_run(jobs, 2))


def test_a_worker_that_dies_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(DrfmError, match="worker process"):
        list(_run([(str(tmp_path / f"{n}.jpg"), n, 1, 0, 0) for n in range(4)], 2))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DrfmError, match="cannot be written"):
        draw_dataset(tmp_path / "d", **SMALL, workers=1)


def test_a_file_in_the_way_of_the_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DrfmError, match="cannot be written"):
        draw_dataset(tmp_path / "file" / "d", **SMALL, workers=1)


@pytest.mark.parametrize("change", [{"persons": -1}, {"shots": 0}, {"test_persons": -2}, {"seed": -1}])
def test_numbers_out_of_range_are_named(tmp_path, change):
    with pytest.raises(DrfmError, match=f"^{next(iter(change))} = "):
        draw_dataset(tmp_path / "d", **(SMALL | change), workers=1)
    with pytest.raises(DrfmError, match="9999"):
        draw_dataset(tmp_path / "d", persons=9999, shots=1, test_persons=1)
