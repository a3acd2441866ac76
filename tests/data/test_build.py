import dataclasses
import hashlib
import json

import numpy as np
import pytest

from drfm.data import build, writing
from drfm.data.build import build_benchmark
from drfm.data.choices import BuildChoices
from drfm.data.degrade import downsample
from drfm.data.imagefile import open_image
from drfm.data.manifest import MANIFEST, load_benchmark
from drfm.data.readers import read_dataset
from drfm.data.writing import JOURNAL
from drfm.errors import DrfmError


def built(root, out, kind="market1501", *, workers=0, skip_bad=False, **choices):
    build_benchmark(
        read_dataset(kind, root), out, BuildChoices(**choices), workers=workers, skip_bad=skip_bad
    )
    return load_benchmark(out)


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_images_and_entries(market, tmp_path):
    bench = built(market, tmp_path / "out")
    assert bench.name == "MLR-Market-1501"
    assert (len(bench.train), len(bench.query), len(bench.gallery)) == (9, 6, 6)
    for entry in (*bench.train, *bench.query, *bench.gallery):
        source = market / entry.name.split("/", 2)[2]
        if entry.resolution == "hr":
            assert entry.rate == 1
            assert entry.path.read_bytes() == source.read_bytes()
        else:
            source = source.with_name(source.name.removesuffix(".png"))
            assert entry.camera == 1
            assert f"images/x{entry.rate}/" in entry.name
            np.testing.assert_array_equal(open_image(entry.path), downsample(open_image(source), entry.rate))
        assert entry.sha256 == hashlib.sha256(entry.path.read_bytes()).hexdigest()
        assert open_image(entry.path).shape == (entry.height, entry.width, 3)
    assert bench.choices["lr_camera"] == "fixed:1"
    assert {entry.person for entry in bench.train} == {2, 7, 10}


def test_same_inputs_same_bytes(market, tmp_path):
    data = read_dataset("market1501", market)
    choices = BuildChoices(seed=4)
    build_benchmark(data, tmp_path / "a", choices, workers=1)
    shuffled = dataclasses.replace(data, records=data.records[::-1])
    build_benchmark(shuffled, tmp_path / "b", BuildChoices(seed=4, lr_camera="fixed:1"), workers=3)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    build_benchmark(data, tmp_path / "a", choices)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_the_id_follows_choices_seed_files_and_split(market, tmp_path):
    ids = {built(market, tmp_path / "a").id, built(market, tmp_path / "b", seed=1).id}
    ids |= {
        built(market, tmp_path / "c", kernel="box").id,
        built(market, tmp_path / "d", query_from="test").id,
    }
    image = next((market / "bounding_box_train").iterdir())
    np_image = open_image(image)
    from PIL import Image

    Image.fromarray(255 - np_image).save(image)
    ids.add(built(market, tmp_path / "e").id)
    assert len(ids) == 5
    build_benchmark(
        read_dataset("folder-per-person", people(tmp_path)), tmp_path / "f", BuildChoices(splits=2)
    )
    assert load_benchmark(tmp_path / "f", 0).id != load_benchmark(tmp_path / "f", 1).id


def people(tmp_path):
    from PIL import Image

    root = tmp_path / "people"
    for p in "abcdefgh":
        for k, height in enumerate((10, 12, 40, 44)):
            path = root / p / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, height), (ord(p), k, 0)).save(path)
    return root


def test_name_notes_and_storage_are_not_part_of_the_id(market, tmp_path):
    plain = built(market, tmp_path / "a")
    other = built(market, tmp_path / "b", name="mine", storage="reference")
    assert (plain.id, other.name) == (other.id, "mine")
    assert not (tmp_path / "b" / "images" / "original").exists()
    hr = next(entry for entry in other.train if entry.resolution == "hr")
    assert hr.path.is_relative_to(market)
    assert str(market) not in (tmp_path / "b" / MANIFEST).read_text()
    (tmp_path / "b" / "source.json").write_text('{"root": "/nowhere"}')
    with pytest.raises(DrfmError, match=r"source\.json: root = /nowhere: no such folder"):
        load_benchmark(tmp_path / "b")


def test_an_unlabelled_folder_by_height(tmp_path, make):
    root = make(tmp_path / "set", {"a.png": (10, 5), "b.png": (11, 5), "c.png": (40, 20), "d.png": (44, 20)})
    bench = built(root, tmp_path / "out", "folder")
    assert [e.resolution for e in bench.train] == ["lr", "lr", "hr", "hr"]
    assert {e.rate for e in bench.train} == {1}
    assert bench.query == bench.gallery == ()
    assert "2 images below 21 px" in bench.notes[0]
    assert bench.name == "set"


def test_images_of_one_height_are_refused(tmp_path, make):
    root = make(tmp_path / "set", ["a.png", "b.png"])
    with pytest.raises(DrfmError, match="no LR training images, all 2 are HR"):
        built(root, tmp_path / "out", "folder")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["market1501", "folder"])
