"""CUHK03 from its official MATLAB file, with its 20 test sets."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from drfm.data.listing import list_images, require_images
from drfm.data.market import chosen_boxes
from drfm.data.png import encode_png
from drfm.data.records import Dataset, ImageRecord
from drfm.errors import DrfmError
from drfm.files import read_json, write_atomic, write_json
from drfm.progress import progress_bar

FILE = "cuhk-03.mat"
INDEX = "index.json"
_KEYS = {"detected": "detected", "labelled": "labeled"}


def read_cuhk03(root: Path, *, boxes: str = "both", extracted: str | None = None) -> Dataset:
    """CUHK03 (five camera pairs, 1,467 persons) from ``cuhk-03.mat``, MATLAB v7.3.

    The images are written as PNG files once; later reads need neither the MATLAB file
    nor h5py. Persons are numbered from 0 through the five pairs; camera 1 and 2 are the two views of a pair.

    Args:
        root: folder with ``cuhk-03.mat`` or ``cuhk03_release/cuhk-03.mat``, or one already extracted.
        boxes: ``detected``, ``labelled`` or ``both``.
        extracted: folder for the images; ``extracted`` below ``root`` if not given.

    Raises:
        DrfmError: no such file, h5py is missing, or the file is not what it should be.
    """
    chosen = chosen_boxes(boxes)
    target = Path(extracted) if extracted is not None else root / "extracted"
    target = root if (root / INDEX).is_file() else target
    if not (target / INDEX).is_file():
        extract_cuhk03(_find(root), target)
    index = read_json(target / INDEX)
    try:
        tests = tuple(tuple(int(p) for p in test) for test in index["test_sets"])
        expected = {kind: int(index["images"][kind]) for kind in chosen}
    except (KeyError, TypeError, ValueError):
        raise DrfmError(f"{target / INDEX}: is damaged; remove it to extract the images again") from None
    records = []
    for kind in chosen:
        names = require_images(list_images(target, kind), target / kind, "extracted CUHK03 images")
        if len(names) != expected[kind]:
            raise DrfmError(
                f"{target / kind}: {len(names)} images instead of {expected[kind]}; "
                f"remove {INDEX} to extract again"
            )
        for name in names:
            person, camera, _ = name.rpartition("/")[2].split("_")
            records.append(ImageRecord(name, int(person), int(camera[1:])))
    return Dataset("cuhk03", target, tuple(records), tests, (f"boxes: {boxes}",))


def extract_cuhk03(path: Path, target: Path) -> None:
    """Write the images of ``cuhk-03.mat`` below ``target``, and last an index with the test sets.

    Names are ``{detected,labelled}/{person:04d}_c{view}_{number}.png``.

    Raises:
        DrfmError: h5py is missing, or the file does not hold what CUHK03 holds.
    """
    try:
        import h5py
    except ImportError:
        raise DrfmError(f"{path}: reading it needs h5py; install drfm[mat]") from None
    try:
        with h5py.File(path, "r") as mat:
            offsets = _offsets(mat)
            counts = {kind: _write(mat, kind, offsets, target) for kind in _KEYS}
            tests = [_test_set(mat[ref][()].T, offsets) for ref in mat["testsets"][0]]
    except (OSError, KeyError, IndexError, AttributeError, TypeError, ValueError) as error:
        if isinstance(error, DrfmError):
            raise
        raise DrfmError(f"{path}: is not the official cuhk-03.mat ({error}); download it again") from None
    write_json(target / INDEX, {"images": counts, "test_sets": tests})


def _find(root: Path) -> Path:
    for path in (root / FILE, root / "cuhk03_release" / FILE):
        if path.is_file():
            return path
    raise DrfmError(f"{root}: no {FILE}; for extracted images use kind cuhk03-np or market-style")


def _offsets(mat: Any) -> list[int]:
    """First person number of each camera pair, and the total; both kinds of boxes have the same persons."""
    sizes = [mat[ref].shape[-1] for ref in mat["detected"][0]]
    return [0, *np.cumsum(sizes).tolist()]


def _test_set(rows: npt.NDArray[Any], offsets: list[int]) -> list[int]:
    return sorted(offsets[int(pair) - 1] + int(person) - 1 for pair, person in rows)


def _write(mat: Any, kind: str, offsets: list[int], target: Path) -> int:
    count = 0
    with progress_bar(f"extracting CUHK03, {kind}", offsets[-1]) as bar:
        for pair, ref in enumerate(mat[_KEYS[kind]][0]):
            for row, cells in enumerate(mat[ref][()].T):
                for view, number, image in _images(mat, cells):
                    name = f"{offsets[pair] + row:04d}_c{view}_{number}.png"
                    write_atomic(target / kind / name, encode_png(image))
                    count += 1
                bar.advance()
    return count


def _images(mat: Any, cells: Any) -> Iterator[tuple[int, int, npt.NDArray[np.uint8]]]:
    """View, number and pixels of a person's cells: axes come reversed, and an empty cell is two numbers."""
    for column, ref in enumerate(cells):
        image = np.asarray(mat[ref])
        if image.ndim == 3 and image.size:
            yield column // 5 + 1, column % 5 + 1, np.ascontiguousarray(image.T.astype(np.uint8))
