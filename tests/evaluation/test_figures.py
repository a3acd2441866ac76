"""Figures of a study, from plain numbers."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from drfm.errors import DrfmError
from drfm.evaluation.figures import Figure, distance_figure, label_figure, parameter_figure, positive_gap

SCORES = {"toy": {"Rank-1": {1.0: [50.0, 54.0], 0.0: [40.0], 2.0: []}, "mAP": {0.0: [30.0]}}}


def test_a_parameter_curve_is_mean_and_sample_deviation_in_order():
    figure = parameter_figure("t", SCORES, parameter="lambda")
    (panel,) = figure.panels
    first, second = panel.lines
    assert first.points == [(0.0, 40.0), (1.0, 52.0)]
    spread = np.std([50, 54], ddof=1)
    np.testing.assert_allclose(first.band, [(40, 40), (52 - spread, 52 + spread)])
    assert second.points == [(0.0, 30.0)]
    assert not second.band
    assert (panel.title, panel.x.title, panel.y.title) == ("toy", "lambda", "%")
    assert panel.note == "mean over seeds; band: ± one standard deviation"


def test_label_curves_may_differ_in_length_and_have_gaps():
    runs = {"toy": {"A1": [[0.1, 0.2, 0.5], [0.3, None]], "A2": [[], [None]]}}
    (panel,) = label_figure("t", runs).panels
    first, second = panel.lines
    np.testing.assert_allclose(first.points, [(1, 0.2), (2, 0.2), (3, 0.5)])
    spread = np.std([0.1, 0.3], ddof=1)
    np.testing.assert_allclose(first.band, [(0.2 - spread, 0.2 + spread), (0.2, 0.2), (0.5, 0.5)])
    assert not second.points
    (single,) = label_figure("t", {"toy": {"A1": [[0.1, 0.2]]}}).panels
    assert single.note == "", "one seed has no band"


def histogram(*places):
    counts = np.zeros(100, int)
    for at, number in places:
        counts[at] = number
    return counts


def test_gap_and_overlap_by_hand():
    counts = {"positive/same": histogram((10, 3), (20, 1)), "positive/cross": histogram((20, 2), (30, 2))}
    # Middles 0.21, 0.41, 0.61: means 0.26 and 0.51; common area 1/4 in bin 20.
    found = positive_gap(counts)
    assert found == pytest.approx({"gap of means": 0.25, "overlap": 0.25})
    exact = {"positive/same/mean": 0.3, "positive/cross/mean": 0.5}
    assert positive_gap(counts, exact)["gap of means"] == pytest.approx(0.2)
    assert positive_gap({"positive/same": counts["positive/same"]}) == {}
    assert positive_gap({**counts, "positive/cross": np.zeros(100)}) == {}


def test_panels_of_distances_share_an_axis_and_say_their_numbers():
    near = {"positive/same": histogram((10, 30)), "positive/cross": histogram((14, 30)), "negative/same": [1]}
    far = {"positive/same": histogram((10, 30)), "positive/cross": histogram((50, 30))}
    figure = distance_figure("t", {"A5": far, "A6": near})
    a5, a6 = figure.panels
    assert (a5.x.low, a5.x.high) == (a6.x.low, a6.x.high)
    assert a5.x.low <= 0.2 < 1.02 <= a5.x.high
    assert a5.y.high == a6.y.high > 1
    assert "gap of means 0.800" in a5.note
    assert "gap of means 0.080" in a6.note
    assert "overlap 0.000" in a6.note
    for panel in figure.panels:
        for line in panel.lines:
            assert sum(share for _, share in line.points) == pytest.approx(1)
    one = distance_figure("t", {"only": {"positive/cross": histogram((14, 30)), "positive/same": [0] * 100}})
    assert [line.name for line in one.panels[0].lines] == ["two resolutions"]
    assert one.panels[0].note == ""
    assert not distance_figure("t", {"none": {}}).panels


def test_a_figure_is_saved_as_svg_and_png(tmp_path):
    figure = parameter_figure("Impact of <lambda>", {**SCORES, "other": SCORES["toy"]}, parameter="lambda")
    figure.save(tmp_path / "f.svg")
    root = ElementTree.fromstring((tmp_path / "f.svg").read_text())
    words = " ".join(root.itertext())
    for expected in ("Impact of <lambda>", "toy", "other", "Rank-1", "mAP"):
        assert expected in words
    width, height = float(root.get("width")), float(root.get("height"))
    for path in re.findall(r'points="([^"]+)"', (tmp_path / "f.svg").read_text()):
        xs, ys = zip(*(map(float, point.split(",")) for point in path.split()), strict=True)
        assert min(xs) >= 0
        assert max(xs) <= width
        assert min(ys) >= 0
        assert max(ys) <= height
    pytest.importorskip("matplotlib")
    figure.save(tmp_path / "f.png")
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_drawn_is_told(tmp_path):
    empty = Figure("Nothing", [])
    assert empty.html() == ""
    with pytest.raises(DrfmError, match="Nothing: there is nothing to draw"):
        empty.save(tmp_path / "f.svg")
    with pytest.raises(DrfmError, match=r"ends in \.svg or \.png"):
        parameter_figure("t", SCORES, parameter="x").save(tmp_path / "f.pdf")
