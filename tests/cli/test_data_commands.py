import pytest
from PIL import Image

from drfm.cli import main
from drfm.data.manifest import load_benchmark, read_manifest


@pytest.fixture
def pictures(tmp_path):
    """Four persons before two cameras, two images each, in names as Market-1501 has them."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for person in range(4):
        for camera in (1, 2):
            for shot in range(2):
                colour = (40 * person, 90 * camera, 60 * shot)
                name = f"{person:04d}_c{camera}s1_{shot:06d}_00.png"
                Image.new("RGB", (16, 32), colour).save(folder / name)
    return folder


def test_build_writes_a_benchmark_and_says_what_it_holds(pictures, tmp_path, capsys):
    out = tmp_path / "bench"
    assert (
        main(["data", "build", str(pictures), "--out", str(out), "--test_persons", "2", "--rates", "2"]) == 0
    )
    said = capsys.readouterr().out
    built = load_benchmark(out)
    assert built.id in said
    assert {entry.rate for entry in built.query} == {2}
    assert list(read_manifest(out)["choices"]["rates"]) == [2]
    assert f"{len(built.query)} images" in said
    assert (
        main(["data", "build", str(pictures), "--out", str(out), "--test-persons", "2", "--rates", "2"]) == 0
    )


def test_check_finds_nothing_wrong_with_good_pictures(pictures, capsys):
    assert main(["data", "check", str(pictures)]) == 0
    assert "no problems" in capsys.readouterr().out


def test_check_and_build_refuse_a_broken_picture(pictures, tmp_path, capsys):
    (pictures / "0001_c1s1_000009_00.png").write_bytes(b"")
    assert main(["data", "check", str(pictures)]) == 2
    assert main(["data", "build", str(pictures), "--out", str(tmp_path / "b"), "--test-persons", "2"]) == 2
    error = capsys.readouterr().err
    assert "0001_c1s1_000009_00.png" in error
    words = ["data", "build", str(pictures), "--out", str(tmp_path / "good"), "--test-persons", "2"]
    assert main([*words, "--skip-bad"]) == 0
    assert "0001_c1s1_000009_00.png" in capsys.readouterr().out


def test_check_of_a_benchmark_that_was_changed(pictures, tmp_path, capsys):
    out = tmp_path / "bench"
    assert main(["data", "build", str(pictures), "--out", str(out), "--test-persons", "2"]) == 0
    assert main(["data", "check", str(out)]) == 0
    changed = sorted(out.rglob("*.png"))[0]
    changed.write_bytes(changed.read_bytes()[:-1])
    capsys.readouterr()
    assert main(["data", "check", str(out)]) == 2
    said = capsys.readouterr()
    assert changed.name in said.out
    assert "1 problem(s), listed above" in said.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--rates", "2,x"], "rates = 2,x (command line): give whole numbers with commas"),
        (["--rates", "99"], "rates = (99,): give different whole numbers from 2 to 32"),
        (["--kernel", "cubic"], "Did you mean bicubic?"),
        (["--preset", "sign"], "preset = sign"),
        (["--kind", "nope"], "kind = nope"),
        (["--lr_camera", "fixed:x"], "lr_camera = fixed:x"),
        (["--lr-camra", "auto"], "Did you mean --lr_camera?"),
    ],
)
def test_a_wrong_choice_is_one_line(pictures, tmp_path, capsys, words, expected):
    assert main(["data", "build", str(pictures), "--out", str(tmp_path / "b"), *words]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("command", [["check"], ["build", "--out", "b"]])
def test_a_missing_or_empty_folder_is_told(tmp_path, capsys, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for folder in ("none", "empty"):
        assert main(["data", command[0], folder, *command[1:]]) == 2
        error = capsys.readouterr().err
        assert folder in error
        assert error.count("\n") == 1
