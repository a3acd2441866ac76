"""Methods on a model of a few numbers and persons that are colour patterns."""

import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def tiny():
    """The module `tiny_run.py` of the tests of the engine."""
    path = Path(__file__).parents[1] / "engine" / "tiny_run.py"
    spec = importlib.util.spec_from_file_location("tiny_run", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def build(tiny, tmp_path):
    """`build(preset, epochs=4, **options)` gives a trainer whose method has no labels yet."""

    def build(preset, epochs=4, **options):
        return tiny.tiny_trainer(tmp_path, epochs, preset, **options)

    return build


def take_steps(trainer, epoch, number):
    """Losses of each of some steps of an epoch."""
    trainer.method.model.train()
    stream = trainer.method.selections(trainer.labels, epoch, np.random.default_rng(0))
    return [trainer._step(selection, epoch) for selection in itertools.islice(stream, number)]


@pytest.fixture
def steps():
    """`steps(trainer, epoch, number)` trains and gives the losses."""
    return take_steps
