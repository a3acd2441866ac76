"""VIPeR, PRID 2011 and GRID: two cameras, few images, splits drawn at random."""

import re
from pathlib import Path
from typing import Any

from drfm.data.listing import list_images, require_images
from drfm.data.records import DISTRACTOR, Dataset, ImageRecord
from drfm.errors import DrfmError

_PRID_SHARED = 200
_PRID_OTHER = 10_000  # person n > 200 of camera a is another one than person n of camera b


def read_viper(root: Path) -> Dataset:
    """VIPeR: 632 persons, one image in ``cam_a`` (camera 1) and one in ``cam_b`` (camera 2).

    Raises:
        DrfmError: a folder is missing or a name such as ``000_45.bmp`` does not parse.
    """
    base = "VIPeR/" if (root / "VIPeR").is_dir() else ""
    pattern = re.compile(r"^(\d+)_")
    records = []
    for camera, folder in ((1, "cam_a"), (2, "cam_b")):
        names = require_images(list_images(root, base + folder), root / base / folder, "VIPeR images")
        records += [ImageRecord(name, _number(root, name, pattern), camera) for name in names]
    return Dataset("viper", root, tuple(records))


def read_prid2011(root: Path) -> Dataset:
    """PRID 2011, single shot: persons 1 to 200 are in both cameras; the others of camera b are distractors.

    Raises:
        DrfmError: a folder is missing or a name such as ``person_0001.png`` does not parse.
    """
    base = next(
        (b for b in ("prid_2011/single_shot", "single_shot", "") if (root / b / "cam_a").is_dir()), ""
    )
    base = f"{base}/" if base else ""
    pattern = re.compile(r"^person_(\d+)")
    records = []
    for camera, folder in ((1, "cam_a"), (2, "cam_b")):
        for name in require_images(list_images(root, base + folder), root / base / folder, "PRID images"):
            person = _number(root, name, pattern)
            if person > _PRID_SHARED:
                person = DISTRACTOR if camera == 2 else person + _PRID_OTHER
            records.append(ImageRecord(name, person, camera))
    return Dataset("prid2011", root, tuple(sorted(records, key=lambda r: r.name)))


def read_grid(root: Path) -> Dataset:
    """GRID: 250 persons in ``probe`` and ``gallery`` (cameras 1 and 2 here), gallery person 0 a distractor.

    The cameras of the underground station are many; what matters to the protocol is the
    folder, so the folder counts as camera. ``features_and_partitions.mat``, where present, gives
    the ten official splits.

    Raises:
        DrfmError: a folder is missing, a name does not parse, or the partitions are damaged.
    """
    base = "underground_reid/" if (root / "underground_reid").is_dir() else ""
    pattern = re.compile(r"^(\d+)_")
    records = []
    for camera, folder in ((1, "probe"), (2, "gallery")):
        for name in require_images(list_images(root, base + folder), root / base / folder, "GRID images"):
            person = _number(root, name, pattern)
            records.append(ImageRecord(name, person or DISTRACTOR, camera))
    known = {record.person for record in records if record.camera == 1}
    partitions = root / base / "features_and_partitions.mat"
    tests = _grid_tests(partitions, known) if partitions.is_file() else ()
    return Dataset("grid", root, tuple(sorted(records, key=lambda r: r.name)), tests)


def _grid_tests(path: Path, persons: set[int]) -> tuple[tuple[int, ...], ...]:
    """Test persons of each official split: those who are not in its list of training persons."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        trained: list[set[int]] = []
        for cell in loadmat(path)["trainIdxAll"][0]:
            entry: Any = cell[0][0]
            trained.append({int(person) for person in entry[2][0]})
    except (OSError, ValueError, KeyError, IndexError, TypeError, NotImplementedError, MatReadError) as error:
        raise DrfmError(
            f"{path}: cannot be read as GRID's partitions ({error}); restore or remove it"
        ) from None
    return tuple(tuple(sorted(persons - train)) for train in trained)


def _number(root: Path, name: str, pattern: re.Pattern[str]) -> int:
    match = pattern.match(name.rpartition("/")[2])
    if match is None:
        raise DrfmError(f"{root / name}: its name does not begin with a person's number; rename or remove it")
    return int(match[1])
