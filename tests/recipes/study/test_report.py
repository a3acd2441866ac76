"""The files of a study, from runs written by hand."""

import json
import re
from pathlib import Path

import pytest

from drfm.files import write_json
from drfm.recipes.study.gather import SCORES, gather
from drfm.recipes.study.plan import Cell, Data, Study
from drfm.recipes.study.report import report_study

DATA = [Data("SMALL", Path("bench"))]


def a_run(out: Path, cell: str, seed: int, rank1: float) -> None:
    """What `drfm train` leaves, as far as a study reads it."""
    run = out / "SMALL" / cell / f"seed{seed}"
    scores = dict.fromkeys(("rank1", "rank5", "rank10", "map"), rank1)
    for stage, gain in (("untrained", 0.5), ("trained", 1.0)):
        row = {"features": "fused", "exact": {k: v * gain for k, v in scores.items()}, "multi_shot": scores}
        result = {
            "features": "fused", "rows": [row], "facts": {},
            "protocol": {"text": "single-shot; headline: fused features"},
            "counts": {"queries": 8, "gallery": 4, "persons": 4}, "chance": {"rank1": 0.25},
        }  # fmt: skip
        write_json(run / f"{stage}.json", result)
        numbers = {"positive/same/mean": 0.1, "positive/cross/mean": 0.1 + rank1, "one_camera": 1.0}
        counts = {
            f"{kind}/{side}": [0, 3, 1, 0] * 25
            for kind in ("positive", "negative")
            for side in ("same", "cross")
        }
        write_json(run / f"{stage}-distances.json", {"counts": counts, "numbers": numbers})
    write_json(run / "record.json", {"benchmark": {"id": "abc"}, "seed": seed})
    lines = [json.dumps({"epoch": epoch, "quality": {"f": 0.1 * (epoch + seed)}}) for epoch in range(3)]
    (run / "journal.jsonl").write_text("\n".join(lines) + "\n")


@pytest.fixture
def out(tmp_path) -> Path:
    for seed in (1, 2):
        a_run(tmp_path, "a", seed, 0.2 + 0.1 * seed)
        a_run(tmp_path, "b", seed, 0.4)
    return tmp_path


def study(show: str = "table", **more: object) -> Study:
    cells = (Cell("floor", floor="untrained", of="b"), Cell("a", value=0.5), Cell("b", value=1.0))
    return Study("s", "A study", cells, (1, 2, 3), show=show, compare="b", **more)


def test_scores_are_those_of_the_files(out):
    found = gather(study(), DATA, out)
    assert [o.scores["exact/rank1"] for o in found.of(DATA[0], study().cells[1])] == pytest.approx([30, 40])
    assert [o.scores["exact/rank1"] for o in found.of(DATA[0], study().cells[0])] == pytest.approx([20, 20])


def test_everything_is_written_and_linked(out):
    page = report_study(study(), DATA, out)
    html = page.read_text()
    assert 'href="SMALL/a/seed1/record.json"' in html
    for address in re.findall(r'href="([^"]+)"', html):
        assert (out / address).exists(), "a link that leads nowhere"
    assert html.count("href=") == 6, "three rows of two seeds"
    assert "35.0 ± 7.1" in html
    assert "src=" not in html
    assert "http" not in html.replace("http://www.w3.org", "")
    kept = json.loads((out / "results.json").read_text())
    assert [(run["cell"], run["seed"]) for run in kept["runs"]][:3] == [("floor", 1), ("floor", 2), ("a", 1)]
    assert str(out) not in json.dumps(kept)
    assert set(kept["runs"][0]["scores"]) == set(SCORES)
    assert (out / "labels.svg").read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("show", "name"), [("parameter", "parameter"), ("labels", "labels"), ("distances", "distances-SMALL")]
)
def test_each_study_draws_its_figure(out, show, name):
    report_study(study(show, parameter="labels.t"), DATA, out)
    assert {path.stem for path in out.glob("*.svg")} == {name}
    assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_says_how_much_of_the_study_is_there_and_what_its_rows_are(out):
    write_json(out / "failed.json", {"SMALL/a/seed3": "a bad day"})
    write_json(out / "SMALL/a/seed1/record.json", {"benchmark": {"id": "abc"}, "supervised": True})
    html = report_study(study(), DATA, out).read_text()
    assert "4 of 6 runs are finished, 1 failed. Every other row is compared with b" in html
    assert "chance 25.0 % Rank-1" in html
    assert "Protocol: single-shot." in html, "the headline feature is each method's own"
    for name, said in (("floor", "no training"), ("a", "supervised")):
        assert f'{name} <span class="soft">({said})</span>' in html
        assert f"| {name} ({said}) |" in (out / "table.md").read_text()
    assert 'record.json">2</a> failed</td>' in html
    none = Study("s", "S", (Cell("b"), Cell("c")), (1,), compare="b")
    html = report_study(none, DATA, out).read_text()
    assert "1 of 2 runs are finished. " in html
    assert "<td>not finished</td>" in html


def test_distances_have_exact_numbers_over_seeds(out):
    report_study(study("distances"), DATA, out)
    drawn = (out / "distances-SMALL.svg").read_text()
    assert drawn.count("gap of means 0.350, overlap 1.000; one camera a resolution") == 1  # 0.3 and 0.4
    assert drawn.count("gap of means 0.400, overlap 1.000; one camera a resolution") == 2


def test_a_run_that_failed_says_why(out):
    reasons = {
        "SMALL/a/seed3": "a disk <full>",
        "SMALL/b/seed1": "an old failure",
        "OTHER/a/seed1": "elsewhere",
    }
    write_json(out / "failed.json", reasons)
    html = report_study(study(), DATA, out).read_text()
    assert "<li>a/seed3: a disk &lt;full&gt;</li>" in html
    table = (out / "table.md").read_text()
    assert "- a/seed3: a disk <full>" in table
    assert "old failure" not in html + table, "that run is finished by now"
    assert "elsewhere" not in html + table


def test_maps_that_cannot_be_drawn_leave_the_rest(out):
    """The benchmark was moved, say."""
    write_json(out / "SMALL/b/seed1/model/model.json", {})
    html = report_study(study(), DATA, out).read_text()
    assert "Not drawn. " in html
    assert "35.0 ± 7.1" in html


def test_a_study_without_a_finished_run_says_so(tmp_path):
    html = report_study(study(), DATA, tmp_path).read_text()
    assert "No run is finished" in html
    assert not list(tmp_path.glob("*.svg"))
