import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from drfm.data import imagefile
from drfm.data.imagefile import image_size, is_image_name, open_image
from drfm.errors import DrfmError


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def test_pixels_come_back_as_they_were(tmp_path):
    pixels = np.arange(5 * 3 * 3, dtype=np.uint8).reshape(5, 3, 3)
    path = save(tmp_path / "a.png", pixels)
    np.testing.assert_array_equal(open_image(path), pixels)
    assert image_size(path) == (5, 3)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "1"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.new(mode, (3, 4)).save(path)
    image = open_image(path)
    assert image.shape == (4, 3, 3)
    assert image.dtype == np.uint8


def test_sixteen_bits_keep_their_upper_half(tmp_path):
    path = save(tmp_path / "a.png", np.array([[0, 255, 256, 65535]], dtype=np.uint16))
    assert open_image(path)[0, :, 0].tolist() == [0, 0, 1, 255]


def test_floating_point_pixels_are_refused(tmp_path):
    path = save(tmp_path / "a.tif", np.ones((2, 2), dtype=np.float32))
    with pytest.raises(DrfmError, match="convert it to 8 bits"):
        open_image(path)


def test_exif_orientation_turns_pixels_and_size(tmp_path):
    pixels = np.zeros((4, 2, 3), dtype=np.uint8)
    pixels[0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "a.png", pixels, exif=exif)
    image = open_image(path)
    assert image.shape == (2, 4, 3)
    assert image_size(path) == (2, 4)
    assert image[0, -1, 0] == 255
    assert image[0, 0, 0] == 0


@pytest.mark.parametrize("read", [open_image, image_size])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"no image at all", "is not an image"),
        (b"\x89PNG\r\n\x1a\nrubbish", "is not an image"),
    ],
)
def test_files_that_are_no_images(tmp_path, read, content, message):
    path = tmp_path / "bad.jpg"
    path.write_bytes(content)
    with pytest.raises(DrfmError, match=rf"bad\.jpg: {message}") as error:
        read(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP"])
def test_truncated_files_are_refused(tmp_path, kind):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 20, 3), dtype=np.uint8)).save(buffer, kind)
    path = tmp_path / "cut.png"
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) * 2 // 3])
    with pytest.raises(DrfmError, match=r"cut\.png"):
        open_image(path)


def bomb(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    )


@pytest.mark.parametrize("size", [(9000, 9000), (60000, 60000)])
def test_a_pixel_bomb_is_refused_by_its_header(tmp_path, size):
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(*size))
    with pytest.raises(DrfmError, match="64 megapixels"):
        open_image(path)
    with pytest.raises(DrfmError, match="64 megapixels"):
        image_size(path)


def test_missing_folder_and_oversized_files(tmp_path, monkeypatch):
    for read in (open_image, image_size):
        with pytest.raises(DrfmError, match="no such file"):
            read(tmp_path / "none.png")
        with pytest.raises(DrfmError, match="cannot be read"):
            read(tmp_path)
    monkeypatch.setattr(imagefile, "MAX_BYTES", 3)
    (tmp_path / "big.png").write_bytes(b"1234")
    with pytest.raises(DrfmError, match="above the limit"):
        open_image(tmp_path / "big.png")


def test_image_names():
    assert is_image_name("a.jpg")
    assert is_image_name("a.jpg.JPG")
    assert not any(is_image_name(name) for name in (".jpg", ".a.jpg", "Thumbs.db", "jpg", "a.txt"))
