"""What a service writes down."""

import json
from multiprocessing import get_context

import numpy as np
import pytest

from drfm.errors import DrfmError
from drfm.serving.answers import as_csv
from drfm.serving.records import Records, append_line

CROP = np.zeros((4, 3, 3), np.uint8)


def test_a_torn_line_costs_nothing_but_itself(tmp_path):
    records = Records(tmp_path)
    records.mark("a", 1, "x.png", "right")
    with (tmp_path / "marks.jsonl").open("a") as file:
        file.write('{"query": "a", "image": 2, "ma')
    again = Records(tmp_path)
    again.mark("a", 3, "z.png", "wrong")
    last = Records(tmp_path)
    assert [last.mark_of("a", image) for image in (1, 2, 3)] == ["right", "none", "wrong"]


def _write(path, who):
    for number in range(100):
        append_line(path, {"who": who, "number": number, "text": "x" * 3000})


def test_processes_do_not_mix_their_lines(tmp_path):
    path = tmp_path / "log.jsonl"
    context = get_context("fork")
    writers = [context.Process(target=_write, args=(path, who)) for who in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for who in range(3):
        assert [line["number"] for line in lines if line["who"] == who] == list(range(100))


def test_crops_are_kept_only_when_asked(tmp_path):
    Records(tmp_path / "no").searched({"query": "q"}, CROP)
    Records(tmp_path / "yes", keep_queries=True).searched({"query": "q"}, CROP)
    assert not list((tmp_path / "no").glob("**/*.png"))
    assert [path.name for path in (tmp_path / "yes").glob("**/*.png")] == ["q.png"]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DrfmError, match="cannot be written"):
        Records(tmp_path / "file" / "records")


def test_an_unknown_mark_is_refused(tmp_path):
    with pytest.raises(DrfmError, match="right, wrong or none"):
        Records(tmp_path).mark("a", 1, "x", "perhaps")


def test_no_cell_of_a_spreadsheet_begins_a_formula():
    line = {
        "rank": 1, "similarity": -0.25, "verdict": "possible", "mark": "none", "image": 4, "path": "=cmd()",
        "camera": "@x", "time": None, "person": None, "track": None, "fields": {"+n": "-1"},
    }  # fmt: skip
    text = as_csv({"query": "q", "results": [line]})
    assert "'=cmd()" in text
    assert "'@x" in text
    assert "'-1" in text
    assert ",-0.25," in text
