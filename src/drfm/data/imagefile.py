"""Opening image files that may be damaged, hostile or no images at all."""

import io
import os
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import (
    BmpImagePlugin,
    ExifTags,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from drfm.errors import DrfmError

MAX_PIXELS = 64_000_000
"""Images with more pixels are refused from their header, before anything is decoded."""
MAX_BYTES = 512 << 20
"""Files with more bytes are refused before they are read."""
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
"""File name endings, in lower case, that count as images."""

# Formats are named so that Pillow never hands a file to one of its exotic or external decoders, and
# imported so that threads never race for their registration.
_PLUGINS = (
    JpegImagePlugin.JpegImageFile,
    PngImagePlugin.PngImageFile,
    BmpImagePlugin.BmpImageFile,
    TiffImagePlugin.TiffImageFile,
    WebPImagePlugin.WebPImageFile,
    PpmImagePlugin.PpmImageFile,
)
_FORMATS = tuple(plugin.format for plugin in _PLUGINS if plugin.format in Image.OPEN)
_TURNED = frozenset({5, 6, 7, 8})


def open_image(path: Path) -> npt.NDArray[np.uint8]:
    """Decode an image file.

    Args:
        path: the file.

    Returns:
        ``(H, W, 3)`` uint8 RGB, 0..255, turned as its EXIF orientation asks. Alpha is dropped.

    Raises:
        DrfmError: the file is missing, empty, too large, truncated or no image.
    """
    return decode_image(read_image_bytes(path), path)


def read_image_bytes(path: Path) -> bytes:
    """The bytes of an image file, after a look at their number.

    Raises:
        DrfmError: the file is missing, unreadable, empty or above ``MAX_BYTES``.
    """
    try:
        size = Path(path).stat().st_size
        if size == 0:
            raise DrfmError(f"{path}: is empty (0 bytes); restore or remove it")
        if size > MAX_BYTES:
            raise DrfmError(f"{path}: has {size} bytes, above the limit of {MAX_BYTES}; make it smaller")
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise DrfmError(f"{path}: no such file") from None
    except OSError as error:
        raise DrfmError(f"{path}: cannot be read ({error.strerror})") from None


def decode_image(data: bytes, path: Path) -> npt.NDArray[np.uint8]:
    """As :func:`open_image`, from the bytes of ``path``."""
    image = _open(io.BytesIO(data), path)
    try:
        image.load()
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            image = ImageOps.exif_transpose(image)
        return np.array(_rgb(image))
    except Exception as error:  # decoders meet hostile bytes with every kind of exception
        raise DrfmError(f"{path}: cannot be decoded ({_reason(error)}); restore or remove it") from None


def image_size(path: Path) -> tuple[int, int]:
    """Height and width in pixels from the header alone, turned as the EXIF orientation asks.

    Raises:
        DrfmError: the file is missing, empty, too large or no image.
    """
    try:
        with Path(path).open("rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise DrfmError(f"{path}: is empty (0 bytes); restore or remove it")
            image = _open(file, path)
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) in _TURNED
            return (image.width, image.height) if turned else (image.height, image.width)
    except FileNotFoundError:
        raise DrfmError(f"{path}: no such file") from None
    except DrfmError:
        raise
    except OSError as error:
        raise DrfmError(f"{path}: cannot be read ({error.strerror or error})") from None


def is_image_name(name: str) -> bool:
    """Whether a file name ends like an image and is not hidden."""
    stem, dot, suffix = name.rpartition(".")
    return bool(stem) and not name.startswith(".") and (dot + suffix).lower() in SUFFIXES


def _open(file: object, path: Path) -> Image.Image:
    try:
        image = Image.open(file, formats=_FORMATS)  # type: ignore[arg-type]
    except Image.DecompressionBombError as error:
        claimed = re.search(r"\d+ pixels", str(error))
        raise DrfmError(_too_large(path, claimed.group() if claimed else "")) from None
    except Exception as error:  # a broken header raises anything from SyntaxError to struct.error
        raise DrfmError(f"{path}: is not an image ({_reason(error)}); restore or remove it") from None
    if image.width * image.height > MAX_PIXELS:
        raise DrfmError(_too_large(path, f"{image.width} x {image.height} pixels"))
    return image


def _too_large(path: Path, claimed: str) -> str:
    shown = f" of {claimed}" if claimed else ""
    return (
        f"{path}: an image{shown} above the limit of {MAX_PIXELS // 1_000_000} megapixels; crop or shrink it"
    )


def _reason(error: Exception) -> str:
    name = type(error).__name__
    if name == "UnidentifiedImageError":
        return "no known format"
    text = " ".join(str(error).split())
    return text[:120] or name


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in {"I", "F"}:
        raise ValueError(f"pixel mode {image.mode}; convert it to 8 bits")
    return image.convert("RGB")
