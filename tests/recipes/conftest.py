"""A benchmark and runs on it that are small enough to be trained many times."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from drfm import recipes
from drfm.config import to_yaml
from drfm.config.load import Resolved, load_config
from drfm.data.build import build_benchmark
from drfm.data.choices import BuildChoices
from drfm.data.readers import read_dataset

PERSONS, SHOTS = 10, 3


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The module of the engine's tests that registers the backbone `tiny`."""
    path = Path(__file__).parents[1] / "engine" / "tiny_run.py"
    spec = importlib.util.spec_from_file_location("tiny_run_of_recipes", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def configure(tiny) -> Callable[..., Resolved]:
    """A small configuration with some options changed, by keys such as ``train__epochs``."""
    torch.set_num_threads(1)

    def make(**changes: object) -> Resolved:
        given = {key.replace("__", "."): value for key, value in changes.items()}
        small = {"train.epochs": 2, "train.workers": 1, "evaluation.draws": 3}
        return load_config("paper", None, {**tiny.OPTIONS, **small, **given})

    return make


def draw(folder: Path, persons: int = PERSONS, shots: int = SHOTS) -> Path:
    """Persons of random colours before two cameras, as PNG and JPEG, with names as Market-1501 has them."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for person in range(persons):
        look = random.integers(0, 256, (8, 4, 3))
        for camera in (1, 2):
            for shot in range(shots):
                noise = random.normal(0, 20, (32, 16, 3))
                pixels = np.clip(np.kron(look, np.ones((4, 4, 1))) + noise, 0, 255).astype(np.uint8)
                ending = "png" if shot % 2 else "jpg"
                path = folder / f"{person:04d}_c{camera}s1_{shot:06d}_00.{ending}"
                Image.fromarray(pixels).save(path)
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    return draw(tmp_path_factory.mktemp("data") / "pictures")


@pytest.fixture(scope="session")
def bench(pictures, tmp_path_factory) -> Path:
    """Five persons to train on, five to test; camera 1 is blurry."""
    folder = tmp_path_factory.mktemp("built") / "bench"
    build_benchmark(read_dataset("auto", pictures), folder, BuildChoices(), workers=1)
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def train(bench, cache) -> Callable[..., dict]:
    """Train on the benchmark into a run folder."""

    def run(folder: Path, resolved: Resolved, benchmark: Path = bench, **options: object) -> dict:
        return recipes.train(benchmark, folder, resolved, **{"cache": cache, **options})

    return run


@pytest.fixture(scope="session")
def whole(train, configure, tmp_path_factory) -> Path:
    """A run of four epochs in one go; tests that change a run copy it."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(folder, configure(train__epochs=4))
    return folder


@pytest.fixture
def words(bench, cache, configure, tmp_path) -> Callable[..., list[str]]:
    """The command line that trains as ``configure`` says."""

    def make(run: Path, benchmark: Path = bench, **changes: object) -> list[str]:
        file = tmp_path / "small.yaml"
        file.write_text(to_yaml(configure(**changes).config))
        start = ["train", str(benchmark), "--run", str(run), "--cache", str(cache)]
        return [*start, "--config", str(file)]

    return make
