"""MSMT17, versions 1 and 2."""

from pathlib import Path

from drfm.data.records import Dataset, ImageRecord, Split
from drfm.errors import DrfmError

_LAYOUTS = (("train", "test"), ("mask_train_v2", "mask_test_v2"))
_LISTS: tuple[tuple[str, bool, Split], ...] = (
    ("list_train.txt", True, "train"),
    ("list_val.txt", True, "train"),
    ("list_query.txt", False, "query"),
    ("list_gallery.txt", False, "gallery"),
)


def read_msmt17(root: Path) -> Dataset:
    """MSMT17 by its four lists; the validation list is training data.

    Person numbers of the test lists start at 0 again, so they are moved behind those of training.

    Raises:
        DrfmError: a list or folder is missing, a line does not parse, or a listed image does not exist.
    """
    folders = next((pair for pair in _LAYOUTS if all((root / name).is_dir() for name in pair)), None)
    if folders is None:
        raise DrfmError(f"{root}: expected train and test, or mask_train_v2 and mask_test_v2")
    records: list[ImageRecord] = []
    offset = 0
    for name, training, split in _LISTS:
        folder = folders[0] if training else folders[1]
        if not training and not offset:
            offset = 1 + max((record.person for record in records), default=-1)
        records += [
            ImageRecord(f"{folder}/{path}", person + offset, _camera(root / name, path), split)
            for path, person in _read_list(root / name)
        ]
    missing = next((r.name for r in records if not (root / r.name).is_file()), None)
    if missing is not None:
        raise DrfmError(f"{root / missing}: is listed and does not exist; restore the data set")
    return Dataset("msmt17", root, tuple(sorted(records, key=lambda r: r.name)))


def _read_list(path: Path) -> list[tuple[str, int]]:
    if not path.is_file():
        raise DrfmError(f"{path}: no such list; MSMT17 comes with four")
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        name, _, person = line.strip().rpartition(" ")
        if not name or not person.isdigit():
            raise DrfmError(
                f"{path}:{number}: {line!r}; expected a line such as 0000/0000_000_01_0303_0008_0.jpg 0"
            )
        rows.append((name, int(person)))
    return rows


def _camera(path: Path, name: str) -> int:
    parts = name.rpartition("/")[2].split("_")
    if len(parts) < 3 or not parts[2].isdigit():
        raise DrfmError(f"{path}: {name}: the third part of the name should be the camera")
    return int(parts[2])
