"""Guessing the kind of a data set from its layout, or saying plainly that it cannot be told."""

import re
from pathlib import Path

from drfm.data import caviar, cuhk03
from drfm.data.listing import list_images, require_folder, require_images
from drfm.data.market import FOLDERS, split_of, style_share
from drfm.errors import DrfmError

_SURE = 0.95
_MARKET_NAME = re.compile(r"^-?\d+_c\ds\d_\d+")


def detect_kind(root: Path) -> str:
    """Name of the reader that fits the layout of ``root``.

    Raises:
        DrfmError: nothing fits, or more than one reading is possible; the line says what to give.
    """
    if root.is_file():
        if root.suffix.lower() == ".csv":
            return "csv"
        raise DrfmError(f"{root}: is a file and no .csv list; give a folder")
    require_folder(root)
    known = _by_layout(root)
    if known is not None:
        return known
    names = require_images(list_images(root), root, "a data set, a folder of images or a .csv list")
    if style_share(names) == 1:
        return "market-style"
    if all(caviar.NAME.match(name.rpartition("/")[2]) for name in names):
        return "caviar"
    share = style_share(names)
    if share > _SURE:
        raise DrfmError(f"{root}: {share:.1%} of the names look like Market-style names, the others not; "
                        "rename those, or give kind folder")  # fmt: skip
    inside = [name for name in names if any(part not in FOLDERS for part in name.split("/")[:-1])]
    if not inside and all(split_of(name) in (None, "train") for name in names):
        return "folder"
    raise DrfmError(f"{root}: cannot tell what its sub-folders are; give --kind folder-per-person if each "
                    "is a person, or --kind folder if not, such as a folder for each camera")  # fmt: skip


_LAYOUTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("cuhk03", (cuhk03.FILE,)),
    ("cuhk03", (f"cuhk03_release/{cuhk03.FILE}",)),
    ("cuhk03", (cuhk03.INDEX, "detected")),
    ("cuhk03-np", ("detected/bounding_box_train",)),
    ("cuhk03-np", ("labeled/bounding_box_train",)),
    ("msmt17", ("list_train.txt", "list_query.txt", "list_gallery.txt")),
    ("prid2011", ("single_shot/cam_a",)),
    ("prid2011", ("prid_2011/single_shot",)),
    ("grid", ("underground_reid",)),
    ("grid", ("probe", "gallery", "features_and_partitions.mat")),
    ("viper", ("VIPeR/cam_a",)),
    ("viper", ("cam_a", "cam_b")),
    ("caviar", ("CAVIARa",)),
)
"""Kinds that give themselves away, by what lies in their folder; the first that fits is taken."""


def _by_layout(root: Path) -> str | None:
    for kind, names in _LAYOUTS:
        if all((root / name).exists() for name in names):
            return kind
    if all((root / name).is_dir() for name in ("bounding_box_train", "bounding_box_test", "query")):
        trained = list_images(root, "bounding_box_train", deep=False)
        market = trained and all(_MARKET_NAME.match(name.rpartition("/")[2]) for name in trained)
        return "market1501" if market else "market-style"
    return "csv" if len(sorted(root.glob("*.csv"))) == 1 else None
