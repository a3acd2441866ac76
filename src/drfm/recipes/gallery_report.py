"""The report of a gallery: what is in it, how its images lie, and which are nearest to each other."""

import itertools
from pathlib import Path

import numpy as np
import numpy.typing as npt

from drfm.data.imagefile import image_size, open_image
from drfm.errors import DrfmError
from drfm.evaluation.gallery_page import gallery_page
from drfm.files import write_atomic
from drfm.gallery.items import NAMES, Item
from drfm.gallery.opening import open_store

PAGE = 4096
"""Images that are asked for at a time."""
HEIGHTS = (1, 32, 64, 128)
"""Where the ranges of native height begin that colour the map."""


def report_gallery(location: str, out: Path) -> Path:
    """Write one HTML page on the gallery at ``location`` to ``out``.

    A grey field stands for an image that cannot be read.

    Raises:
        DrfmError: there is no gallery, it is empty, or ``out`` cannot be written.
    """
    store = open_store(location)
    try:
        items, parts = list[Item](), list[npt.NDArray[np.float32]]()
        after = -1
        while True:
            ids, found, vectors = store.page(after, PAGE)
            if not ids:
                break
            items += found
            parts.append(vectors)
            after = ids[-1]
    finally:
        store.close()
    if not items:
        raise DrfmError(f"{location}: the gallery is empty; `drfm gallery add` puts images in")
    heights = [_height(item) for item in items]
    fields = {name: [getattr(item, name) or "" for item in items] for name in NAMES}
    fields["resolution"] = [_resolution(height) for height in heights]
    gone = heights.count(0)
    page = gallery_page(
        Path(location).name,
        np.concatenate(parts),
        [item.path for item in items],
        fields=fields,
        heights=heights,
        picture=(lambda row: _picture(items[row])) if gone < len(items) else None,
        notes=(f"{gone:,} of {len(items):,} images cannot be read; were they moved?",) if gone else (),
    )
    write_atomic(out, page)
    return out


def _height(item: Item) -> int:
    """Rows of the image of an item, 0 where it cannot be read."""
    try:
        return image_size(Path(item.path))[0]
    except DrfmError:
        return 0


def _resolution(height: int) -> str:
    """Heights in words; empty for an unknown one."""
    if not height:
        return ""
    for low, high in itertools.pairwise(HEIGHTS):
        if height < high:
            return f"{low} to {high - 1} rows"
    return f"{HEIGHTS[-1]} rows and more"


def _picture(item: Item) -> npt.NDArray[np.uint8]:
    """The image of an item, or a grey field."""
    try:
        return open_image(Path(item.path))
    except DrfmError:
        return np.full((64, 32, 3), 128, np.uint8)
