"""Images with no data set's layout: a folder, a folder per person, a CSV list."""

import csv
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import cast, get_args

from drfm.data.listing import list_images, require_folder, require_images
from drfm.data.market import FOLDERS, split_of
from drfm.data.records import JUNK, UNKNOWN, Dataset, ImageRecord, Resolution, Split
from drfm.errors import DrfmError


def read_folder(root: Path) -> Dataset:
    """All images below a folder, without persons and cameras: a training set like any other.

    Raises:
        DrfmError: the folder is missing or has no images.
    """
    names = require_images(list_images(root), root, "image files")
    return Dataset("folder", root, tuple(ImageRecord(name) for name in names))


def read_folder_per_person(root: Path) -> Dataset:
    """``PERSON/image.jpg``, also below ``train``, ``query``, ``gallery`` or ``test``.

    Persons are numbered by the sorted names of their folders, from 0. A camera is read
    from names such as ``0002_c1s1...``, if all names have one.

    Raises:
        DrfmError: no images, or an image that lies in no person's folder.
    """
    names = require_images(list_images(root), root, "one folder of images for each person")
    folders = [_person_folder(root, name) for name in names]
    person = {folder: i for i, folder in enumerate(sorted(set(folders)))}
    cameras = [_camera(name) for name in names]
    known = all(camera is not None for camera in cameras)
    records = tuple(
        ImageRecord(name, person[folder], camera if known else None, split_of(name))
        for name, folder, camera in zip(names, folders, cameras, strict=True)
    )
    return Dataset("folder-per-person", root, records, notes=(f"{len(person)} person folders",))


def _person_folder(root: Path, name: str) -> str:
    parts = [part for part in name.split("/")[:-1] if part not in FOLDERS]
    if not parts:
        raise DrfmError(f"{root / name}: lies in no person's folder; move it, or read the set as kind folder")
    return "/".join(parts)


def _camera(name: str) -> int | None:
    for part in PurePosixPath(name).stem.split("_")[1:]:
        digits = part[1:2]
        if part.startswith("c") and digits.isdigit():
            return int("".join(c for c in part[1:].split("s")[0] if c.isdigit()))
    return None


def read_csv(root: Path) -> Dataset:
    """A list ``path[,person][,camera][,resolution][,split]`` with a header line.

    Columns ``time`` and ``track``, which lists for galleries have, are not read.

    Paths are relative to the list. Persons and cameras may be numbers or words; words
    are numbered by their sorted order, from 0. Empty cells are unknown, person -1 is junk.
    ``resolution`` is ``hr`` or ``lr``; ``split`` is ``train``, ``query`` or ``gallery`` (or ``test``).

    Args:
        root: the list, or a folder with exactly one ``.csv`` file.

    Raises:
        DrfmError: no list, an unknown column, a repeated path or a value out of place; with its line.
    """
    path = find_csv(Path(root))
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = [name.strip().lower() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DrfmError(f"{path}: cannot be read as a CSV list ({error})") from None
    known = {"path", "person", "camera", "resolution", "split", "time", "track"}
    unknown = [name for name in columns if name not in known]
    if "path" not in columns or unknown:
        found = f"column {unknown[0]!r}" if unknown else "no column 'path'"
        raise DrfmError(f"{path}: {found}; the header is path[,person][,camera][,resolution][,split]")
    if not rows:
        raise DrfmError(f"{path}: lists no images")
    person = _numbering([row.get("person") or "" for _, row in rows])
    camera = _numbering([row.get("camera") or "" for _, row in rows])
    records: dict[str, ImageRecord] = {}
    for line, row in rows:
        record = _record(path, line, row, person, camera)
        if record.name in records:
            raise DrfmError(f"{path}:{line}: {record.name} is listed twice")
        records[record.name] = record
    return Dataset("csv", path.parent, tuple(records[name] for name in sorted(records)))


def find_csv(path: Path) -> Path:
    """The list itself, or the only one in a folder.

    Raises:
        DrfmError: there is none, or more than one.
    """
    if path.is_file():
        return path
    found = sorted(require_folder(path).glob("*.csv"))
    if len(found) != 1:
        raise DrfmError(f"{path}: has {len(found)} .csv files; give the list itself")
    return found[0]


def _numbering(cells: list[str]) -> Callable[[str], int | None]:
    values = sorted({cell.strip() for cell in cells} - {""})
    if all(value.lstrip("-").isdigit() and value.count("-") <= 1 for value in values):
        return lambda cell: int(cell) if cell.strip() else None
    number = {value: i for i, value in enumerate(values)}
    return lambda cell: number[cell.strip()] if cell.strip() else None


def _record(
    path: Path,
    line: int,
    row: dict[str, str],
    person: Callable[[str], int | None],
    camera: Callable[[str], int | None],
) -> ImageRecord:
    name = PurePosixPath((row["path"] or "").strip().replace("\\", "/"))
    if not name.parts or name.is_absolute() or ".." in name.parts:
        raise DrfmError(f"{path}:{line}: path {str(name)!r} must be relative and stay below {path.parent}")
    resolution = (row.get("resolution") or "").strip().lower() or None
    if resolution not in (None, *get_args(Resolution)):
        raise DrfmError(f"{path}:{line}: resolution {resolution!r}; give hr, lr or nothing")
    split = (row.get("split") or "").strip().lower() or None
    split = FOLDERS.get(split, split) if split else None
    if split not in (None, *get_args(Split)):
        raise DrfmError(f"{path}:{line}: split {split!r}; give train, query, gallery or nothing")
    number = person(row.get("person") or "")
    index = camera(row.get("camera") or "")
    if index is not None and index < 0:
        raise DrfmError(f"{path}:{line}: camera {index}; give 0 or more, or nothing")
    who = UNKNOWN if number is None else JUNK if number < 0 else number
    return ImageRecord(
        name.as_posix(), who, index, cast(Split | None, split), cast(Resolution | None, resolution)
    )
