"""Market-1501 and the many data sets that took over its file names."""

import re
from collections import Counter
from pathlib import Path

from drfm.data.listing import list_images, require_images
from drfm.data.records import DISTRACTOR, JUNK, Dataset, ImageRecord, Split
from drfm.errors import DrfmError

NAME = re.compile(r"^(-?\d+)_c(\d+)")
"""Person and camera at the head of a Market-style name; what follows differs between data sets."""

FOLDERS: dict[str, Split] = {
    "bounding_box_train": "train",
    "train": "train",
    "query": "query",
    "bounding_box_test": "gallery",
    "gallery": "gallery",
    "test": "gallery",
}
"""Split that a sub-folder of this name stands for."""


def parse_name(name: str) -> tuple[int, int] | None:
    """Person (-1 for junk) and camera of a Market-style file name, or ``None`` for another kind of name."""
    match = NAME.match(name.rpartition("/")[2])
    return (int(match[1]), int(match[2])) if match else None


def read_market1501(root: Path) -> Dataset:
    """Market-1501 in its official layout: junk is -1, distractors are person 0000 of the test folders.

    Raises:
        DrfmError: a folder is missing or empty, or a name does not parse.
    """
    records: list[ImageRecord] = []
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        names = require_images(list_images(root, folder, deep=False), root / folder, "Market-1501 crops")
        for record in _records(root, names, FOLDERS[folder]):
            distractor = record.person == 0 and folder != "bounding_box_train"
            person = DISTRACTOR if distractor else record.person
            records.append(ImageRecord(record.name, person, record.camera, record.split))
    notes = []
    for person, what in ((JUNK, "junk boxes (person -1)"), (DISTRACTOR, "distractors (person 0000)")):
        count = sum(r.person == person for r in records)
        if count:
            notes.append(f"{count} {what}")
    return Dataset("market1501", root, tuple(sorted(records, key=_name)), notes=tuple(notes))


def read_market_style(root: Path) -> Dataset:
    """Any folder of ``{person}_c{camera}...`` names; sub-folders named in ``FOLDERS`` give the split.

    Person 0 is a person like any other; -1 is junk. Without such sub-folders the
    benchmark builder draws the split.

    Raises:
        DrfmError: no images, or a name does not parse.
    """
    names = require_images(list_images(root), root, "names such as 0001_c1_3.jpg")
    records: list[ImageRecord] = []
    for name in names:
        records += _records(root, [name], split_of(name))
    return Dataset("market-style", root, tuple(records))


def read_cuhk03_np(root: Path, *, boxes: str = "both") -> Dataset:
    """CUHK03 in the layout of the 767/700 protocol: ``{detected,labeled}/{bounding_box_train,query,...}``.

    Args:
        root: folder with ``detected`` and ``labeled``.
        boxes: ``detected``, ``labelled`` or ``both``.

    Raises:
        DrfmError: a folder is missing, or ``boxes`` is none of the three.
    """
    records: list[ImageRecord] = []
    for kind in chosen_boxes(boxes):
        kind_folder = "labeled" if kind == "labelled" else kind
        for folder in ("bounding_box_train", "query", "bounding_box_test"):
            names = list_images(root, f"{kind_folder}/{folder}", deep=False)
            records += _records(root, names, FOLDERS[folder])
    require_images([r.name for r in records], root, "detected/ and labeled/ with CUHK03 crops")
    return Dataset("cuhk03-np", root, tuple(sorted(records, key=_name)), notes=(f"boxes: {boxes}",))


def chosen_boxes(boxes: str) -> tuple[str, ...]:
    """``("detected", "labelled")`` or the one of them that ``boxes`` names; ``labeled`` is understood."""
    choice = {
        "both": ("detected", "labelled"),
        "detected": ("detected",),
        "labelled": ("labelled",),
        "labeled": ("labelled",),
    }.get(boxes)
    if choice is None:
        raise DrfmError(f"boxes = {boxes}: give detected, labelled or both")
    return choice


def split_of(name: str) -> Split | None:
    """Split of the outermost folder of ``name`` that stands for one."""
    return next((FOLDERS[part] for part in name.split("/")[:-1] if part in FOLDERS), None)


def style_share(names: list[str]) -> float:
    """Share of ``names`` that parse as Market-style, 0..1."""
    counts = Counter(parse_name(name) is not None for name in names)
    return counts[True] / max(1, len(names))


def _records(root: Path, names: list[str], split: Split | None) -> list[ImageRecord]:
    records = []
    for name in names:
        parsed = parse_name(name)
        if parsed is None:
            raise DrfmError(
                f"{root / name}: expected a name such as 0002_c1s1_000451_03.jpg; rename or remove it"
            )
        person, camera = parsed
        records.append(ImageRecord(name, JUNK if person < 0 else person, camera, split))
    return records


def _name(record: ImageRecord) -> str:
    return record.name
