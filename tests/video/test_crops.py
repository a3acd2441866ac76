import csv
import json
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from drfm.cli import main
from drfm.cli.gallery import _listed
from drfm.data.imagefile import open_image
from drfm.data.manifest import load_benchmark
from drfm.errors import DrfmError
from drfm.gallery.items import parse_time, read_list
from drfm.video import crops as module
from drfm.video.choices import CropChoices, parse_start
from drfm.video.crops import cut_crops
from drfm.video.shots import Shot

START = datetime(2026, 5, 1, 14, 30, tzinfo=UTC)


@pytest.fixture
def walk(made, tmp_path):
    """A video of two seconds with one walker, and the list of its boxes."""
    video = made.write_video(tmp_path / "gate.mkv", made.film(20), rate=10)
    return video, made.write_boxes(tmp_path / "boxes.txt", [made.walker(at) for at in range(20)])


def rows(out):
    with (out / "list.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def record(out, name="gate"):
    return json.loads((out / f"{name}.json").read_text())


def frame_of(path):
    return int(path.split("-")[-2])


def test_crops_are_what_the_boxes_cut_out(made, walk, tmp_path):
    out, images = tmp_path / "out", made.film(20)
    done = cut_crops(walk[0], out, boxes=walk[1], choices=CropChoices(per_track=3, gap=0.5))
    assert (done.frames, done.tracks, done.crops, done.listed) == (20, 1, 3, 3)
    for row in rows(out):
        left, top, width, height = made.walker(frame_of(row["path"]) - 1)
        expected = images[frame_of(row["path"]) - 1][top : top + height, left : left + width]
        assert (open_image(out / row["path"]) == expected).all()
        assert row["track"] == "gate-7"
        assert (row["camera"], row["time"]) == ("", "")
    assert [crop["path"] for crop in record(out)["crops"]] == [row["path"] for row in rows(out)]


def test_times_are_start_and_presentation_time_and_spaced(walk, tmp_path):
    choices = CropChoices(per_track=4, gap=0.4)
    cut_crops(walk[0], tmp_path / "out", boxes=walk[1], camera="gate 1", start=START, choices=choices)
    listed = rows(tmp_path / "out")
    times = [parse_time(row["time"]) for row in listed]
    assert len(times) == 4
    assert min(np.diff(times)) >= 0.4 - 1e-6
    for row, time in zip(listed, times, strict=True):
        assert time - START.timestamp() == pytest.approx((frame_of(row["path"]) - 1) / 10, abs=1e-3)
        assert row["camera"] == "gate 1"
        assert row["time"].endswith("+00:00")


def test_a_zone_and_a_plain_time_of_the_start():
    assert parse_start(None) is None
    assert parse_start("2026-05-01T14:30:00") == START
    assert parse_start("2026-05-01T16:30:00+02:00").isoformat() == "2026-05-01T16:30:00+02:00"
    with pytest.raises(DrfmError, match="start = noon: give ISO 8601"):
        parse_start("noon")


def test_the_list_is_read_by_the_gallery_by_check_and_by_build(made, walk, tmp_path, capsys):
    out = tmp_path / "out"
    images, boxes = made.street()
    other = made.write_video(tmp_path / "yard.mkv", images)
    list_of_other = made.write_boxes(tmp_path / "yard.txt", boxes, track=1)
    for video, given, camera in ((walk[0], walk[1], "gate"), (other, list_of_other, "yard")):
        words = ["crops", str(video), "--out", str(out), "--boxes", str(given), "--camera", camera]
        assert main([*words, "--start", "2026-05-01T14:30:00", "--gap", "0.2"]) == 0
    said = capsys.readouterr().out
    assert "10 crops listed" in said
    items = read_list(out / "list.csv")
    assert _listed([out / "list.csv"], None, []) == items
    assert {item.camera for item in items} == {"gate", "yard"}
    assert {item.track for item in items} == {"gate-gate-7", "yard-yard-1"}
    assert all(item.time is not None and not item.fields for item in items)
    assert all(open_image(out / row["path"]).ndim == 3 for row in rows(out))
    assert main(["data", "check", str(out)]) == 0
    assert main(["data", "build", str(out), "--out", str(tmp_path / "bench"), "--downsample", "never"]) == 0
    assert len(load_benchmark(tmp_path / "bench").train) == 10


def test_running_again_changes_nothing_and_other_choices_replace(walk, tmp_path):
    out = tmp_path / "out"

    def content():
        return {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    cut_crops(walk[0], out, boxes=walk[1])
    first = content()
    cut_crops(walk[0], out, boxes=walk[1])
    assert content() == first
    cut_crops(walk[0], out, boxes=walk[1], choices=CropChoices(per_track=1))
    assert len(rows(out)) == 1
    (out / "gate" / ".0.png.killed").touch()
    cut_crops(walk[0], out, boxes=walk[1], choices=CropChoices(per_track=1))
    assert not (out / "gate" / ".0.png.killed").exists()
    assert [path.relative_to(out).as_posix() for path in out.rglob("*.png")] == [rows(out)[0]["path"]]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_cut_run_leaves_the_list_as_it_was(walk, tmp_path, monkeypatch, error):
    out = tmp_path / "out"
    cut_crops(walk[0], out, boxes=walk[1], choices=CropChoices(per_track=2))
    before = (out / "list.csv").read_bytes()
    real, calls = module.CropFolder.add, []

    def add(self, track, shot):
        calls.append(shot)
        if len(calls) == 3:
            raise error
        real(self, track, shot)

    monkeypatch.setattr(module.CropFolder, "add", add)
    with pytest.raises(error):
        cut_crops(walk[0], out, boxes=walk[1], choices=CropChoices(gap=0))
    assert (out / "list.csv").read_bytes() == before
    assert all((out / row["path"]).exists() for row in rows(out))
    monkeypatch.setattr(module.CropFolder, "add", real)
    cut_crops(walk[0], out, boxes=walk[1], choices=CropChoices(gap=0))
    assert len(list(out.rglob("*.png"))) == len(rows(out)) == 5


def test_what_control_c_says(walk, tmp_path, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module._Cutter, "_look", stop)
    assert main(["crops", str(walk[0]), "--out", str(tmp_path / "out"), "--boxes", str(walk[1])]) == 130
    assert "the list is as it was" in capsys.readouterr().err


def test_boxes_without_ids_are_tracked_beside_those_with(made, tmp_path):
    video = made.write_video(tmp_path / "gate.mkv", made.film(20))
    lines = [f"{at},3,100,60,20,50,0.9" for at in range(1, 21)]
    for at in range(20):
        left, top, width, height = made.walker(at)
        lines.append(f"{at + 1},-1,{left},{top},{width},{height},0.8")
    (tmp_path / "boxes.txt").write_text("\n".join(lines))
    done = cut_crops(video, tmp_path / "out", boxes=tmp_path / "boxes.txt", choices=CropChoices(gap=0.5))
    assert done.tracks == 2
    assert {row["track"] for row in rows(tmp_path / "out")} == {"gate-3", "gate-4"}


def test_a_detector_finds_and_follows(made, tmp_path):
    images = made.film(20)
    images[7] = images[8] = made.picture([])
    video = made.write_video(tmp_path / "gate.mkv", images)
    network = made.write_red_detector(tmp_path / "red.onnx")
    done = cut_crops(video, tmp_path / "out", detector=network, choices=CropChoices(per_track=2, gap=0.3))
    assert (done.frames, done.tracks, done.crops) == (20, 1, 2)
    for crop in record(tmp_path / "out")["crops"]:
        assert crop["box"] == pytest.approx(made.walker(crop["frame"] - 1), abs=1)
        assert crop["confidence"] == pytest.approx(0.8)
    sure = CropChoices(confidence=0.9)
    assert cut_crops(video, tmp_path / "out", detector=network, choices=sure).listed == 0


def test_the_sharpest_and_whole_shot_is_the_best(made, tmp_path):
    boxes = [made.walker(at, start=0) for at in range(20)]  # the first touches the edge
    images = [made.picture([(*box, made.RED)]) for box in boxes]
    fine = np.random.default_rng(0).integers(0, 255, (60, 24, 3)).astype(np.uint8)
    left, top, width, height = boxes[11]
    images[11][top : top + height, left : left + width] = fine
    video = made.write_video(tmp_path / "gate.mkv", images)
    given = made.write_boxes(tmp_path / "boxes.txt", boxes)
    cut_crops(video, tmp_path / "out", boxes=given, choices=CropChoices(per_track=1))
    assert [frame_of(row["path"]) for row in rows(tmp_path / "out")] == [12]
    cut_crops(video, tmp_path / "out", boxes=given, choices=CropChoices(per_track=20, gap=0))
    scores = {crop["frame"]: crop["score"] for crop in record(tmp_path / "out")["crops"]}
    assert scores[1] < min(score for frame, score in scores.items() if frame > 1)


def test_boxes_that_leave_the_frame_are_clipped_or_listed(made, tmp_path, capsys):
    video = made.write_video(tmp_path / "gate.mkv", made.film(4))
    (tmp_path / "boxes.txt").write_text(
        "1,1,-10,30,40,60\n1,2,500,30,40,60\n2,1,10,10,0,40\n2,2,10,10,20,-4\n3,1,10,10,20,9\n9,1,0,0,20,40\n"
    )
    words = ["crops", str(video), "--out", str(tmp_path / "out"), "--boxes", str(tmp_path / "boxes.txt")]
    assert main(words) == 0
    (row,) = rows(tmp_path / "out")
    assert open_image(tmp_path / "out" / row["path"]).shape == (60, 30, 3)
    said = capsys.readouterr().err
    assert "frame 1: box 500,30 of 40 x 60 lies outside of the frame of 160 x 120" in said
    assert "frame 2: box 10,10 of 0 x 40 has no area" in said
    assert "1 box(es) are in frames that were not looked at or are not there" in said
    assert "1 box(es) left out: below 16 rows" in said
    skipped = record(tmp_path / "out")["skipped"]
    assert [(one["frame"], one["line"]) for one in skipped] == [(1, 2), (2, 3), (2, 4)]


@pytest.mark.parametrize(
    "text", ["", "1,1,500,500,20,40\n", "1,1,5,5,0,0\n2,1,5,5,0,0\n", "1,1,5,5,20,40,0\n"]
)
def test_nothing_to_cut_is_an_empty_list(made, walk, tmp_path, text):
    (tmp_path / "none.txt").write_text(text)
    done = cut_crops(walk[0], tmp_path / "out", boxes=tmp_path / "none.txt")
    assert (done.crops, done.listed) == (0, 0)
    assert any("no crops" in line for line in done.notes)
    assert (tmp_path / "out" / "list.csv").read_text() == "path,camera,time,track\n"


def test_one_frame_is_enough(made, tmp_path):
    video = made.write_video(tmp_path / "gate.mkv", made.film(1))
    network = made.write_red_detector(tmp_path / "red.onnx")
    assert cut_crops(video, tmp_path / "out", detector=network).crops == 1


def test_short_tracks_and_skipped_frames(walk, tmp_path):
    choices = CropChoices(every=5, min_frames=4, gap=0)
    done = cut_crops(walk[0], tmp_path / "out", boxes=walk[1], choices=choices)
    assert (done.frames, done.crops) == (4, 4)
    assert {frame_of(row["path"]) for row in rows(tmp_path / "out")} == {1, 6, 11, 16}
    choices = CropChoices(every=5, min_frames=5)
    assert cut_crops(walk[0], tmp_path / "out", boxes=walk[1], choices=choices).crops == 0


@pytest.fixture
def folder(made, tmp_path):
    path = tmp_path / "frames"
    path.mkdir()
    for at, image in enumerate(made.film(6), 1):
        Image.fromarray(image).save(path / f"{at:06d}.png")
    return path, made.write_boxes(tmp_path / "boxes.txt", [made.walker(at) for at in range(6)])


def test_a_folder_of_frames_with_one_that_is_broken(folder, tmp_path):
    (folder[0] / "000003.png").write_bytes(b"broken")
    choices = CropChoices(gap=0, per_track=9, fps=2.0)
    done = cut_crops(folder[0], tmp_path / "out", boxes=folder[1], start=START, choices=choices)
    assert {frame_of(row["path"]) for row in rows(tmp_path / "out")} == {1, 2, 4, 5, 6}
    assert parse_time(rows(tmp_path / "out")[-1]["time"]) - START.timestamp() == 2.5
    assert len(done.problems) == 1
    assert "000003.png" in done.problems[0]
    assert rows(tmp_path / "out")[0]["track"] == "frames-7"


def test_a_folder_of_broken_frames_is_refused(folder, tmp_path):
    for path in folder[0].iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(DrfmError, match="not one frame can be used"):
        cut_crops(folder[0], tmp_path / "out", boxes=folder[1])


def test_a_broken_detector_stops_the_run(made, folder, tmp_path):
    network = made.write_detector(tmp_path / "d.onnx", np.zeros((1, 3, 3)))
    with pytest.raises(DrfmError, match=r"d\.onnx: gives \[1, 3, 3\]"):
        cut_crops(folder[0], tmp_path / "out", detector=network)


def test_frames_of_other_sizes_are_cut_by_their_own(folder, tmp_path):
    Image.new("RGB", (20, 20)).save(folder[0] / "000002.png")
    done = cut_crops(folder[0], tmp_path / "out", boxes=folder[1], choices=CropChoices(gap=0, per_track=9))
    assert done.crops == 5


def test_another_video_of_the_same_name_does_not_replace_the_first(made, walk, tmp_path):
    out = tmp_path / "out"
    cut_crops(walk[0], out, boxes=walk[1])
    (tmp_path / "b").mkdir()
    other = made.write_video(tmp_path / "b" / "gate.mkv", made.film(20))
    with pytest.raises(DrfmError, match="has the same name; give --name"):
        cut_crops(other, out, boxes=walk[1])
    assert cut_crops(other, out, boxes=walk[1], name="gate b").listed == 4


def test_names_that_are_no_file_names(walk, tmp_path):
    out = tmp_path / "out"
    for camera in ("a/b", "a_b", "../x", "Tür 1"):
        cut_crops(walk[0], out, boxes=walk[1], camera=camera, choices=CropChoices(per_track=1))
    assert {row["camera"] for row in rows(out)} == {"a/b", "a_b", "../x", "Tür 1"}
    assert len({row["track"] for row in rows(out)}) == 4
    assert all((out / row["path"]).resolve().is_relative_to(out) for row in rows(out))


def test_a_list_of_something_else_is_not_overwritten(walk, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "list.csv").write_text("path,person\na.png,anna\n")
    with pytest.raises(DrfmError, match="give another --out"):
        cut_crops(walk[0], tmp_path / "out", boxes=walk[1])
    assert "anna" in (tmp_path / "out" / "list.csv").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give --boxes"),
        (["--boxes", "BOXES", "--detector", "d.onnx"], "give --boxes"),
        (["--boxes", "none.txt"], "none.txt: no such file"),
        (["--boxes", "BOXES", "--per-track", "0"], "per_track = 0: give 1 to 1000"),
        (["--boxes", "BOXES", "--gap", "nan"], "gap = nan"),
        (["--boxes", "BOXES", "--confidence", "1.5"], "confidence = 1.5: give 0.0 to 1.0"),
        (["--boxes", "BOXES", "--fps", "0"], "fps = 0.0"),
        (["--boxes", "BOXES", "--every", "0"], "every = 0"),
        (["--boxes", "BOXES", "--start", "today"], "start = today: give ISO 8601"),
        (["--boxes", "BOXES", "--start", "9999-12-31T23:59:59"], "no calendar reaches"),
        (["--boxes", "BOXES", "--camera", " "], "camera = ' '"),
        (["--boxes", "BOXES", "--name", "a\nb"], "name ="),
        (["--boxes", "BOXES", "--tracker", "sort"], "--tracker"),
        (["--detector", "none.onnx"], "none.onnx: no such file"),
        (["--detector", "none.onnx", "--person-class", "-1"], "person_class = -1"),
        (["--boxes", "BOXES", "--first-frame", "2"], "frame 1, but frames count from 2"),
    ],
)
def test_bad_arguments_are_one_line(walk, tmp_path, capsys, words, message):
    words = [str(walk[1]) if word == "BOXES" else word for word in words]
    assert main(["crops", str(walk[0]), "--out", str(tmp_path / "out"), *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("drfm: error: ")
    assert error.count("\n") == 1
    assert message in error


def test_a_folder_has_no_times_without_fps(folder, tmp_path, capsys):
    words = ["crops", str(folder[0]), "--out", str(tmp_path / "out"), "--boxes", str(folder[1])]
    assert main([*words, "--start", "2026-05-01"]) == 2
    assert "give --fps" in capsys.readouterr().err


def test_crops_of_a_track_leave_memory_when_it_is_over(walk, tmp_path, monkeypatch, made):
    lines = [f"{at},{at},{10 + at},30,24,60" for at in range(1, 21)]
    (tmp_path / "many.txt").write_text("\n".join(lines))
    most, real = [], module._Cutter._look

    def look(self, *given):
        real(self, *given)
        most.append(len(self._best))

    monkeypatch.setattr(module._Cutter, "_look", look)
    assert cut_crops(walk[0], tmp_path / "out", boxes=tmp_path / "many.txt").tracks == 20
    assert max(most) == 0


def test_a_shot_holds_its_own_pixels(walk, tmp_path, monkeypatch):
    kept, real = [], module.BestShots.add

    def add(self, shot: Shot):
        kept.append(shot.pixels)
        real(self, shot)

    monkeypatch.setattr(module.BestShots, "add", add)
    cut_crops(walk[0], tmp_path / "out", boxes=walk[1])
    assert all(pixels.base is None for pixels in kept)
