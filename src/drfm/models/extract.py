"""Features of all pairs, without gradient."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from drfm.data.parallel import ahead
from drfm.models.features import Features
from drfm.models.folding import lighten
from drfm.models.inputs import to_input
from drfm.progress import progress_bar
from drfm.resolution.pairs import PairSet, Source

Image = npt.NDArray[np.uint8] | Tensor
"""``(B, H, W, 3)`` uint8 RGB, possibly a view of a memory map, or on a device."""
Take = Callable[[Source, slice], Image]
"""Images of one source and consecutive rows."""


def extract(
    model: nn.Module,
    pairs: PairSet,
    *,
    device: torch.device | str,
    batch_size: int = 128,
    precision: str = "float32",
    flip: bool = False,
    rows: slice = slice(None),
    take: Take | None = None,
    stay: bool = False,
) -> Features:
    """Features of every pair, in eval mode and without augmentation.

    Works on a copy that :func:`~drfm.models.folding.lighten` makes, so ``model`` itself keeps its mode and
    its statistics. The model has to be on ``device`` already. A GPU is not made to wait: the next images
    are read while it works, and features are fetched in groups of batches.

    Args:
        model: a model of :func:`~drfm.models.build.build_model`, or any module that says which images of a
            pair it takes (``views``; by default ``hr`` and ``lr``) and returns something with ``spaces()``.
        pairs: N pairs.
        device: where the model is.
        batch_size: pairs in a forward pass.
        precision: arithmetic of the encoders, ``float32`` or ``bfloat16``.
        flip: average each feature with that of the mirrored pair, and normalise again (G7).
        rows: consecutive pairs to which to keep, all by default.
        take: where images of consecutive rows come from; the pairs' own by default. Bytes that lie on
            the device already need not travel.
        stay: leave the features on ``device``.

    Returns:
        ``(N, D)`` float32 rows of unit length for each space that the model has; on the CPU unless ``stay``.
    """
    device = torch.device(device)
    first, last, _ = rows.indices(len(pairs))
    network, home = lighten(model, device, precision), device if stay else torch.device("cpu")
    views: tuple[Source, ...] = getattr(model, "views", ("hr", "lr"))
    read = take or pairs.take
    # No pairs make one empty batch, which knows the spaces and D.
    spans = [slice(at, min(at + batch_size, last)) for at in range(first, max(first + 1, last), batch_size)]

    def images_of(some: slice) -> list[Image]:
        return [read(source, some) for source in views]

    # A GPU works on one batch while a thread reads the next; on a CPU the two would share the cores.
    batches: Iterator[list[Image]] = map(images_of, spans)
    if device.type != "cpu":
        batches = ahead(lambda some: _pinned(images_of(some)), spans, depth=1)
    made = _Rows(last - first, home)
    with progress_bar("extract", last - first) as bar:
        for images in batches:
            inputs = [to_input(image, device) for image in images]
            made.add(encode_batch(network, inputs, precision, flip))
            bar.advance(len(inputs[0]))
    return made.features()


class _Rows:
    """Features of consecutive batches, moved in groups to where they are wanted: each move is a wait."""

    GROUP = 32

    def __init__(self, count: int, home: torch.device) -> None:
        self._count, self._home, self._at = count, home, 0
        self._done: Features = {}
        self._waiting: list[Features] = []

    def add(self, batch: Features) -> None:
        """Take the features of the next rows."""
        self._waiting.append(batch)
        if len(self._waiting) == self.GROUP:
            self._move()

    def features(self) -> Features:
        """All of them."""
        self._move()
        return self._done

    def _move(self) -> None:
        if not self._waiting:
            return
        for name in self._waiting[0]:
            part = torch.cat([batch[name] for batch in self._waiting])
            if name not in self._done:
                self._done[name] = torch.empty(self._count, part.shape[1], device=self._home)
            self._done[name][self._at : self._at + len(part)] = part
        self._at += len(part)
        self._waiting = []


def _pinned(images: list[Image]) -> list[Image]:
    """The same images in memory that a GPU fetches by itself, unless they lie on a device."""
    if any(isinstance(image, Tensor) for image in images):
        return images
    held = [torch.from_numpy(np.array(image, dtype=np.uint8, order="C")) for image in images]
    return [image.pin_memory() if torch.cuda.is_available() else image for image in held]


@torch.inference_mode()
def encode_batch(model: nn.Module, images: list[Tensor], precision: str, flip: bool) -> Features:
    """Features of one batch, as in :func:`extract`, from a model in eval mode.

    Args:
        model: see :func:`extract`.
        images: ``(B, 3, H, W)`` ImageNet-normalised, one for each of the model's views.
        precision: ``float32`` or ``bfloat16``.
        flip: see :func:`extract`.
    """
    with torch.autocast(images[0].device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        return merged_spaces(model, images, flip)


def merged_spaces(model: nn.Module, images: list[Tensor], flip: bool) -> Features:
    """As :func:`encode_batch`, in whatever arithmetic and grad mode is on."""
    spaces: Features = model(*images).spaces()
    if not flip:
        return spaces
    mirrored: Features = model(*(image.flip(-1) for image in images)).spaces()
    return {name: functional.normalize(value + mirrored[name]) for name, value in spaces.items()}
