"""Pairs from arrays."""

import numpy as np
import pytest

from drfm.data.records import HR, LR
from drfm.errors import DrfmError
from drfm.resolution.pairs import pairs_from_arrays


def images(count, height, width):
    return np.zeros((count, height, width, 3), dtype=np.uint8)


def test_defaults():
    pairs = pairs_from_arrays(images(3, 8, 4), images(3, 6, 2), [HR, LR, HR])
    assert len(pairs) == 3
    assert pairs.origin.dtype == np.int8
    assert pairs.camera.tolist() == [-1, -1, -1]
    assert pairs.camera.dtype == np.int64
    assert pairs.height.tolist() == [8, 6, 8]
    assert pairs.height.dtype == np.int32
    assert pairs.names == ("000000", "000001", "000002")


def test_given_values_and_no_pairs():
    pairs = pairs_from_arrays(
        images(2, 8, 4), images(2, 8, 4), [HR, LR], camera=[1, 2], height=[128, 40], names=["a", "b"]
    )
    assert pairs.camera.tolist() == [1, 2]
    assert pairs.height.tolist() == [128, 40]
    assert pairs.names == ("a", "b")
    assert len(pairs_from_arrays(images(0, 8, 4), images(0, 8, 4), [])) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hr": images(3, 8, 4)}, r"hr = array of uint8 \(3, 8, 4, 3\): give uint8 of shape \(2,"),
        ({"lr": np.zeros((2, 8, 4, 3))}, "lr = array of float64"),
        ({"lr": np.zeros((2, 8, 4), dtype=np.uint8)}, "lr = array of uint8"),
        ({"origin": [0, 2]}, r"origin = \[0, 2\]"),
        ({"names": ["a", "a"]}, "names: 1 different names for 2 pairs"),
        ({"names": ["a"]}, "names"),
        ({"camera": [1]}, "camera = array of shape"),
        ({"height": [[1, 2]]}, "height = array of shape"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    arguments = {"hr": images(2, 8, 4), "lr": images(2, 8, 4), "origin": [HR, LR], **changes}
    with pytest.raises(DrfmError, match=message):
        pairs_from_arrays(**arguments)
