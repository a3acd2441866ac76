import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from drfm.data.degrade import downsample, downsampled_size
from drfm.errors import DrfmError

KERNELS = ["bicubic", "bilinear", "lanczos", "box", "linear", "maxpool"]


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("rate", "rounding", "expected"),
    [(2, "floor", (64, 32)), (3, "floor", (42, 21)), (4, "floor", (32, 16)), (3, "round", (43, 21))],
)
def test_market_sizes(rate, rounding, expected):
    assert downsampled_size((128, 64), rate, rounding) == expected


@given(st.integers(1, 500), st.integers(2, 32))
def test_sizes_against_the_definition(length, rate):
    assert downsampled_size((length, length), rate, "floor")[0] == max(1, int(length / rate))
    assert downsampled_size((length, length), rate, "round")[0] == max(1, int(length / rate + 0.5))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("rounding", ["floor", "round"])
@pytest.mark.parametrize("size", [(1, 1), (2, 9), (13, 7), (128, 64)])
@pytest.mark.parametrize("rate", [2, 3, 4, 8])
def test_shape_type_and_constants(kernel, rounding, size, rate):
    image = np.full((*size, 3), 77, dtype=np.uint8)
    small = downsample(image, rate, kernel, rounding)
    assert small.shape == (*downsampled_size(size, rate, rounding), 3)
    assert small.dtype == np.uint8
    assert (small == 77).all()


def test_maxpool_against_loops():
    image = noise(11, 8)
    small = downsample(image, 3, "maxpool")
    for y in range(3):
        for x in range(2):
            for c in range(3):
                assert small[y, x, c] == image[3 * y : 3 * y + 3, 3 * x : 3 * x + 3, c].max()


def test_linear_against_loops():
    image = noise(9, 7)
    small = downsample(image, 2, "linear")
    for y in range(4):
        for x in range(3):
            v, u = (y + 0.5) * 9 / 4 - 0.5, (x + 0.5) * 7 / 3 - 0.5
            i, j = int(v), int(u)
            a, b = v - i, u - j
            block = image[i : i + 2, j : j + 2].astype(float)
            value = (1 - a) * ((1 - b) * block[0, 0] + b * block[0, 1]) + a * (
                (1 - b) * block[1, 0] + b * block[1, 1]
            )
            np.testing.assert_array_equal(small[y, x], value.round())


def test_box_averages_blocks_and_bicubic_is_antialiased():
    image = noise(8, 8)
    blocks = image.reshape(2, 4, 2, 4, 3).astype(float).mean((1, 3))
    assert np.abs(downsample(image, 4, "box") - blocks).max() <= 1
    checker = (np.indices((32, 32)).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, 2)
    assert downsample(checker, 4, "bicubic").std() < 10
    expected = np.asarray(Image.fromarray(image).resize((4, 4), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(downsample(image, 2), expected)


def test_rate_one_is_the_image_and_bad_arguments_are_refused():
    image = noise(4, 4)
    assert downsample(image, 1) is image
    with pytest.raises(DrfmError, match="rate = 0"):
        downsample(image, 0)
    with pytest.raises(DrfmError, match="kernel = nearest"):
        downsample(image, 2, "nearest")
