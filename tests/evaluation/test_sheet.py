"""A sheet of images."""

import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from drfm.errors import DrfmError
from drfm.evaluation.sheet import Sheet

RED, BLUE = (
    np.full((8, width, 3), colour, np.uint8) for width, colour in ((4, (255, 0, 0)), (8, (0, 0, 255)))
)
SHEET = Sheet(["a <b>", "its\nmap"], [[RED, BLUE], [BLUE, RED], [RED, RED]], ["one", "two & 2", "three"])


def test_svg_and_png_have_the_same_size_in_units():
    root = ElementTree.fromstring(SHEET.svg())
    image = np.asarray(Image.open(io.BytesIO(SHEET.png())))
    assert image.shape == (2 * int(root.get("height")), 2 * int(root.get("width")), 3)
    pictures = [child for child in root if child.tag.endswith("image")]
    assert len(pictures) == 6
    text = [child for child in root if child.tag.endswith("text")]
    assert {"a <b>", "one", "two & 2", "three"} < {child.text for child in text}
    tops = sorted({int(picture.get("y")) for picture in pictures})
    for words, top in zip(SHEET.words, tops, strict=True):
        (at,) = (int(child.get("y")) for child in text if child.text == words)
        assert top - 18 < at < top, "above its row"
        assert (image[2 * at - 20 : 2 * at, 20:80].mean(axis=2) < 128).any(), "and written there"
    for number, picture in enumerate(pictures):
        x, y, width, height = (int(picture.get(name)) for name in ("x", "y", "width", "height"))
        colour = SHEET.rows[number // 2][number % 2][0, 0]
        assert tuple(image[2 * y + height, 2 * x + width]) == tuple(colour)


def test_an_image_keeps_its_proportions():
    image = np.asarray(Image.open(io.BytesIO(Sheet(["x"], [[BLUE]]).png()))).astype(int)
    blue = (image[..., 2] > 200) & (image[..., 0] < 50)
    rows, columns = np.flatnonzero(blue.any(1)), np.flatnonzero(blue.any(0))
    assert len(rows) == len(columns)


def test_a_page_shows_every_image_with_its_words():
    html = SHEET.html()
    assert html.count("<img") == 6
    assert "two &amp; 2" in html
    assert "a &lt;b&gt;" in html
    assert Sheet(["a"], []).html() == ""
    with pytest.raises(DrfmError, match="nothing to draw"):
        Sheet(["a"], []).png()