def test_bad_files_stop_the_build_and_can_be_skipped(market, tmp_path, kind, make):
    if kind == "folder":
        market = make(tmp_path / "set", {"a.png": (10, 5), "b.png": (11, 5), "c.png": (40, 20)})
        bad = market / "bad.png"
    else:
        bad = market / "bounding_box_train" / "0002_c3s1_999999_00.jpg"
    bad.write_bytes(b"not an image")
    good = built(market, tmp_path / "skipped", kind, skip_bad=True)
    assert any(note.startswith("skipped, no usable image: ") for note in good.notes)
    with pytest.raises(DrfmError, match=rf"{bad.name}: is not an image .*--skip-bad leaves them out"):
        built(market, tmp_path / "out", kind)
    bad.unlink()
    assert built(market, tmp_path / "out", kind).id == good.id


def test_a_source_that_changed_since_the_kill_is_read_again(market, tmp_path, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(build, "write_manifest", killed)
        with pytest.raises(KeyboardInterrupt):
            built(market, tmp_path / "out")
    source = next((market / "bounding_box_train").iterdir())
    source.write_bytes((market / "query" / "0001_c1s1_000009_00.png").read_bytes())
    resumed = built(market, tmp_path / "out")
    assert resumed.id == built(market, tmp_path / "new").id


def test_only_bad_files(tmp_path):
    root = tmp_path / "set"
    root.mkdir()
    (root / "a.png").write_bytes(b"")
    with pytest.raises(DrfmError, match="none of 1 files is a usable image"):
        built(root, tmp_path / "out", "folder", skip_bad=True)


def test_a_killed_build_goes_on(market, tmp_path, monkeypatch):
    made = []
    make_one = writing._make

    def dies(job):
        if len(made) == 7:
            raise KeyboardInterrupt
        made.append(job.file.name)
        return make_one(job)

    monkeypatch.setattr(writing, "_make", dies)
    with pytest.raises(KeyboardInterrupt):
        built(market, tmp_path / "out", workers=1)
    assert not (tmp_path / "out" / MANIFEST).exists()
    journal = (tmp_path / "out" / JOURNAL).read_text()
    assert len(journal.splitlines()) == 1 + 7
    (tmp_path / "out" / JOURNAL).write_text(journal[:-20])  # the last line was cut by the kill
    again = []
    monkeypatch.setattr(writing, "_make", lambda job: (again.append(job.file.name), make_one(job))[1])
    resumed = built(market, tmp_path / "out", workers=1)
    assert set(again).isdisjoint(made[:6])
    assert not (tmp_path / "out" / JOURNAL).exists()
    monkeypatch.undo()
    assert contents(tmp_path / "out") == (built(market, tmp_path / "new"), contents(tmp_path / "new"))[1]
    assert resumed.id == load_benchmark(tmp_path / "new").id


def test_a_file_that_vanished_since_is_made_again(market, tmp_path, monkeypatch):
    def no_manifest(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(build, "write_manifest", no_manifest)
        with pytest.raises(KeyboardInterrupt):
            built(market, tmp_path / "out")
    next((tmp_path / "out" / "images" / "original" / "bounding_box_train").iterdir()).unlink()
    built(market, tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(build, "write_manifest", no_manifest)
        with pytest.raises(KeyboardInterrupt):
            built(market, tmp_path / "two")
    with pytest.raises(DrfmError, match="unfinished build with other choices"):
        built(market, tmp_path / "two", seed=9)


def test_places_that_are_refused(market, tmp_path):
    for out in (market, market / "out"):
        with pytest.raises(DrfmError, match="lies inside the data set"):
            built(market, out)
    (tmp_path / "file").write_text("x")
    with pytest.raises(DrfmError, match="is a file"):
        built(market, tmp_path / "file")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    with pytest.raises(DrfmError, match=r"not empty \(thesis\.tex\)"):
        built(market, tmp_path / "full")
    built(market, tmp_path / "out")
    with pytest.raises(DrfmError, match=r"holds the benchmark .* with other choices"):
        built(market, tmp_path / "out", seed=1)


def test_a_full_disk_is_one_line_and_leaves_no_half_file(market, tmp_path, monkeypatch):
    import errno
    from pathlib import Path

    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(DrfmError, match="the disk is full"):
            built(market, tmp_path / "out")
    assert writing.unfinished_build(tmp_path / "out") is not None
    left = {p.name for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert left <= {".lock", JOURNAL}
    assert len(built(market, tmp_path / "out").train) == 9


def test_a_kill_before_the_first_line_of_the_journal(market, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / JOURNAL).write_text("")
    assert writing.unfinished_build(tmp_path / "out") is None
    assert len(built(market, tmp_path / "out").train) == 9


def test_a_folder_in_use(market, tmp_path):
    from drfm.files import folder_lock

    with folder_lock(tmp_path / "out"), pytest.raises(DrfmError, match="in use by another process"):
        built(market, tmp_path / "out")


def test_names_outside_ascii(tmp_path, make):
    root = make(tmp_path / "set", {"ä b/ñ.png": (10, 5), "ä b/漢.png": (40, 20)})
    bench = built(root, tmp_path / "out", "folder")
    assert bench.train[0].name == "images/original/ä b/ñ.png"
    assert json.loads((tmp_path / "out" / MANIFEST).read_text())["format"] == 1


def test_a_backslash_in_a_name_is_refused(tmp_path, make):
    root = make(tmp_path / "set", {"a\\b.png": (10, 5), "c.png": (40, 20)})
    with pytest.raises(DrfmError, match="rename the file"):
        built(root, tmp_path / "out", "folder")
