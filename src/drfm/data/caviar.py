"""CAVIAR4REID: two cameras of one shopping centre, the only set here that is natively of two resolutions."""

import re
from collections import defaultdict
from pathlib import Path
from statistics import fmean

from drfm.data.imagefile import image_size
from drfm.data.listing import list_images, require_images
from drfm.data.records import Dataset, ImageRecord, Resolution
from drfm.errors import DrfmError

NAME = re.compile(r"^(\d{4})_?(\d{3})\.\w+$")
"""Person and index (from 1) in names such as ``0001001.jpg`` and ``0001_001.jpg``."""

_IMAGES_OF_TWO_CAMERAS = 20
_CLOSE = 1.2  # the cameras differ by a factor of about three in area; less than this deserves a warning


def read_caviar(root: Path) -> Dataset:
    """CAVIAR4REID, with the LR camera measured.

    A person with 20 images was seen by both cameras: indices 1 to 10 by one, 11 to 20
    by the other. The camera with the smaller mean area is the LR camera. A person with fewer
    images was seen by one camera that the names do not tell; it has no camera, and the
    resolution whose mean area is nearer in the logarithm.

    Raises:
        DrfmError: no images, a name that does not parse, or no person seen by both cameras.
    """
    below = "CAVIARa" if (root / "CAVIARa").is_dir() else ""
    names = require_images(list_images(root, below), root, "names such as 0001001.jpg or 0001_001.jpg")
    persons: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for name in names:
        match = NAME.match(name.rpartition("/")[2])
        if match is None:
            raise DrfmError(f"{root / name}: expected a name such as 0001_001.jpg; rename or remove it")
        persons[int(match[1])].append((int(match[2]), name))
    area = {name: _area(root / name) for name in names}
    pairs = {p for p, images in persons.items() if len(images) == _IMAGES_OF_TWO_CAMERAS}
    if not pairs:
        raise DrfmError(
            f"{root}: no person has 20 images, so none was seen by both cameras; is the set complete?"
        )
    means = [_mean(area, persons, pairs, camera) for camera in (1, 2)]
    low, middle = (1 if means[0] < means[1] else 2), (means[0] * means[1]) ** 0.5
    records = []
    for person, images in persons.items():
        if person in pairs:
            for index, name in images:
                camera = 1 if index <= 10 else 2
                records.append(ImageRecord(name, person, camera, None, "lr" if camera == low else "hr"))
        else:
            near: Resolution = "lr" if fmean(area[name] for _, name in images) < middle else "hr"
            records += [ImageRecord(name, person, None, None, near) for _, name in images]
    notes = [
        f"LR camera {low}, measured: mean area {means[low - 1]:.0f} px against {means[2 - low]:.0f} px "
        f"over {len(pairs)} persons seen by both cameras",
        f"{len(persons) - len(pairs)} persons seen by one camera",
    ]
    if max(means) < _CLOSE * min(means):
        notes.append("the two cameras hardly differ in area; name the LR camera yourself if this is wrong")
    return Dataset("caviar", root, tuple(sorted(records, key=lambda r: r.name)), notes=tuple(notes))


def _mean(
    area: dict[str, int], persons: dict[int, list[tuple[int, str]]], pairs: set[int], camera: int
) -> float:
    images = [
        name for person in pairs for index, name in persons[person] if (1 if index <= 10 else 2) == camera
    ]
    return fmean([area[name] for name in images if area[name]] or [0])


def _area(path: Path) -> int:
    try:
        height, width = image_size(path)
    except DrfmError:
        return 0  # a broken file must not stop a reader; the builder and the check name it
    return height * width
