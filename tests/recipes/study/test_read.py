import pytest

from drfm.config.sources import preset_names
from drfm.errors import DrfmError
from drfm.recipes.study.plan import Data, jobs
from drfm.recipes.study.read import load_study, study_names


def written(folder, text):
    path = folder / "mine.yaml"
    path.write_text(text)
    return str(path)


def test_the_studies_of_the_paper_are_there():
    assert study_names() == ["distances", "labels", "lambda", "t", "table2", "table3"]


@pytest.mark.parametrize("name", ["distances", "labels", "lambda", "t", "table2", "table3"])
def test_each_can_be_read_and_names_presets_that_exist(name):
    study = load_study(name)
    assert study.seeds == (1, 2, 3)
    assert {cell.preset for cell in study.cells} - {""} <= set(preset_names())
    assert study.compare in [cell.name for cell in study.cells]


ROWS = {
    "table2": ["raw pixels", "untrained", "SpCL", "ICE", "Cluster Contrast", "PPLR", "Purification", "DCCC",
               "DRFM", "true identities"],
    "table3": ["untrained", "A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8", "DRFM"],
    "labels": ["A1", "A2", "A3", "A4", "DRFM"],
    "distances": ["untrained", "A5", "A6", "DRFM"],
}  # fmt: skip
"""What the paper's tables and its Figures 6 and 7 compare, and the rows that say what a number means."""


@pytest.mark.parametrize("name", ROWS)
def test_each_has_the_rows_of_the_paper(name):
    cells = load_study(name).cells
    assert [cell.name for cell in cells] == ROWS[name]
    for cell in cells:
        if cell.preset:
            assert cell.preset == cell.name.lower().replace(" ", "_")
            assert not cell.options, "the presets alone say what a row is"


@pytest.mark.parametrize("name", ["distances", "labels", "lambda", "t", "table2", "table3"])
def test_every_study_has_the_papers_share_of_labels(name, tmp_path):
    """0.8 on MLR-Market-1501, 0.7 elsewhere, unless that is what the study turns."""
    study = load_study(name)
    data = [Data("MLR-Market-1501", tmp_path), Data("MLR-CUHK03-P1", tmp_path)]
    for job in jobs(study, data, tmp_path, "", {}):
        expected = 0.8 if job.data is data[0] else 0.7
        assert job.resolved.config.labels.t == (job.cell.value if name == "t" else expected)
        assert job.resolved.config.seed == job.seed


@pytest.mark.parametrize(("name", "value"), [("lambda", 1.5), ("t", 0.7)])
def test_a_parameter_is_compared_with_the_papers_value(name, value):
    study = load_study(name)
    assert [cell.value for cell in study.cells if cell.name == study.compare] == [value]


def test_a_parameter_makes_a_cell_for_each_value():
    cells = load_study("lambda").cells
    assert [cell.value for cell in cells] == [0, 0.5, 1.0, 1.5, 2.0, 2.5]
    assert cells[1].options == {"loss.ps_weight": 0.5}
    assert cells[1].name == "DRFM loss.ps_weight 0.5"
    assert cells[1].folder == "drfm-loss.ps-weight-0.5"


def test_a_file_of_the_user(tmp_path):
    text = "title: Mine\nseeds: [7]\ncells:\n  one: {options: {labels.t: 0.5}}\n  two: {}\n"
    study = load_study(written(tmp_path, text))
    assert (study.name, study.title, study.seeds, study.compare) == ("mine", "Mine", (7,), "two")
    assert [cell.name for cell in study.cells] == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cells: {}", "has no cells"),
        ("cells: [1]", r"cells = \[1\]: give names and values"),
        ("cells: {a: {}}\nsedes: [1]", "sedes: no such entry"),
        ("cells: {a: {prest: x}}", "prest: no such entry"),
        ("cells: {a: {floor: sky}}", "floor = sky: choose from pixels, untrained"),
        ("cells: {a: {floor: untrained, of: b}}", "of = b: no such cell"),
        ("cells: {a: {}, A: {}}", "share a folder"),
        ("cells: {a: {}}\nseeds: 3", "seeds = 3: give a list"),
        ("cells: {a: {}}\nshow: film", "show = film: choose from"),
        ("cells: {a: {}}\ncompare: b", "compare = b: no such cell"),
        ("cells: {a: {}}\nshow: parameter\nvalues: [1]", "name the option"),
        ("cells: {a: {}}\nshow: parameter\nparameter: labels.t\nvalues: [x]", "give a list of numbers"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(tmp_path, text, message):
    with pytest.raises(DrfmError, match=message):
        load_study(written(tmp_path, text))


def test_an_unknown_name():
    with pytest.raises(DrfmError, match=r"study = table9: no such study.*Did you mean table\d"):
        load_study("table9")
