"""The page of a gallery."""

import re

import numpy as np
import pytest

from drfm.errors import DrfmError
from drfm.evaluation.gallery_page import _neighbours, gallery_page


def vectors(count):
    rows = np.random.default_rng(0).normal(size=(count, 6)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def names(count):
    return [f"image <{number}>" for number in range(count)]


def test_a_page_tells_what_is_known_and_asks_for_nothing():
    rows = vectors(12)
    rows[7] = rows[3]
    image = np.zeros((8, 4, 3), np.uint8)
    html = gallery_page(
        "Gate & hall", rows, names(12), fields={"camera": ["gate", "hall", ""] * 4}, heights=range(20, 32),
        blurry=[True] * 6 + [False] * 6, picture=lambda row: image, notes=["A note."],
    )  # fmt: skip
    for part in ("Gate &amp; hall", "A note.", "unknown for 4 images", "heights from 20 to 31", "no camera",
                 "image &lt;3&gt; and image &lt;7&gt;: 1.000", "camera", "resolution", "blurry"):  # fmt: skip
        assert part in html, part
    assert html.count("<img") == 2 * 6
    assert not re.search(r"https?://|<script|@import|url\(", html)


def test_little_is_enough():
    html = gallery_page("One", vectors(1), ["a"])
    assert "Most alike" not in html
    assert "<img" not in html
    assert "image &lt;0&gt;" in gallery_page("Two", vectors(2), names(2))


def test_unknown_heights_are_left_out():
    html = gallery_page("Some", vectors(4), names(4), heights=[0, 30, 50, 0])
    assert "native heights from 30 to 50" in html
    assert "native heights" not in gallery_page("None", vectors(4), names(4), heights=[0] * 4)
    assert "A ring is" not in html


def test_nearest_neighbours_are_those_of_a_plain_loop():
    rows = vectors(40)
    near, own, similarity = _neighbours(rows, 0)
    np.testing.assert_array_equal(own, np.arange(40))
    table = rows @ rows.T
    np.fill_diagonal(table, -np.inf)
    np.testing.assert_array_equal(near, table.argmax(1))
    np.testing.assert_allclose(similarity, table.max(1), rtol=1e-6)


def test_what_does_not_fit_is_told():
    with pytest.raises(DrfmError, match="the gallery is empty"):
        gallery_page("none", vectors(1)[:0], [])
    with pytest.raises(DrfmError, match="camera: 1 entries for 2 images"):
        gallery_page("two", vectors(2), names(2), fields={"camera": ["x"]})
