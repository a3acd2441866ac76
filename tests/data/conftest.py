import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REAL = os.environ.get("DRFM_DATA", "")


def picture(path: Path, height: int = 12, width: int = 6, seed: int = 0, **save) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **save)


@pytest.fixture
def make() -> Callable[[Path, Mapping[str, tuple[int, int]] | list[str]], Path]:
    """Write a picture for each name, all different; sizes where a mapping gives them."""

    def write(root: Path, names: Mapping[str, tuple[int, int]] | list[str]) -> Path:
        sizes = names if isinstance(names, Mapping) else dict.fromkeys(names, (12, 6))
        for seed, (name, (height, width)) in enumerate(sizes.items()):
            picture(root / name, height, width, seed)
        return root

    return write


@pytest.fixture
def market(tmp_path, make) -> Path:
    """Market-1501 in small: 3 training and 2 test persons, cameras 1 to 3, junk and distractors."""
    names = [f"bounding_box_train/{p:04d}_c{c}s1_{c:06d}_00.png" for p in (2, 7, 10) for c in (1, 2, 3)]
    names += [
        f"bounding_box_test/{p:04d}_c{c}s1_{k:06d}_00.png" for p in (1, 3) for c in (1, 2) for k in (1, 2)
    ]
    names += [f"query/{p:04d}_c{c}s1_000009_00.png" for p in (1, 3) for c in (1, 2)]
    names += ["bounding_box_test/-1_c1s1_000001_00.png", "bounding_box_test/-1_c2s1_000001_00.png"]
    names += ["bounding_box_test/0000_c1s1_000001_00.png", "bounding_box_test/0000_c3s1_000001_00.png"]
    root = make(tmp_path / "market", names)
    (root / "query" / "Thumbs.db").write_bytes(b"x")
    return root


@pytest.fixture(scope="session")
def real() -> Callable[[str], Path]:
    """The folder of a research data set below DRFM_DATA; skips the test where it is absent."""

    def find(name: str) -> Path:
        folder = Path(REAL) / name
        if not REAL or not folder.is_dir():
            pytest.skip(f"needs {name} below DRFM_DATA")
        return folder

    return find
