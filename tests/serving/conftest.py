"""A gallery of drawn pedestrians behind a bundle of a random model."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi")
pytest.importorskip("httpx2")

from starlette.testclient import TestClient

from drfm.data.drawn import draw_person_image
from drfm.gallery.bundle import Bundle, write_calibration
from drfm.gallery.embedded import Embedded
from drfm.gallery.items import Item
from drfm.gallery.torch_engine import load_encoder
from drfm.serving.records import Records
from drfm.serving.service import Service
from drfm.serving.web import make_app

PEOPLE = 6
NOON = 1_777_636_800.0  # 2026-05-01T12:00:00Z


def _made_bundle():
    path = Path(__file__).parents[1] / "gallery" / "conftest.py"
    spec = importlib.util.spec_from_file_location("gallery_conftest_of_serving", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.tiny.__wrapped__()
    return module.made_bundle


def level(threshold: float) -> dict:
    return {
        "threshold": threshold, "low": threshold, "high": threshold, "found": 0.5, "found_low": 0.4,
        "check_false": 0.001, "check_found": 0.5,
    }  # fmt: skip


CALIBRATION = {
    "rates": {"likely": 0.001, "possible": 0.01}, "confidence": 0.95, "labelled": True, "dropped": [],
    "evidence_from": 48, "source": "persons", "benchmark": {}, "notes": ["A note on how it was found."],
    "bands": [{"low": 48, "high": 400, "likely": level(0.9), "possible": level(0.5)}],
}  # fmt: skip


@pytest.fixture(scope="session")
def bundle(tmp_path_factory) -> Bundle:
    return write_calibration(_made_bundle()(tmp_path_factory.mktemp("bundle")), CALIBRATION)


@pytest.fixture(scope="session")
def crops(tmp_path_factory) -> Path:
    """``PERSON-CAMERA.png``: camera 0 is near and sharp, camera 1 far and blurry."""
    folder = tmp_path_factory.mktemp("crops")
    for person in range(PEOPLE):
        for camera in (0, 1):
            Image.fromarray(draw_person_image(person, camera, 0, 3)).save(folder / f"{person}-{camera}.png")
    return folder


@pytest.fixture(scope="session")
def gallery(tmp_path_factory, bundle, crops) -> Path:
    place = tmp_path_factory.mktemp("gallery") / "people"
    encoder = load_encoder(bundle.folder, "cpu")
    store = Embedded.create(place, encoder.dimension, encoder.id)
    items = [
        Item(
            str(crops / f"{person}-0.png"), ("door", "yard")[person % 2], NOON + 60 * person,
            "Anna <b>" if person == 0 else None, f"door-{person // 2}",
            {"colour": "red"} if person < 2 else {},
        )
        for person in range(PEOPLE)
    ]  # fmt: skip
    store.add(items, encoder.encode([item.path for item in items]))
    store.close()
    return place


@pytest.fixture
def service(bundle, gallery, tmp_path) -> Service:
    return Service(Embedded(gallery), load_encoder(bundle.folder, "cpu"), Records(tmp_path / "records"))


@pytest.fixture
def client(service) -> TestClient:
    return TestClient(make_app(service), base_url="http://localhost")


@pytest.fixture
def blurry(crops) -> bytes:
    return (crops / "2-1.png").read_bytes()


@pytest.fixture
def pixels(crops) -> np.ndarray:
    return np.asarray(Image.open(crops / "2-1.png"))
