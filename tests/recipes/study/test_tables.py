import math
from pathlib import Path

import pytest

from drfm.recipes.study.gather import SCORES, Gathered, Outcome
from drfm.recipes.study.plan import Cell, Data, Study
from drfm.recipes.study.tables import csv, difference, markdown, spread

DATA = Data("SMALL", Path("bench"))
RESULT = {
    "protocol": {"text": "single-shot"},
    "counts": {"queries": 8, "gallery": 4, "persons": 4},
    "chance": {"rank1": 0.25},
}


def outcome(seed, rank1):
    scores = dict.fromkeys(SCORES, rank1)
    return Outcome(seed, Path(f"run{seed}"), scores, {"benchmark": {"id": "abc"}}, RESULT)


def test_spread_is_the_sample_standard_deviation():
    found = spread([1.0, 2.0, 6.0])
    assert found.mean == 3.0
    assert found.deviation == pytest.approx(math.sqrt((4 + 1 + 9) / 2))
    assert str(spread([2.0])) == "2.0"


def test_differences_are_paired_by_seed():
    one = [outcome(1, 10), outcome(2, 20), outcome(3, 33)]
    other = [outcome(3, 30), outcome(1, 9), outcome(2, 18), outcome(4, 99)]
    found = difference(one, other, "exact/rank1")
    # Differences 1, 2, 3: mean 2, deviation 1, Student's factor for two degrees of freedom 4.302653.
    assert (found.mean, found.count) == (2.0, 3)
    assert found.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-5)
    assert found.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-5)


def test_one_seed_has_no_interval_and_none_no_difference():
    assert str(difference([outcome(1, 5)], [outcome(1, 3)], "exact/rank1")) == "+2.0"
    assert difference([outcome(1, 5)], [outcome(2, 3)], "exact/rank1") is None


def test_the_table_shows_what_is_there_and_leaves_the_rest_empty():
    cells = (Cell("A"), Cell("B"), Cell("C"))
    found = {
        ("SMALL", "A"): [outcome(1, 5), outcome(2, 7)],
        ("SMALL", "B"): [outcome(1, 4)],
        ("SMALL", "C"): [],
    }
    gathered = Gathered(Study("s", "Title", cells, compare="B"), [DATA], found)
    lines = markdown(gathered).splitlines()
    assert lines[0] == "# Title"
    row = next(line for line in lines if line.startswith("| A"))
    assert "6.0 ± 1.4" in row
    assert row.endswith("| +1.0 | 2 |")
    assert next(line for line in lines if line.startswith("| C")) == "| C |" + "  |" * 7 + " 0 |"
    assert csv(gathered).splitlines()[1].startswith('SMALL,"A",1,5.0000')
