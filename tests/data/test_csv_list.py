import pytest

from drfm.data.readers import read_dataset
from drfm.data.records import JUNK, UNKNOWN
from drfm.errors import DrfmError


def write(tmp_path, text, name="list.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_paths_alone(tmp_path):
    records = read_dataset("csv", write(tmp_path, "path\nb.png\nsub/a.png\n")).records
    assert [(r.name, r.person, r.camera, r.split, r.resolution) for r in records] == [
        ("b.png", UNKNOWN, None, None, None),
        ("sub/a.png", UNKNOWN, None, None, None),
    ]


def test_numbers_stay_and_words_are_numbered(tmp_path):
    text = "\ufeffpath, Person,camera,resolution,split\na.png,12,hall,HR,train\nb.png,-1,door,lr,test\n"
    text += "c.png,,,,\n"
    records = read_dataset("auto", write(tmp_path, text)).records
    assert [r.person for r in records] == [12, JUNK, UNKNOWN]
    assert [r.camera for r in records] == [1, 0, None]
    assert [r.resolution for r in records] == ["hr", "lr", None]
    assert [r.split for r in records] == ["train", "gallery", None]


def test_a_folder_with_one_list(tmp_path):
    write(tmp_path, "path\na.png\n")
    assert read_dataset("auto", tmp_path).root == tmp_path
    write(tmp_path, "path\na.png\n", "other.csv")
    with pytest.raises(DrfmError, match=r"2 \.csv files"):
        read_dataset("csv", tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'path'"),
        ("path\n", "lists no images"),
        ("file\na.png\n", "column 'file'"),
        ("path,age\na.png,3\n", "column 'age'"),
        ("path\na.png\na.png\n", r":3: a\.png is listed twice"),
        ("path\n../a.png\n", ":2: path '../a.png' must be relative"),
        ("path\n/a.png\n", "must be relative"),
        ("path,person\n,1\n", "must be relative"),
        ("path,resolution\na.png,4k\n", "resolution '4k'"),
        ("path,split\na.png,val\n", "split 'val'"),
        ("path,camera\na.png,-2\n", "camera -2"),
    ],
)
def test_one_line_for_each_mistake(tmp_path, text, message):
    with pytest.raises(DrfmError, match=message) as error:
        read_dataset("csv", write(tmp_path, text))
    assert "\n" not in str(error.value)


def test_a_binary_file_is_no_list(tmp_path):
    path = tmp_path / "list.csv"
    path.write_bytes(b"\xff\xfe\x00path")
    with pytest.raises(DrfmError, match="cannot be read as a CSV list"):
        read_dataset("csv", path)


def test_columns_for_galleries_are_not_read(tmp_path):
    text = "path,camera,time,track\na.png,door,2026-05-01T14:30:00+00:00,door-1\n"
    (record,) = read_dataset("csv", write(tmp_path, text)).records
    assert (record.name, record.camera, record.person) == ("a.png", 0, UNKNOWN)
