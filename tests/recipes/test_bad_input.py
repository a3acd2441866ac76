"""What users get wrong, through the command line: one line, code 2, nothing lost; and how to go on."""

import errno
import json
import os
import shutil
import signal
import struct
import zlib
from pathlib import Path

import pytest

from drfm import files
from drfm.cli import main
from drfm.data import writing
from drfm.engine.checkpoint import load_checkpoint, save_checkpoint
from drfm.engine.step import Step
from drfm.resolution.layout import Layout


@pytest.fixture
def refused(capsys):
    """Run a command that must be refused; returns its one line."""

    def run(*words: object) -> str:
        capsys.readouterr()
        code = main([str(word) for word in words])
        error = capsys.readouterr().err
        assert code == 2, error
        assert error.startswith("drfm: error: ")
        assert error.count("\n") == 1
        assert "Traceback" not in error
        return error.removeprefix("drfm: error: ").rstrip("\n")

    return run


def accepted(*words: object) -> None:
    assert main([str(word) for word in words]) == 0


def contents(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def bomb() -> bytes:
    """A small PNG whose header claims 60,000 x 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


SPOILT = {
    "text": (lambda raw: b"no image at all", "is not an image (no known format)"),
    "cut": (lambda raw: raw[: len(raw) // 2], "cannot be decoded"),
    "empty": (lambda raw: b"", "is empty (0 bytes)"),
    "bomb": (lambda raw: bomb(), "an image of 3600000000 pixels above the limit of 64 megapixels"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_file_that_is_no_image(pictures, refused, tmp_path, capsys, kind):
    root = shutil.copytree(pictures, tmp_path / "set")
    bad = root / "0003_c1s1_000001_00.png"
    spoil, reason = SPOILT[kind]
    bad.write_bytes(spoil(bad.read_bytes()))
    command = ["data", "build", root, "--out", tmp_path / "bench"]
    ways = [command, [*command, "--lr-camera", "height"]]
    for words in ways[: 1 if kind == "cut" else 2]:  # the height is in the header, which is whole there
        line = refused(*words)
        assert str(bad) in line
        assert reason in line
        assert line.endswith("drfm data check lists them, --skip-bad leaves them out")
    accepted(*command, "--skip-bad")
    assert f"note: skipped, no usable image: {bad.name}" in capsys.readouterr().out
    assert "1 problem(s), listed above" in refused("data", "check", root)


@pytest.mark.parametrize(
    ("keep", "words", "expected"),
    [
        ("*_c1*", [], "no LR training images, all 30 are HR; choose another lr_camera"),
        ("*_c1*", ["--lr-camera", "fixed:1"], "only camera 1; lr_camera = fixed:1 needs two"),
        ("*_c1*", ["--lr-camera", "fixed:2"], "has no camera 2; its cameras are [1]"),
        ("*_c1*", ["--lr-camera", "random_per_id"], "only one camera; lr_camera = random_per_id needs two"),
        ("*_c1*", ["--lr-camera", "smaller"], "only camera 1; lr_camera = smaller needs two"),
        ("*", ["--lr-camera", "height", "--height_threshold", "99"], "no HR training images, all 60 are LR"),
    ],
)
def test_one_camera_or_one_resolution(pictures, refused, tmp_path, keep, words, expected):
    root = tmp_path / "set"
    root.mkdir()
    for path in pictures.glob(keep):
        shutil.copy(path, root)
    assert expected in refused("data", "build", root, "--out", tmp_path / "bench", *words)
    assert not (tmp_path / "bench").exists()


def test_a_person_in_train_and_test(pictures, refused, tmp_path):
    for folder, persons in (("bounding_box_train", "01"), ("query", "12"), ("bounding_box_test", "12")):
        (tmp_path / "set" / folder).mkdir(parents=True)
        for person in persons:
            for path in pictures.glob(f"000{person}_*"):
                shutil.copy(path, tmp_path / "set" / folder)
    line = refused("data", "build", tmp_path / "set", "--out", tmp_path / "bench")
    assert "person 1 is in train and test of split 0 (1 such persons)" in line


def test_folders_that_cannot_be_made(pictures, bench, words, refused, tmp_path):
    blocked = tmp_path / "file" / "below"
    (tmp_path / "file").write_text("x")
    for command in (["data", "build", pictures, "--out", blocked], words(blocked)):
        line = refused(*command)
        assert str(blocked) in line
        assert "cannot be written (Not a directory); check the folder and its permissions" in line
    command = words(tmp_path / "run")
    command[command.index("--cache") + 1] = str(blocked)
    assert "cannot be written (Not a directory)" in refused(*command)


@pytest.mark.parametrize("folder", ["none", "empty"])
def test_no_benchmark(words, refused, tmp_path, folder):
    (tmp_path / "empty").mkdir()
    line = refused(*words(tmp_path / "run", tmp_path / folder))
    assert f"{folder}/manifest.json: no such file; build the benchmark first (drfm data build)" in line


def edit(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda folder, image: edit(image), "is not the file of the manifest (size or checksum differs)"),
        (lambda folder, image: image.unlink(), "cannot be read (No such file or directory); restore it, or"),
        (
            lambda folder, image: (folder / "manifest.json").write_text(
                (folder / "manifest.json").read_text().replace('"person":1', '"person":4', 1)
            ),
            "was changed after it was written (its id does not fit); build the benchmark again",
        ),
        (
            lambda folder, image: (folder / "manifest.json").write_text("{"),
            "is not valid JSON",
        ),
    ],
)
def test_a_manifest_that_no_longer_fits(bench, words, refused, tmp_path, change, expected):
    changed = shutil.copytree(bench, tmp_path / "changed")
    change(changed, sorted((changed / "images" / "original").iterdir())[0])
    assert expected in refused(*words(tmp_path / "run", changed))
    assert not (tmp_path / "run" / "record.json").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("labels: {k11: 3}", "labels.k11: no such option (file {file}); did you mean labels.k1?"),
        ("labels: {k1: 0}", "labels.k1 = 0 (file {file}): give 1 to 1000"),
        ("labels: {k1: many}", "labels.k1 = many (file {file}): give a whole number"),
        ("labels: {k1", "{file}, line 1: not valid YAML"),
        ("labels: 3", "labels = 3 (file {file}): a section"),
    ],
)
def test_a_configuration_file_with_a_fault(bench, refused, tmp_path, text, expected):
    file = tmp_path / "my.yaml"
    file.write_text(text)
    line = refused("train", bench, "--run", tmp_path / "run", "--config", file)
    assert expected.format(file=file) in line
    assert not (tmp_path / "run").exists()


@pytest.fixture
def copy(whole, tmp_path) -> Path:
    return shutil.copytree(whole, tmp_path / "copy")


def tamper(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def of_another(path: Path) -> None:
    save_checkpoint(path, {**load_checkpoint(path), "identity": "another"})


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (tamper, "does not match its checksum (cut short or changed); delete it to start this run again"),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "does not match its checksum"),
        (lambda path: path.write_bytes(b""), "is not a drfm checkpoint; delete it to start this run again"),
        (of_another, "was made with another configuration or benchmark"),
    ],
)
def test_a_bad_checkpoint_is_refused_and_the_rest_is_kept(copy, words, refused, damage, expected):
    damage(copy / "checkpoint.pt")
    before = contents(copy)
    line = refused(*words(copy, train__epochs=5))
    assert f"{copy / 'checkpoint.pt'}: {expected}" in line
    assert contents(copy) == before


def full(*arguments: object, **named: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def after(count: int, function, fault):
    """``function`` for ``count`` calls, then ``fault`` for ever."""
    left = count

    def call(*arguments, **named):
        nonlocal left
        left -= 1
        return (function if left >= 0 else fault)(*arguments, **named)

    return call


@pytest.mark.parametrize("writes", [0, 9, 15])
def test_a_full_disk_stops_a_run_that_goes_on_later(
    whole, words, refused, tmp_path, monkeypatch, writes, capsys
):
    run, command = tmp_path / "run", words(tmp_path / "run", train__epochs=4)
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", after(writes, os.fsync, full))
        line = refused(*command)
    assert str(run) in line
    assert "the disk is full; free some space and run the same command again" in line
    accepted(*command)
    assert contents(run / "model") == contents(whole / "model")


def test_a_full_disk_stops_a_build_that_goes_on_later(pictures, bench, refused, tmp_path, monkeypatch):
    out = tmp_path / "out"
    command = ["data", "build", pictures, "--out", out, "--workers", 1]
    with monkeypatch.context() as patch:
        patch.setattr(writing.Path, "write_bytes", after(7, Path.write_bytes, full))
        assert "the disk is full; free some space and run the same command again" in refused(*command)
    accepted(*command)
    assert contents(out) == contents(bench)


def test_a_full_disk_stops_the_image_store_that_goes_on_later(words, refused, tmp_path, monkeypatch):
    command = words(tmp_path / "run")
    command[command.index("--cache") + 1] = str(tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr("drfm.resolution.layout.os.pwrite", full)
        assert "the disk is full; free some space and run the same command again" in refused(*command)
    accepted(*command)


def interrupting(count: int, function):
    """``function``, with Ctrl-C pressed at call ``count``."""
    left = count

    def call(*arguments, **named):
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return function(*arguments, **named)

    return call


def stopped(capsys, *words: object) -> str:
    capsys.readouterr()
    assert main([str(word) for word in words]) == 130
    error = capsys.readouterr().err
    assert error.startswith("drfm: stopped")
    assert error.count("\n") == 1
    return error


def test_ctrl_c_in_training_says_the_command_that_goes_on(
    whole, bench, cache, words, tmp_path, monkeypatch, capsys
):
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Step, "__call__", interrupting(5, Step.__call__))
        error = stopped(capsys, *words(run, train__epochs=4))
    command = f"drfm train {bench} --run {run} --cache {cache}"
    assert error == f"drfm: stopped, and {run} saved; go on with: {command}\n"
    assert not (run / "model").exists()
    accepted(*command.split()[1:])
    assert contents(run / "model") == contents(whole / "model")


def test_ctrl_c_in_the_image_store(words, tmp_path, monkeypatch, capsys):
    command = words(tmp_path / "run")
    command[command.index("--cache") + 1] = str(tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr(Layout, "write", interrupting(2, Layout.write))
        assert "run the same command again to go on" in stopped(capsys, *command)
    accepted(*command)


def test_ctrl_c_in_a_build(pictures, bench, tmp_path, monkeypatch, capsys):
    command = ["data", "build", pictures, "--out", tmp_path / "out", "--workers", 1]
    with monkeypatch.context() as patch:
        patch.setattr(writing, "_line", interrupting(9, writing._line))
        assert "run the same command again to go on" in stopped(capsys, *command)
    assert not (tmp_path / "out" / "manifest.json").exists()
    accepted(*command)
    assert contents(tmp_path / "out") == contents(bench)


def test_skipping_is_allowed_after_a_build_that_failed(pictures, refused, tmp_path):
    root = shutil.copytree(pictures, tmp_path / "set")
    command = ["data", "build", root, "--out", tmp_path / "out", "--lr-camera", "fixed:1"]
    (root / "0003_c1s1_000001_00.png").write_bytes(b"x")
    refused(*command)
    accepted(*command, "--skip-bad")
    held = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert not any("0003_c1s1_000001" in row["name"] for row in held["files"])


def test_evaluate_refuses_and_leaves_the_run(copy, refused, tmp_path):
    before = contents(copy)
    assert "evaluation.draws = 0 (command line): give 1 or more" in refused("evaluate", copy, "--draws", 0)
    assert "choose from" in refused("evaluate", copy, "--features", "none")
    assert "holds no finished run" in refused("evaluate", tmp_path)
    assert contents(copy) == before
