"""Bundles of random models, made in milliseconds."""

import importlib.util
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import pytest
import torch

from drfm.config.schema import ImagesConfig, ModelConfig
from drfm.gallery.bundle import Bundle, Preprocessing, write_bundle
from drfm.models.build import build_model
from drfm.models.inputs import MEAN, STD
from drfm.models.storage import save_model


@pytest.fixture(scope="session", autouse=True)
def tiny() -> ModuleType:
    """Registers the backbone `tiny`."""
    path = Path(__file__).parents[1] / "engine" / "tiny_run.py"
    spec = importlib.util.spec_from_file_location("tiny_run_of_gallery", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.set_num_threads(1)
    return module


def training() -> dict:
    return {
        "method": "drfm", "supervised": False, "seed": 1, "started": "now", "software": {}, "weights": {},
        "model": {}, "pairs": {"train": 2, "train_hr": 1}, "config": {}, "result": None,
        "benchmark": {"name": "None", "id": "0" * 16, "split": 0},
    }  # fmt: skip


def made_bundle(
    folder: Path,
    features: str = "fused",
    flip: bool = False,
    images: dict | None = None,
    files: dict[str, Path] | None = None,
    **model: object,
) -> Bundle:
    """A bundle of a random model, in ``folder / "bundle"``."""
    config = ModelConfig(**{"backbone": "tiny", "weights": "random", **model})
    made = build_model(config, seed=1)
    with torch.no_grad():
        for module in made.modules():
            if isinstance(module, (torch.nn.BatchNorm2d, torch.nn.BatchNorm1d)):
                module.running_mean.normal_(generator=torch.Generator().manual_seed(2))
    save_model(made, folder / "model")
    prepared = ImagesConfig(**{"hr_size": (32, 16), "lr_size": (24, 16), **(images or {})})
    times = {"fused": 1, "image": 1, "hr": 1, "lr": 1, "concat": 2, "mean": 3}[features]
    record = {
        "encoder": {
            "model": asdict(config), "dimension": 32 * times, "sr": {},
            "preprocessing": Preprocessing(prepared, 50, features, flip, MEAN, STD).to_dict(),
        },
        "rule": {}, "training": training(), "licence": [], "calibration": None,
    }  # fmt: skip
    parts = {"model.safetensors": folder / "model" / "model.safetensors", **(files or {})}
    return write_bundle(folder / "bundle", record, parts)


@pytest.fixture(scope="session")
def make() -> Callable[..., Bundle]:
    """Makes a bundle of a random model: ``make(folder, features, flip, images, **options of the model)``."""
    return made_bundle
