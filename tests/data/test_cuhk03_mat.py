import sys

import numpy as np
import pytest

from drfm.data.imagefile import open_image
from drfm.data.readers import read_dataset
from drfm.errors import DrfmError

SIZES = (3, 2)  # persons of two camera pairs


def matlab_file(path):
    """A MATLAB v7.3 file as the official one is laid out: cells are references, axes are reversed."""
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as mat:
        group = mat.create_group("#refs#")
        count = iter(range(10_000))

        def put(array):
            return group.create_dataset(str(next(count)), data=array).ref

        for kind in ("detected", "labeled"):
            pairs = np.empty((1, len(SIZES)), dtype=h5py.ref_dtype)
            for pair, size in enumerate(SIZES):
                cells = np.empty((10, size), dtype=h5py.ref_dtype)
                for person in range(size):
                    for column in range(10):
                        empty = column == 4 and person == 0
                        pixels = np.full((5, 4, 3), 50 * pair + 10 * person + column, dtype=np.uint8)
                        pixels[0, :, 0] = rng.integers(0, 256, 4)
                        image = np.zeros(2, np.uint64) if empty else pixels.T
                        cells[column, person] = put(image)
                pairs[0, pair] = put(cells)
            mat.create_dataset(kind, data=pairs)
        tests = np.empty((1, 20), dtype=h5py.ref_dtype)
        for k in range(20):
            tests[0, k] = put(np.array([[1, 1 + k % 3], [2, 2]], dtype=np.float64).T)
        mat.create_dataset("testsets", data=tests)
    return path


def test_images_persons_and_test_sets(tmp_path):
    matlab_file(tmp_path / "cuhk-03.mat")
    dataset = read_dataset("auto", tmp_path)
    assert dataset.kind == "cuhk03"
    assert len(dataset.records) == 2 * (5 * 10 - 2)
    assert {r.person for r in dataset.records} == set(range(5))
    assert {r.camera for r in dataset.records} == {1, 2}
    assert len(dataset.test_sets) == 20
    assert dataset.test_sets[1] == (1, 4)
    image = open_image(dataset.root / "detected" / "0004_c2_5.png")
    assert image.shape == (5, 4, 3)
    assert (image[1:] == 50 + 10 + 9).all()


def test_extracted_once_and_read_without_the_file(tmp_path, monkeypatch):
    path = matlab_file(tmp_path / "cuhk-03.mat")
    folder = tmp_path / "images"
    first = read_dataset("cuhk03", tmp_path, boxes="detected", extracted=str(folder))
    path.unlink()
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert read_dataset("cuhk03", folder, boxes="detected") == first
    assert len(read_dataset("cuhk03", folder, boxes="labelled").records) == 48
    (folder / "detected" / "0000_c1_1.png").unlink()
    with pytest.raises(DrfmError, match="47 images instead of 48"):
        read_dataset("cuhk03", folder)


def test_other_files_are_refused(tmp_path, monkeypatch):
    with pytest.raises(DrfmError, match=r"no cuhk-03\.mat"):
        read_dataset("cuhk03", tmp_path)
    (tmp_path / "cuhk-03.mat").write_bytes(b"no matlab")
    with pytest.raises(DrfmError, match="is not the official"):
        read_dataset("cuhk03", tmp_path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(DrfmError, match=r"install drfm\[mat\]"):
        read_dataset("cuhk03", tmp_path)
