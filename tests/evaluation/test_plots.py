import math
import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drfm.evaluation.marks import DARK, LIGHT, Area, Dot, Stroke, Words, in_page, shifted, to_png, to_svg
from drfm.evaluation.plots import HEIGHT, WIDTH, Axis, Line, Panel, chart, key, plot, ticks

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)
MARKS = [
    Stroke([(0, 0), (4, 8)], "s1", 2.2, "7 3"),
    Area([(0, 0), (4, 0), (4, 4)], "s2"),
    Dot((3, 3), "s0", tip="a < b"),
    Words((1, 9), "x & y", "end", strong=True),
]


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


@given(st.lists(st.tuples(st.integers(0, 50), NUMBERS, st.floats(0, 1e5)), min_size=1, max_size=20))
def test_points_and_bands_lie_on_the_canvas(points):
    points.sort()
    band = [(y - spread, y + spread) for _, y, spread in points]
    panel = Panel("t", [Line("a", [(x, y) for x, y, _ in points], band=band)], Axis("x"), Axis("y"))
    for mark in plot(panel):
        for x, y in getattr(mark, "points", None) or [mark.at]:
            assert math.isfinite(x + y)
            assert -1 <= x <= WIDTH + 1
            assert -1 <= y <= HEIGHT + 1


def test_a_higher_value_stands_higher_and_a_band_around_its_curve():
    line = Line("a", [(0, 1.0), (1, 3.0)], band=[(0.5, 1.5), (2.0, 4.0)])
    marks = plot(Panel("t", [line], Axis("x"), Axis("y")))
    curve = next(mark for mark in marks if isinstance(mark, Stroke) and mark.colour == "s0")
    area = next(mark for mark in marks if isinstance(mark, Area))
    assert curve.points[1][1] < curve.points[0][1]
    (_, upper), (_, lower) = area.points[0], area.points[-1]
    assert upper < curve.points[0][1] < lower


def test_the_band_of_one_point_is_a_stroke():
    marks = plot(Panel("t", [Line("a", [(1, 2.0)], band=[(1.0, 3.0)])], Axis("x"), Axis("y")))
    assert not any(isinstance(mark, Area) for mark in marks)
    upright = next(mark for mark in marks if isinstance(mark, Stroke) and mark.colour == "s0").points
    assert upright[0][0] == upright[1][0]
    assert upright[0][1] > upright[1][1]


def test_names_are_escaped_and_tips_carry_values():
    lines = [Line("x & y", [(1, 0.25), (2, 0.5)]), Line("z", [(1, 0.5)])]
    html = chart(Panel("a < b", lines, Axis("epoch"), Axis("", low=0, percent=True), note="n < 3"))
    assert "a &lt; b" in html
    assert "n &lt; 3" in html
    assert "x &amp; y, epoch 1: 25 %" in html
    assert html.count("stroke-dasharray") == 2


def test_no_points_no_chart():
    assert chart(Panel("t", [Line("a", [])], Axis("x"), Axis("y"))) == ""


def test_a_file_is_xml_with_its_own_colours_and_a_page_has_classes():
    text = to_svg(MARKS, 10, 20, "what & why")
    root = ElementTree.fromstring(text)
    assert [child.tag.rpartition("}")[2] for child in root] == [
        "title", "rect", "polyline", "polygon", "circle", "text"
    ]  # fmt: skip
    assert "#c4511a" in text
    assert "class" not in text
    page = in_page(MARKS)
    assert 'class="line s1"' in page
    assert "#" not in page


def test_a_png_has_the_size_and_the_colours():
    pytest.importorskip("matplotlib")
    import io

    import numpy as np
    from PIL import Image

    marks = [Stroke([(0, 10), (40, 10)], "s1", 6.0), Words((0, 19), "$x$ λ")]
    image = np.asarray(Image.open(io.BytesIO(to_png(marks, 40, 20, scale=2.0))).convert("RGB"))
    assert image.shape == (40, 80, 3)
    assert tuple(image[20, 40]) == (0xC4, 0x51, 0x1A)
    assert tuple(image[2, 40]) == (255, 255, 255)


def test_a_png_without_its_extra_is_told(monkeypatch):
    import sys

    from drfm.errors import DrfmError

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(DrfmError, match=r"drfm\[viz\]"):
        to_png(MARKS, 10, 10)


def test_marks_move_together():
    before, after = MARKS, shifted(MARKS, 3, -2)
    for old, new in zip(before, after, strict=True):
        here, there = (getattr(mark, "points", None) or [mark.at] for mark in (old, new))
        assert there == [(x + 3, y - 2) for x, y in here]


def test_files_hold_no_class_of_a_page():
    text = to_svg(plot(Panel("t", [Line("a", [(0, 1), (1, 2)])], Axis("x"), Axis("y"))), WIDTH, HEIGHT, "t")
    assert not re.search("class=|var", text)


def test_as_many_curves_as_the_largest_table_has_rows_can_be_told_apart():
    strokes = [key(index, (0, 0)) for index in range(18)]
    assert len({(stroke.colour, stroke.dash) for stroke in strokes}) == 18
    assert len({stroke.colour for stroke in strokes[:9]}) == 9
    for palette in (LIGHT, DARK):
        hues = [palette[stroke.colour] for stroke in strokes[:9]]
        assert len(set(hues)) == 9
