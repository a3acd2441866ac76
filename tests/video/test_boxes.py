import pytest

from drfm.errors import DrfmError
from drfm.video.boxes import Box, read_mot


def read(tmp_path, text, first_frame=1):
    path = tmp_path / "boxes.txt"
    path.write_text(text, encoding="utf-8")
    return read_mot(path, first_frame)


def test_lines_of_the_challenge(tmp_path):
    text = "1,4,10.5,20,30,60,0.75,-1,-1,-1\n\n1,-1,0,0,5,9,-1,-1,-1,-1\n3, 4, 11, 20, 30, 60\n"
    found = read(tmp_path, text)
    assert found == {
        1: [Box(10.5, 20, 30, 60, 0.75, 4, 1), Box(0, 0, 5, 9, 1.0, None, 3)],
        3: [Box(11, 20, 30, 60, 1.0, 4, 4)],
    }


def test_a_first_line_may_name_the_columns(tmp_path):
    assert set(read(tmp_path, "\ufeffframe,id,left,top,width,height\n2,1,0,0,4,8\n")) == {2}


def test_confidence_0_leaves_out_and_others_count_as_the_nearest(tmp_path):
    found = read(tmp_path, "1,1,0,0,4,8,0\n2,1,0,0,4,8,63.5\n3,1,0,0,4,8,-0.5\n")
    assert {frame: boxes[0].confidence for frame, boxes in found.items()} == {2: 1.0}


def test_no_lines_are_no_boxes(tmp_path):
    assert read(tmp_path, "") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3\n", r"boxes\.txt:1: has 3 cells"),
        ("1,1,0,0,4,8\n1,2,0,zero,4,8\n", r":2: box has 'zero'"),
        ("1,1,0,0,nan,8\n", ":1: box has 'nan'"),
        ("1,1,0,0,1e300,8\n", ":1: box has '1e300'"),
        ("1.5,1,0,0,4,8\n", ":1: frame '1.5' is no whole number"),
        ("0,1,0,0,4,8\n", ":1: frame 0, but frames count from 1; give --first-frame 0"),
        ("1,-3,0,0,4,8\n", ":1: id -3"),
        ("1,1,0,0,4,8,high\n", ":1: confidence has 'high'"),
        ("1,1,0,0,4,8\n2,1,0,0,4,8\n1,1,9,0,4,8\n", ":3: id 1 is in frame 1 twice"),
        ("a,b,c,d,e,f\n", ":1: frame has 'a'"),
    ],
)
def test_one_line_for_each_mistake(tmp_path, text, message):
    with pytest.raises(DrfmError, match=message) as error:
        read(tmp_path, text)
    assert "\n" not in str(error.value)


def test_a_missing_and_a_binary_file(tmp_path):
    with pytest.raises(DrfmError, match="no such file"):
        read_mot(tmp_path / "none.txt")
    (tmp_path / "boxes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DrfmError, match="is not a list of boxes"):
        read_mot(tmp_path / "boxes.txt")
    with pytest.raises(DrfmError, match="cannot be read"):
        read_mot(tmp_path)


@pytest.mark.parametrize(
    ("box", "part"),
    [
        ((10, 20, 30, 40), (10, 20, 40, 60)),
        ((10.4, 20.6, 30, 40), (10, 21, 40, 61)),
        ((-5, -5, 20, 20), (0, 0, 15, 15)),
        ((90, 40, 50, 50), (90, 40, 100, 80)),
        ((-50, 10, 50, 10), None),
        ((100, 10, 5, 10), None),
        ((10, 10, 0, 10), None),
        ((10, 10, -4, 10), None),
        ((10, 10, 0.2, 10), None),
        ((-1e9, -1e9, 2e9, 2e9), (0, 0, 100, 80)),
    ],
)
def test_the_part_of_a_box_in_a_frame(box, part):
    assert Box(*box).inside(80, 100) == part
