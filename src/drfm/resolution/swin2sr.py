"""Swin2SR super-resolution of images of any size, with a checkpoint of the hub or a folder of one's own."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from drfm.data.parallel import ahead
from drfm.errors import DrfmError
from drfm.files import read_json
from drfm.hub import fetch
from drfm.resolution.downsample import resize
from drfm.resolution.network import (
    CONFIG,
    PICKLED,
    WEIGHTS,
    checksum,
    describe,
    enlarge,
    library,
    load_network,
    weights_file,
)

Pixels = npt.NDArray[np.uint8]
_PIXELS = {"cpu": 1 << 14, "cuda": 1 << 18}
"""Input pixels of a batch by device type; a 64 x 32 image has 2,048."""


class Magnifier:
    """A network at work on lists of images.

    Images are mirrored at their lower and right border up to whole attention windows, and cropped
    afterwards; so images of several sizes share a batch, and images narrower than a window work
    too. (The image processor of the library adds one more window where a side has whole ones.) On a
    GPU the network runs in half precision; a batch that overflows is repeated in float32.

    Args:
        network: a Swin2SR in evaluation mode, on ``device``.
        device: where it runs.
        residual: it adds to the bicubic interpolation.
        versions: 1, 2, 4 or 8 mirrored and turned copies of each image whose results are averaged.
    """

    def __init__(self, network: Any, device: torch.device, *, residual: bool, versions: int = 1) -> None:
        self.network, self.device = network, device
        self.residual, self.versions = residual, versions
        self.apart = device.type != "cpu"
        self.rate, self.window = int(network.config.upscale), int(network.config.window_size)

    def __call__(self, images: Sequence[Pixels]) -> list[Pixels]:
        """Each ``(H, W, 3)`` uint8 RGB image as ``(rate * H, rate * W, 3)`` uint8, in order."""
        results = dict(self.stream(images))
        return [results[row] for row in range(len(images))]

    def stream(self, images: Sequence[Pixels]) -> Iterator[tuple[int, Pixels]]:
        """The same with the index of each image, batch by batch of one size."""
        parts: list[list[int]] = []
        by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
        for row, image in enumerate(images):
            by_size[self.padded(image)].append(row)
        for (height, width), rows in by_size.items():
            batch = max(1, _PIXELS[self.device.type] // (height * width))
            parts += [rows[start : start + batch] for start in range(0, len(rows), batch)]

        def prepared(part: list[int]) -> tuple[list[int], _Input]:
            return part, self._prepared([images[row] for row in part])

        # A GPU computes one batch while the next is prepared, and begins it before the last is fetched.
        under_way: tuple[list[int], _Launched] | None = None
        for part, given in ahead(prepared, parts, depth=1) if self.apart else map(prepared, parts):
            launched = self._launch(given)
            if under_way is not None:
                yield from self._results(images, *under_way)
            under_way = part, launched
            if not self.apart:
                yield from self._results(images, *under_way)
                under_way = None
        if under_way is not None:
            yield from self._results(images, *under_way)

    def padded(self, image: Pixels) -> tuple[int, int]:
        """Height and width in whole windows: images that agree in them can share a batch."""
        height, width = image.shape[:2]
        return -(-height // self.window) * self.window, -(-width // self.window) * self.window

    def _prepared(self, images: Sequence[Pixels]) -> "_Input":
        """Images that agree in :meth:`padded`, and what a residual network adds to, in whole windows."""
        height, width = self.padded(images[0])
        rate = self.rate
        small = np.stack([_mirror(image, height, width) for image in images])
        base = None
        if self.residual:
            large = [resize(image, (image.shape[0] * rate, image.shape[1] * rate)) for image in images]
            base = np.stack([_mirror(image, height * rate, width * rate) for image in large])
        return _Input(small, base)

    @torch.inference_mode()
    def _launch(self, given: "_Input", exactly: bool = False) -> "_Launched":
        """Compute a batch; on a GPU it may be under way still when this returns."""
        pixels = self._tensor(given.small)
        under = None if given.base is None else self._tensor(given.base)
        half = self.device.type == "cuda" and not exactly
        total: Tensor | None = None
        for version in range(self.versions):
            turned = None if under is None else _turn(under, version)
            with torch.autocast(self.device.type, torch.float16, enabled=half):
                large = enlarge(self.network, _turn(pixels, version), turned)
            large = _turn_back(large, version)
            total = large if total is None else total + large
        assert total is not None
        finite = torch.isfinite(total).all() if half else None
        # In place: large images in float32 are what costs time here, beside a small network.
        if self.versions > 1:
            total = total.div_(self.versions)
        levels = total.clamp_(0, 1).mul_(255).round_().to(torch.uint8)
        return _Launched(given, levels.permute(0, 2, 3, 1).contiguous(), finite)

    def _results(
        self, images: Sequence[Pixels], part: Sequence[int], launched: "_Launched"
    ) -> Iterator[tuple[int, Pixels]]:
        """The images of a batch, cut to their sizes; one that overflowed is computed again in float32."""
        if launched.finite is not None and not launched.finite:
            launched = self._launch(launched.given, exactly=True)
        large: Pixels = launched.levels.cpu().numpy()
        for place, row in enumerate(part):
            height, width = (side * self.rate for side in images[row].shape[:2])
            yield row, np.ascontiguousarray(large[place, :height, :width])

    def _tensor(self, images: Pixels) -> Tensor:
        return torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2).to(torch.float32).div_(255)


class _Input(NamedTuple):
    """A batch for the network.

    Attributes:
        small: ``(B, H, W, 3)`` uint8, whole windows.
        base: ``(B, rate * H, rate * W, 3)`` uint8 for a residual network.
    """

    small: Pixels
    base: Pixels | None


class _Launched(NamedTuple):
    """A batch that is being computed.

    Attributes:
        given: what it is computed from.
        levels: ``(B, rate * H, rate * W, 3)`` uint8 on the device.
        finite: whether half precision sufficed, on the device; ``None`` where it was not used.
    """

    given: _Input
    levels: Tensor
    finite: Tensor | None


class Swin2SR:
    """A checkpoint behind the protocol of :class:`drfm.resolution.superresolve.SuperResolver`.

    Args:
        model: name on the hub, or a local folder with ``config.json`` and ``model.safetensors`` (or an older
            ``pytorch_model.bin``), such as ``drfm sr train`` makes.
        rate: magnification that the run asks for; must be the network's.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        versions: see :class:`Magnifier`.

    Raises:
        DrfmError: transformers is not installed, the checkpoint cannot be had, or its rate is another.
    """

    name = "swin2sr"
    light = False

    def __init__(self, model: str, rate: int, device: str = "auto", versions: int = 1) -> None:
        self.model, self.rate, self.versions = model, rate, versions
        self.folder = find_checkpoint(model)
        self._own = describe(self.folder)
        own = read_json(self.folder / CONFIG).get("upscale", 2)
        if own != rate:
            raise DrfmError(
                f"images.sr_rate = {rate}: {model} magnifies by {own}; "
                f"give --images.sr_rate {own} or another checkpoint"
            )
        chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        self.device = torch.device(chosen)
        self.apart = self.device.type != "cpu"
        self._checksum = checksum(self.folder)
        self._magnifier: Magnifier | None = None

    def files(self) -> tuple[Path, ...]:
        """What another machine needs of the checkpoint: its configuration and its weights."""
        return self.folder / CONFIG, weights_file(self.folder)

    def facts(self) -> Mapping[str, object]:
        """Back end, rate, checkpoint, the sha256 of its weights, and what else shapes its output."""
        name = Path(self.model).name if Path(self.model).is_dir() else self.model
        facts = {"sr": self.name, "sr_rate": self.rate, "sr_model": name, "sr_checksum": self._checksum}
        return facts | self._own | ({"sr_versions": self.versions} if self.versions > 1 else {})

    @property
    def magnifier(self) -> Magnifier:
        """The network, loaded when it is first needed."""
        if self._magnifier is None:
            network = load_network(self.folder).to(self.device)
            residual = "sr_base" in self._own
            self._magnifier = Magnifier(network, self.device, residual=residual, versions=self.versions)
        return self._magnifier

    def __call__(self, images: Sequence[Pixels]) -> list[Pixels]:
        """Each ``(H, W, 3)`` uint8 RGB image as ``(rate * H, rate * W, 3)`` uint8, in order."""
        return self.magnifier(images)

    def stream(self, images: Sequence[Pixels]) -> Iterator[tuple[int, Pixels]]:
        """See :meth:`Magnifier.stream`."""
        return self.magnifier.stream(images)


def _mirror(image: Pixels, height: int, width: int) -> Pixels:
    """Continue ``image`` by its mirror image to ``height`` x ``width``, several times where it is short."""
    below, right = height - image.shape[0], width - image.shape[1]
    if not below and not right:
        return image
    return np.pad(image, ((0, below), (0, right), (0, 0)), mode="symmetric")


def _turn(images: Tensor, version: int) -> Tensor:
    """One of the eight symmetries of the square: bit 0 mirrors, bit 1 turns upside down, bit 2 transposes."""
    dims = [dim for dim, bit in ((-1, 1), (-2, 2)) if version & bit]
    images = images.flip(dims) if dims else images
    return images.transpose(-1, -2) if version & 4 else images


def _turn_back(images: Tensor, version: int) -> Tensor:
    dims = [dim for dim, bit in ((-1, 1), (-2, 2)) if version & bit]
    images = images.transpose(-1, -2) if version & 4 else images
    return images.flip(dims) if dims else images


def find_checkpoint(model: str) -> Path:
    """The local folder of ``model``, fetched from the hub only where no copy of it lies on this machine.

    Args:
        model: hub name, or a folder with ``config.json`` and ``model.safetensors`` or ``pytorch_model.bin``.

    Raises:
        DrfmError: the folder is incomplete, or the hub cannot be reached or has no such model.
    """
    library()
    folder = Path(model).expanduser()
    if folder.is_dir():
        for path, name in ((folder / CONFIG, CONFIG), (weights_file(folder), WEIGHTS)):
            if not path.is_file():
                raise DrfmError(f"images.sr_model = {model}: {name} is missing in this folder")
        return folder
    try:
        found = fetch(model, CONFIG).parent
        try:
            fetch(model, WEIGHTS)
        except ConnectionError:  # no such file, or no hub
            fetch(model, PICKLED)
    except ImportError:
        raise DrfmError(
            "images.sr = swin2sr needs huggingface_hub: pip install 'drfm[sr]', or give --images.sr bicubic"
        ) from None
    except ConnectionError as error:
        raise DrfmError(
            f"images.sr_model = {model}: neither on this machine nor to be had from the hub ({error}); "
            "give --images.sr_model the folder of a local checkpoint (copied from a machine that reaches the "
            "hub), or train one with `drfm sr train`, or give --images.sr bicubic"
        ) from error
    return found
