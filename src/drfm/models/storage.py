"""Models on disk: a folder with the weights and a description of them."""

import dataclasses
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from drfm import files
from drfm.config import ModelConfig
from drfm.errors import DrfmError
from drfm.models.build import Model, new_model

_FORMAT = 1
_WEIGHTS = "model.safetensors"
_DESCRIPTION = "model.json"


def save_model(model: Model, folder: Path) -> None:
    """Write ``model.safetensors`` and ``model.json`` (configuration, facts, checksum) into ``folder``.

    A tensor that both encoders share is written once. The description comes last and
    quotes the checksum of the weights, so a half-written model is never read.

    Raises:
        DrfmError: the folder cannot be written.
    """
    tensors = {name: value.contiguous() for name, value in _own_tensors(model).items()}
    data = safetensors.torch.save(tensors)
    weights = Path(folder) / _WEIGHTS
    files.write_atomic(weights, data)
    description = {
        "format": _FORMAT,
        "config": dataclasses.asdict(model.config),
        "facts": model.facts,
        "sha256": files.sha256_file(weights),
    }
    files.write_json(Path(folder) / _DESCRIPTION, description)


def load_model(folder: Path) -> Model:
    """The model of :func:`save_model`, on the CPU, in training mode.

    Raises:
        DrfmError: a file is missing, damaged, or of another version of drfm.
    """
    description = files.read_json(Path(folder) / _DESCRIPTION)
    weights = Path(folder) / _WEIGHTS
    if not isinstance(description, dict) or not {"sha256", "facts", "config"} <= description.keys():
        raise DrfmError(f"{Path(folder) / _DESCRIPTION}: is damaged; copy the folder again, or train again")
    if not weights.is_file() or files.sha256_file(weights) != description["sha256"]:
        raise DrfmError(f"{weights}: missing or damaged; copy the whole folder again, or train again")
    with torch.random.fork_rng(devices=[]):
        model = new_model(_config(description, folder))
    model.facts = description["facts"]
    load_own_tensors(model, read_tensors(weights), weights)
    return model


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU.

    Raises:
        DrfmError: it is no such file, or cut off.
    """
    try:
        return safetensors.torch.load_file(file)
    except (OSError, safetensors.SafetensorError) as error:
        raise DrfmError(f"{file}: cannot be read as safetensors ({error}); restore it from a copy") from None


def load_own_tensors(model: Model, tensors: dict[str, Tensor], source: Path) -> None:
    """Copy ``tensors``, which name every tensor of ``model`` once, into it.

    Raises:
        DrfmError: a name or a shape differs; ``source`` is named.
    """
    own = _own_tensors(model)
    for name in sorted(own.keys() ^ tensors.keys()):
        raise DrfmError(f"{source}: {'lacks' if name in own else 'has an unknown'} tensor {name}")
    for name, value in own.items():
        if value.shape != tensors[name].shape:
            shapes = f"{tuple(tensors[name].shape)} instead of {tuple(value.shape)}"
            raise DrfmError(f"{source}: {name} has shape {shapes}")
    model.load_state_dict(tensors, strict=False)


def _own_tensors(model: Model) -> dict[str, Tensor]:
    """The state of ``model`` without second names of shared tensors."""
    seen: set[int] = set()
    own = {}
    for name, value in model.state_dict(keep_vars=True).items():
        if id(value) not in seen:
            seen.add(id(value))
            own[name] = value.detach()
    return own


def _config(description: dict[str, Any], folder: Path) -> ModelConfig:
    if description.get("format") != _FORMAT:
        raise DrfmError(
            f"{folder}: model format {description.get('format')}, this version of drfm reads {_FORMAT}; "
            "use the version that wrote it"
        )
    try:
        return ModelConfig(**description["config"])
    except (TypeError, KeyError) as error:
        raise DrfmError(f"{folder}: its configuration does not fit this version of drfm ({error})") from None
