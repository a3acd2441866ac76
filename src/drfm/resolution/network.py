"""Swin2SR networks: sizes to train, files, and the residual on top of bicubic interpolation.

Architecture: Conde et al., "Swin2SR", ECCV workshops 2022, as the transformers library has it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from drfm.errors import DrfmError
from drfm.files import fingerprint, read_json, sha256_file, write_atomic, write_json

WEIGHTS, CONFIG, DESCRIPTION = "model.safetensors", "config.json", "sr.json"
PICKLED = "pytorch_model.bin"
"""Weights as older checkpoints have them, the real-world one of Swin2SR's authors among them."""
SIZES: dict[str, dict[str, Any]] = {
    "small": {"embed_dim": 48, "depths": [2, 2], "num_heads": [2, 2], "window_size": 8},
    "lightweight": {"embed_dim": 60, "depths": [6] * 4, "num_heads": [6] * 4, "window_size": 8},
}
"""Configurations to train: one for a CPU, and the paper's lightweight one (one upsampling convolution)."""
_FORMAT = 1
_BASE = "residual_base"
"""Key of ``config.json`` that marks a network as a correction of bicubic interpolation."""


def library() -> Any:
    """The transformers library.

    Raises:
        DrfmError: it is not installed.
    """
    try:
        import transformers
    except ImportError:
        raise DrfmError(
            "images.sr = swin2sr needs transformers: pip install 'drfm[sr]', or give --images.sr bicubic"
        ) from None
    return transformers


def new_network(size: str, rate: int, seed: int) -> Any:
    """A Swin2SR that adds nothing yet: random weights, but zeros in the layer that makes pixels.

    Args:
        size: key of :data:`SIZES`.
        rate: magnification, 2, 3, 4 or 8.
        seed: of the weights; the global random state is neither read nor changed.

    Raises:
        DrfmError: no such size or magnification, or transformers is not installed.
    """
    if size not in SIZES:
        raise DrfmError(f"size = {size}: choose one of {', '.join(SIZES)}")
    if rate not in (2, 3, 4, 8):
        raise DrfmError(f"rate = {rate}: give 2, 3, 4 or 8")
    transformers = library()
    config = transformers.Swin2SRConfig(
        **SIZES[size], image_size=64, mlp_ratio=2.0, upscale=rate, upsampler="pixelshuffledirect"
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = transformers.Swin2SRForImageSuperResolution(config)
    torch.nn.init.zeros_(network.upsample.conv.weight)
    torch.nn.init.zeros_(network.upsample.conv.bias)
    return network


def enlarge(network: Any, pixels: Tensor, base: Tensor | None) -> Tensor:
    """The forward pass, and for a residual network what it adds to ``base``.

    Args:
        network: of rate r.
        pixels: ``(B, 3, h, w)`` RGB in 0..1; h and w are multiples of the attention window.
        base: ``(B, 3, r h, r w)`` RGB in 0..1, the interpolated images; ``None`` for a plain Swin2SR.

    Returns:
        ``(B, 3, r h, r w)`` float32, not clipped. With zeros in the last layer it is ``base`` itself.
    """
    large: Tensor = network(pixel_values=pixels).reconstruction.to(torch.float32)
    # The library adds the mean colour to what the last layer says; a correction has no mean colour.
    return large if base is None else base + (large - network.swin2sr.mean.to(large))


def save_network(network: Any, tensors: Mapping[str, Tensor], folder: Path, facts: Mapping[str, Any]) -> None:
    """Write a folder that ``images.sr_model`` names; the description with the checksums comes last.

    Args:
        network: gives the configuration.
        tensors: the weights, by their names in the network.
        folder: receives ``config.json``, ``model.safetensors`` and ``sr.json``.
        facts: for the record, as JSON values.
    """
    raw = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_atomic(folder / WEIGHTS, safetensors.torch.save(raw, metadata={"format": "pt"}))
    config = {**network.config.to_diff_dict(), "architectures": [type(network).__name__], _BASE: "bicubic"}
    write_json(folder / CONFIG, config)
    description = {"format": _FORMAT, "checksum": checksum(folder), "facts": dict(facts)}
    write_json(folder / DESCRIPTION, description)


def weights_file(folder: Path) -> Path:
    """The weights of a checkpoint: ``model.safetensors``, or ``pytorch_model.bin`` where there is no such."""
    return folder / (WEIGHTS if (folder / WEIGHTS).is_file() else PICKLED)


def checksum(folder: Path) -> str:
    """SHA-256 of the weights."""
    return sha256_file(weights_file(folder))


def describe(folder: Path) -> dict[str, str]:
    """What else of a checkpoint shapes its output: ``sr_config`` and, for a residual network, ``sr_base``.

    Raises:
        DrfmError: a file is damaged, or ``sr.json`` belongs to other weights.
    """
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict) or config.get(_BASE, "bicubic") != "bicubic":
        raise DrfmError(
            f"{folder / CONFIG}: is damaged, or of another version of drfm; copy the folder again"
        )
    if (folder / DESCRIPTION).exists():
        own = read_json(folder / DESCRIPTION)
        if not isinstance(own, dict) or own.get("checksum") != checksum(folder):
            raise DrfmError(
                f"{folder / WEIGHTS}: differs from its checksum in {DESCRIPTION}; copy the folder again"
            )
    facts = {"sr_config": fingerprint(config)}
    return {**facts, "sr_base": config[_BASE]} if _BASE in config else facts


def load_network(folder: Path) -> Any:
    """The network of a checkpoint, in evaluation mode, float32.

    Raises:
        DrfmError: the files are no Swin2SR checkpoint.
    """
    transformers = library()
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        network, report = transformers.Swin2SRForImageSuperResolution.from_pretrained(
            str(folder),
            use_safetensors=weights_file(folder).name == WEIGHTS,
            weights_only=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except Exception as error:  # safetensors, json and torch have exceptions of their own
        reason = " ".join(str(error).split())[:120]
        raise DrfmError(f"{folder}: is not a Swin2SR checkpoint ({reason})") from error
    finally:
        transformers.logging.set_verbosity(verbosity)
        transformers.logging.enable_progress_bar()
    # The library fills missing weights with random numbers and only warns.
    if report["missing_keys"]:
        raise DrfmError(
            f"{folder}: is not a Swin2SR checkpoint ({len(report['missing_keys'])} weights are missing, "
            f"such as {min(report['missing_keys'])})"
        )
    return network.eval()
