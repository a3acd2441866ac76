import numpy as np
import pytest
from PIL import Image

from drfm.errors import DrfmError
from drfm.gallery.items import Item
from drfm.gallery.opening import create_store
from drfm.recipes.gallery_report import report_gallery


def filled(folder, count):
    rows = np.random.default_rng(0).normal(size=(count, 16)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    paths = [folder / f"{number}.png" for number in range(count)]
    for path in paths:
        Image.new("RGB", (8, 16), "teal").save(path)
    store = create_store(str(folder / "gallery"), 16, "model")
    if count:
        items = [Item(str(path), camera=str(row % 2), person=str(row // 3)) for row, path in enumerate(paths)]
        store.add(items, rows)
    store.close()
    return str(folder / "gallery")


def test_a_page_on_the_images(tmp_path):
    html = report_gallery(filled(tmp_path, 12), tmp_path / "page.html").read_text()
    assert "<h1>gallery</h1>" in html
    assert "data:image" in html
    assert "<script" not in html


@pytest.mark.parametrize("lost", [1, 11, 12])
def test_lost_files_are_told_and_the_others_shown(tmp_path, lost):
    location = filled(tmp_path, 12)
    for number in range(lost):
        (tmp_path / f"{number}.png").unlink()
    html = report_gallery(location, tmp_path / "page.html").read_text()
    assert f"{lost} of 12 images cannot be read" in html
    assert ("native heights from 16 to 16" in html) == (lost < 12)
    assert ("data:image" in html) == (lost < 12)


def test_a_file_that_is_no_image_any_more_does_not_stop_the_page(tmp_path):
    location = filled(tmp_path, 3)
    (tmp_path / "1.png").write_bytes(b"no pixels")
    assert "data:image" in report_gallery(location, tmp_path / "page.html").read_text()


def test_the_map_can_be_coloured_by_camera_person_and_resolution(tmp_path):
    location = filled(tmp_path, 12)
    for number, height in enumerate((31, 32, 63, 64, 127, 128)):
        Image.new("RGB", (8, height), "teal").save(tmp_path / f"{number}.png")
    html = report_gallery(location, tmp_path / "page.html").read_text()
    assert "coloured by camera or person or resolution" in html
    for words in ("1 to 31 rows", "32 to 63 rows", "64 to 127 rows", "128 rows and more"):
        assert words in html


def test_an_empty_gallery_is_refused(tmp_path):
    with pytest.raises(DrfmError, match="the gallery is empty"):
        report_gallery(filled(tmp_path, 0), tmp_path / "page.html")
