"""Every reader by name, and the door to all of them."""

from collections.abc import Callable
from pathlib import Path

from drfm.data.caviar import read_caviar
from drfm.data.cuhk03 import read_cuhk03
from drfm.data.detect import detect_kind
from drfm.data.folders import read_csv, read_folder, read_folder_per_person
from drfm.data.listing import require_folder
from drfm.data.market import read_cuhk03_np, read_market1501, read_market_style
from drfm.data.msmt17 import read_msmt17
from drfm.data.records import Dataset
from drfm.data.small_sets import read_grid, read_prid2011, read_viper
from drfm.errors import DrfmError

READERS: dict[str, Callable[..., Dataset]] = {
    "market1501": read_market1501,
    "cuhk03": read_cuhk03,
    "cuhk03-np": read_cuhk03_np,
    "caviar": read_caviar,
    "viper": read_viper,
    "msmt17": read_msmt17,
    "prid2011": read_prid2011,
    "grid": read_grid,
    "market-style": read_market_style,
    "folder-per-person": read_folder_per_person,
    "folder": read_folder,
    "csv": read_csv,
}
"""A new data set is one function ``(root, **options) -> Dataset`` and one line here."""


def read_dataset(kind: str, root: Path, **options: object) -> Dataset:
    """Read a data set: which images there are and what is known of each. No pixels are decoded.

    Args:
        kind: a key of ``READERS``, or ``auto`` to go by the layout.
        root: its folder; the file itself for a CSV list.
        options: of the reader alone, such as ``boxes="detected"`` for CUHK03.

    Raises:
        DrfmError: unknown kind or option, missing or empty folder, or an unexpected layout.
    """
    root = Path(root)
    if kind == "auto":
        kind = detect_kind(root)
    reader = READERS.get(kind)
    if reader is None:
        raise DrfmError(f"kind = {kind}: no such data set; give auto or one of {', '.join(sorted(READERS))}")
    if kind != "csv":
        require_folder(root)
    accepted = set(reader.__annotations__) - {"root", "return"}
    for option, value in options.items():
        if option not in accepted:
            known = ", ".join(sorted(accepted)) or "none"
            raise DrfmError(f"{option} = {value}: not an option of {kind} (its options: {known})")
    return reader(root, **options)
