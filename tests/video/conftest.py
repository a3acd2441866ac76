import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def made() -> ModuleType:
    """The module `made.py`: videos, lists of boxes and detectors."""
    pytest.importorskip("av")
    pytest.importorskip("onnx")
    spec = importlib.util.spec_from_file_location("made_for_video", Path(__file__).with_name("made.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
