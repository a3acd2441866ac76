import io

import numpy as np
import pytest
from PIL import Image

from drfm.data.png import encode_png


@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (64, 32), (300, 200)])
def test_pixels_survive(shape):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    image = Image.open(io.BytesIO(encode_png(pixels)))
    image.verify()
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode_png(pixels)))), pixels)


def test_the_bytes_of_one_red_pixel():
    expected = (
        "89504e470d0a1a0a0000000d49484452000000010000000108020000009077"
        "53de0000000f4944415478010104"
        "00fbff00ff0000030101008d1de582"
        "0000000049454e44ae426082"
    )
    data = encode_png(np.array([[[255, 0, 0]]], dtype=np.uint8))
    assert data[:41].hex() == expected[:82]
    assert data[41:56].hex() == "78010104" + "00fbff" + "00ff0000" + "03010100"
    assert data.endswith(bytes.fromhex("0000000049454e44ae426082"))
