"""A sheet of examples: captures made small, interpolated, super-resolved, and themselves."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from drfm.files import write_atomic
from drfm.recipes.sr.measure import Shown

Pixels = npt.NDArray[np.uint8]
_HEIGHT, _GAP = 192, 4


def sheet(shown: Sequence[Shown]) -> Pixels:
    """``(H, W, 3)`` uint8: a column for each capture; small (large pixels), bicubic, network, capture."""
    columns = [np.concatenate([_cell(image) for image in _images(one)]) for one in shown]
    return np.concatenate(columns, axis=1)


def _images(shown: Shown) -> tuple[Pixels, ...]:
    height, width = shown.sharp.shape[:2]
    blocks = Image.fromarray(shown.small).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(blocks), shown.bicubic, shown.resolved, shown.sharp


def _cell(image: Pixels) -> Pixels:
    """The image at a common height, with a white border."""
    height, width = image.shape[:2]
    wide = max(1, round(width * _HEIGHT / height))
    large = np.asarray(Image.fromarray(image).resize((wide, _HEIGHT), Image.Resampling.NEAREST))
    canvas = np.full((_HEIGHT + _GAP, _HEIGHT // 2 + _GAP, 3), 255, dtype=np.uint8)
    cut = large[:, : _HEIGHT // 2]
    canvas[:_HEIGHT, : cut.shape[1]] = cut
    return canvas


def write_sheet(path: Path, shown: Sequence[Shown]) -> None:
    """Write the sheet as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(sheet(shown)).save(buffer, "PNG", optimize=True)
    write_atomic(path, buffer.getvalue())
