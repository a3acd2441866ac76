import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drfm.evaluation.plots import HEIGHT, WIDTH, Axis, Line, chart, ticks

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-0.1, 4.4, [0, 1, 2, 3, 4]),
        (3, 3.0004, [3, 3.0001, 3.0002, 3.0003, 3.0004]),
    ],
)
def test_ticks_are_round(low, high, wanted):
    assert ticks(low, high) == pytest.approx(wanted)


@given(NUMBERS, st.floats(1e-6, 1e6))
def test_ticks_lie_within_the_axis(low, span):
    found = ticks(low, low + span)
    assert 1 <= len(found) <= 7
    assert all(low - 1e-6 * span - 1e-9 <= tick <= low + span * (1 + 1e-6) + 1e-9 for tick in found)


@given(st.lists(st.tuples(st.integers(0, 50), NUMBERS), min_size=1, max_size=20))
def test_points_lie_on_the_canvas(points):
    svg = chart("t", [Line("a", sorted(points))], Axis("x"), Axis("y"))
    numbers = [float(n) for path in re.findall(r' points="([^"]+)"', svg) for n in re.split("[ ,]", path)]
    assert all(math.isfinite(n) for n in numbers)
    assert all(-1 <= n <= WIDTH + 1 for n in numbers[::2])
    assert all(-1 <= n <= HEIGHT + 1 for n in numbers[1::2])


def test_names_are_escaped_and_tips_carry_values():
    svg = chart("a < b", [Line("x & y", [(1, 0.25), (2, 0.5)])], Axis("epoch"), Axis("", low=0, percent=True))
    assert "a &lt; b" in svg
    assert "x &amp; y, epoch 1: 25 %" in svg


def test_no_points_no_chart():
    assert chart("t", [Line("a", [])], Axis("x"), Axis("y")) == ""
