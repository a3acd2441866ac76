"""Finding the images below a folder, in an order that does not depend on the file system."""

import os
from pathlib import Path

from drfm.data.imagefile import is_image_name
from drfm.errors import DrfmError


def list_images(root: Path, below: str = "", *, deep: bool = True) -> list[str]:
    """Names of the images below ``root / below``, relative to ``root``, sorted, with forward slashes.

    Hidden files and folders are left out, and so is everything that does not end like an image.

    Args:
        root: folder that names are relative to.
        below: sub-folder to look in, with forward slashes.
        deep: look into sub-folders too.

    Raises:
        DrfmError: the folder is missing or unreadable.
    """
    start = require_folder(root / below if below else root)
    names: list[str] = []
    for folder, folders, files in os.walk(start, followlinks=True, onerror=_refuse):
        folders[:] = sorted(f for f in folders if not f.startswith(".")) if deep else []
        prefix = Path(folder).relative_to(root).as_posix()
        prefix = "" if prefix == "." else f"{prefix}/"
        names += [prefix + name for name in files if is_image_name(name)]
    return sorted(names)


def require_folder(folder: Path) -> Path:
    """``folder`` itself, if it is one.

    Raises:
        DrfmError: it does not exist or is a file.
    """
    if not folder.exists():
        raise DrfmError(f"{folder}: no such folder; check the path")
    if not folder.is_dir():
        raise DrfmError(f"{folder}: is a file; give a folder")
    return folder


def require_images(names: list[str], folder: Path, expected: str) -> list[str]:
    """``names`` itself, if there are any.

    Raises:
        DrfmError: there are none; the line says what was ``expected``.
    """
    if not names:
        raise DrfmError(f"{folder}: no images found; expected {expected}")
    return names


def _refuse(error: OSError) -> None:
    raise DrfmError(f"{error.filename}: cannot be listed ({error.strerror})")
