"""A sheet of images in rows and columns, such as the paper's Fig. 1: in a page, as SVG and as PNG."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from drfm.errors import DrfmError
from drfm.evaluation.marks import LIGHT
from drfm.evaluation.pictures import data_uri

_WIDTH, _HEIGHT, _GAP, _HEAD, _LINE, _SCALE = 96, 192, 10, 40, 18, 2
_SIGNS = str.maketrans({"\N{CHECK MARK}": None, "\N{BALLOT X}": None})
"""What the face of the PNG lacks; the words beside say the same."""
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Sheet:
    """Rows of images under common titles.

    Attributes:
        titles: of the columns, in one or two lines of a few letters.
        rows: for each row one ``(H, W, 3)`` uint8 image a column, of any size.
        words: for each row a line above it.
    """

    titles: Sequence[str]
    rows: Sequence[Sequence[Pixels]]
    words: Sequence[str] = ()

    def html(self) -> str:
        """For a page of :mod:`drfm.evaluation.page`; empty without rows."""
        found = []
        for place, row in enumerate(self.rows):
            shots = "".join(
                f'<div class="shot"><img src="{data_uri(image)}" alt="{escape(title)}">{escape(title)}</div>'
                for title, image in zip(self.titles, row, strict=True)
            )
            words = f'<p class="soft">{escape(self.words[place])}</p>' if self.words else ""
            found.append(f'{words}<div class="list sheet">{shots}</div>')
        return "".join(found)

    def svg(self) -> str:
        """An SVG file with the images in it.

        Raises:
            DrfmError: there are no rows.
        """
        width, height = self._size()
        parts = [
            f'<text x="{left + _WIDTH / 2:g}" y="{_HEAD - 8 - 15 * (len(lines) - 1 - line)}" font-size="12" '
            f'text-anchor="middle" fill="{LIGHT["soft"]}">{escape(text)}</text>'
            for left, title in zip(self._lefts(), self.titles, strict=True)
            for lines in [title.split("\n")]
            for line, text in enumerate(lines)
        ]
        parts += [
            f'<text x="{_GAP}" y="{top - 6}" font-size="12" fill="{LIGHT["ink"]}">{escape(words)}</text>'
            for top, words in zip(self._tops(), self.words, strict=False)
        ]
        for top, row in zip(self._tops(), self.rows, strict=True):
            for left, image in zip(self._lefts(), row, strict=True):
                place = f'x="{left}" y="{top}" width="{_WIDTH}" height="{_HEIGHT}"'
                parts.append(f'<image {place} href="{data_uri(image)}"/>')
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="Helvetica, Arial, sans-serif">'
            f'<rect width="100%" height="100%" fill="{LIGHT["ground"]}"/>{"".join(parts)}</svg>\n'
        )

    def png(self) -> bytes:
        """The same as PNG, two pixels a unit.

        Raises:
            DrfmError: there are no rows.
        """
        width, height = self._size()
        sheet = Image.new("RGB", (_SCALE * width, _SCALE * height), LIGHT["ground"])
        pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12 * _SCALE)
        for left, title in zip(self._lefts(), self.titles, strict=True):
            at = (_SCALE * (left + _WIDTH / 2), _SCALE * (_HEAD - 8))
            pen.multiline_text(at, title, fill=LIGHT["soft"], font=font, anchor="md", align="center")
        for top, words in zip(self._tops(), self.words, strict=False):
            at = (_SCALE * _GAP, _SCALE * (top - 6))
            plain = " ".join(words.translate(_SIGNS).split())
            pen.text(at, plain, fill=LIGHT["ink"], font=font, anchor="ls")
        for top, row in zip(self._tops(), self.rows, strict=True):
            for left, image in zip(self._lefts(), row, strict=True):
                fitted = _fit(image, (_SCALE * _WIDTH, _SCALE * _HEIGHT))
                free = _SCALE * _WIDTH - fitted.width, _SCALE * _HEIGHT - fitted.height
                sheet.paste(fitted, (_SCALE * left + free[0] // 2, _SCALE * top + free[1] // 2))
        buffer = io.BytesIO()
        sheet.save(buffer, "PNG")
        return buffer.getvalue()

    def _lefts(self) -> list[int]:
        return [_GAP + column * (_WIDTH + _GAP) for column in range(len(self.titles))]

    def _tops(self) -> list[int]:
        line = self._line()
        return [_HEAD + line + row * (line + _HEIGHT + _GAP) for row in range(len(self.rows))]

    def _line(self) -> int:
        """Height of the line of words above a row."""
        return _LINE if self.words else 0

    def _size(self) -> tuple[int, int]:
        if not self.rows:
            raise DrfmError("a sheet without rows: there is nothing to draw")
        down = self._line() + _HEIGHT + _GAP
        return _GAP + len(self.titles) * (_WIDTH + _GAP), _HEAD + len(self.rows) * down


def _fit(image: Pixels, room: tuple[int, int]) -> Image.Image:
    """The image as large as the room allows, in its own proportions."""
    height, width = image.shape[:2]
    scale = min(room[0] / width, room[1] / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
