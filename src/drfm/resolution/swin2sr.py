"""Swin2SR super-resolution (Conde et al., ECCV workshops 2022) through the transformers library."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from drfm.errors import DrfmError
from drfm.files import read_json, sha256_file
from drfm.hub import fetch

WEIGHTS = "model.safetensors"
FILES = ("config.json", WEIGHTS)
_PIXELS = {"cpu": 1 << 14, "cuda": 1 << 18}
"""Input pixels of a batch by device type; a 64 x 32 image has 2,048."""


class Swin2SR:
    """A Swin2SR network behind the protocol of :class:`drfm.resolution.superresolve.SuperResolver`.

    Images are mirrored at their lower and right border up to whole attention windows, as the
    image processor of the library does, and cropped afterwards; so images of several sizes
    share a batch, and images narrower than a window work too. On a GPU the network runs in
    half precision; a batch that overflows is repeated in float32.

    Args:
        model: name on the hub, or a local folder with ``config.json`` and ``model.safetensors``.
        rate: magnification that the run asks for; must be the network's.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        DrfmError: transformers is not installed, the checkpoint cannot be had, or its rate is another.
    """

    name = "swin2sr"
    light = False

    def __init__(self, model: str, rate: int, device: str = "auto") -> None:
        self.model, self.rate = model, rate
        self.folder = find_checkpoint(model)
        own = read_json(self.folder / "config.json").get("upscale", 2)
        if own != rate:
            raise DrfmError(
                f"images.sr_rate = {rate}: {model} magnifies by {own}; "
                f"give --images.sr_rate {own} or another checkpoint"
            )
        chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        self.device = torch.device(chosen)
        self._checksum = sha256_file(self.folder / WEIGHTS)
        self._network: Any = None

    def facts(self) -> Mapping[str, object]:
        """Back end, rate, name of the checkpoint and the sha256 of its weights."""
        name = Path(self.model).name if Path(self.model).is_dir() else self.model
        return {"sr": self.name, "sr_rate": self.rate, "sr_model": name, "sr_checksum": self._checksum}

    def __call__(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.uint8]]:
        """Each ``(H, W, 3)`` uint8 RGB image as ``(rate * H, rate * W, 3)`` uint8, in order."""
        if self._network is None:
            self._network = _load(self.folder).to(self.device)
        window = int(self._network.config.window_size)
        by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
        for row, image in enumerate(images):
            height, width = image.shape[:2]
            by_size[(-(-height // window) * window, -(-width // window) * window)].append(row)
        results: list[npt.NDArray[np.uint8]] = list(images)
        for (height, width), rows in by_size.items():
            batch = max(1, _PIXELS[self.device.type] // (height * width))
            for start in range(0, len(rows), batch):
                part = rows[start : start + batch]
                padded = np.stack([_mirror(images[row], height, width) for row in part])
                for row, large in zip(part, self._forward(padded), strict=True):
                    tall, wide = images[row].shape[0] * self.rate, images[row].shape[1] * self.rate
                    results[row] = np.ascontiguousarray(large[:tall, :wide])
        return results

    def _forward(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """``(B, H, W, 3)`` uint8 to ``(B, rate * H, rate * W, 3)`` uint8."""
        pixels = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2).to(torch.float32) / 255
        with torch.inference_mode():
            half = self.device.type == "cuda"
            with torch.autocast(self.device.type, torch.float16, enabled=half):
                large: Tensor = self._network(pixel_values=pixels).reconstruction
            if half and not torch.isfinite(large).all():
                large = self._network(pixel_values=pixels).reconstruction
            large = (large.to(torch.float32).clamp(0, 1) * 255).round().to(torch.uint8)
        array: npt.NDArray[np.uint8] = large.permute(0, 2, 3, 1).cpu().numpy()
        return array


def _mirror(image: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """Continue ``image`` by its mirror image to ``height`` x ``width``, several times where it is short."""
    below, right = height - image.shape[0], width - image.shape[1]
    return np.pad(image, ((0, below), (0, right), (0, 0)), mode="symmetric")


def _load(folder: Path) -> Any:
    """The network in evaluation mode, float32."""
    transformers = _transformers()
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        network, report = transformers.Swin2SRForImageSuperResolution.from_pretrained(
            str(folder), use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except Exception as error:  # safetensors, json and torch have exceptions of their own
        reason = " ".join(str(error).split())[:120]
        raise DrfmError(f"{folder}: is not a Swin2SR checkpoint ({reason})") from error
    finally:
        transformers.logging.set_verbosity(verbosity)
    # The library fills missing weights with random numbers and only warns.
    if report["missing_keys"]:
        raise DrfmError(
            f"{folder}: is not a Swin2SR checkpoint ({len(report['missing_keys'])} weights are missing, "
            f"such as {min(report['missing_keys'])})"
        )
    return network.eval()


def _transformers() -> Any:
    try:
        import transformers
    except ImportError:
        raise DrfmError(
            "images.sr = swin2sr needs transformers: pip install 'drfm[sr]', or give --images.sr bicubic"
        ) from None
    return transformers


def find_checkpoint(model: str) -> Path:
    """The local folder of ``model``, fetched from the hub only where no copy of it lies on this machine.

    Args:
        model: hub name, or a folder with ``config.json`` and ``model.safetensors``.

    Raises:
        DrfmError: the folder is incomplete, or the hub cannot be reached or has no such model.
    """
    _transformers()
    folder = Path(model).expanduser()
    if folder.is_dir():
        for name in FILES:
            if not (folder / name).is_file():
                raise DrfmError(f"images.sr_model = {model}: {name} is missing in this folder")
        return folder
    try:
        paths = [fetch(model, name) for name in FILES]
    except ImportError:
        raise DrfmError(
            "images.sr = swin2sr needs huggingface_hub: pip install 'drfm[sr]', or give --images.sr bicubic"
        ) from None
    except ConnectionError as error:
        raise DrfmError(
            f"images.sr_model = {model}: neither on this machine nor to be had from the hub "
            f"({error}); give --images.sr_model the folder of a local checkpoint, "
            "or of one copied from a machine that reaches the hub, or give --images.sr bicubic"
        ) from error
    return paths[0].parent
