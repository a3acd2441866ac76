import numpy as np
import pytest

from drfm.config import ModelConfig
from drfm.models.build import build_model
from drfm.resolution.pairs import PairSet


@pytest.fixture(scope="package")
def model():
    """A small model with random weights; tests that change it make a copy."""
    return build_model(ModelConfig(backbone="efficientnet_lite0", weights="random", last_stride=2), seed=3)


@pytest.fixture
def pairs():
    random = np.random.default_rng(0)
    n = 5
    return PairSet(
        hr=random.integers(0, 256, (n, 64, 32, 3), dtype=np.uint8),
        lr=random.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8),
        origin=np.array([0, 0, 1, 1, 1], dtype=np.int8),
        camera=np.zeros(n, dtype=np.int64),
        height=np.full(n, 64, dtype=np.int32),
        names=tuple("abcde"),
    )
