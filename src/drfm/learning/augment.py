"""Random flip, pad and crop, and erasing of whole batches of images (A8, A9).

What happens to an image is drawn on the CPU as numbers between 0 and 1, so it depends on the
generator alone and not on the device, and one draw can serve two images of different size.
"""

import functools
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from drfm.config import AugmentConfig
from drfm.learning.resident import Store, sent
from drfm.models.inputs import MEAN, STD

REFERENCE_HEIGHT = 256
"""Input height in pixels for which ``augment.pad`` is meant."""
ERASED_AREA = (0.02, 0.4)
"""Range of the erased share of an image."""
ERASED_ASPECT = (0.3, 1 / 0.3)
"""Range of height by width of the erased box."""
ERASED_VALUE = MEAN
"""Written into the normalised tensor, as in the code of the re-ID field; not the mean colour there."""
_ATTEMPTS = 20
"""Boxes tried until one fits; fewer than one in a billion images is left whole for want of one."""


class Draws(NamedTuple):
    """Uniform random numbers in [0, 1) for B images, float64, on the CPU.

    Attributes:
        flip: ``(B,)``.
        crop: ``(B, 2)``, place of the crop: down, right.
        erase: ``(B,)``.
        box: ``(B, attempts, 2)``, area and aspect of each box that is tried.
        place: ``(B, 2)``, place of the box that fits: down, right.
    """

    flip: Tensor
    crop: Tensor
    erase: Tensor
    box: Tensor
    place: Tensor


class Plan(NamedTuple):
    """What is done to B images of one size, in whole pixels, int64 on the CPU.

    Attributes:
        flip: ``(B,)`` 0 or 1, first.
        shift: ``(B, 2)`` offset of the crop in the flipped image: down, right; negative into the border.
        box: ``(B, 4)`` erased box: top, left, bottom, right; empty for none.
    """

    flip: Tensor
    shift: Tensor
    box: Tensor


def draw(count: int, generator: torch.Generator) -> Draws:
    """Numbers for ``count`` images; the same amount is drawn whatever the options are."""
    numbers = torch.rand(count, 6 + 2 * _ATTEMPTS, generator=generator, dtype=torch.float64)
    flip, crop, erase, place, box = torch.split(numbers, [1, 2, 1, 2, 2 * _ATTEMPTS], dim=1)
    return Draws(flip[:, 0], crop, erase[:, 0], box.reshape(count, _ATTEMPTS, 2), place)


def plan(draws: Draws, config: AugmentConfig, height: int, width: int) -> Plan:
    """What ``draws`` mean for images of ``height`` x ``width`` pixels."""
    pad = round(config.pad * height / REFERENCE_HEIGHT)
    shift = (draws.crop * (2 * pad + 1)).long() - pad
    return Plan((draws.flip < config.flip).long(), shift, _boxes(draws, config.erase, height, width))


def nothing(count: int) -> Plan:
    """The plan that leaves ``count`` images as they are."""
    zeros = torch.zeros(count, 4, dtype=torch.int64)
    return Plan(zeros[:, 0], zeros[:, :2], zeros)


def _boxes(draws: Draws, probability: float, height: int, width: int) -> Tensor:
    """Boxes of random erasing after Zhong et al., AAAI 2020: the first that is smaller than the image."""
    area = (ERASED_AREA[0] + (ERASED_AREA[1] - ERASED_AREA[0]) * draws.box[..., 0]) * height * width
    aspect = ERASED_ASPECT[0] + (ERASED_ASPECT[1] - ERASED_ASPECT[0]) * draws.box[..., 1]
    tall = torch.sqrt(area * aspect).round().long()
    wide = torch.sqrt(area / aspect).round().long()
    fits = (tall < height) & (wide < width)
    first = fits.long().argmax(dim=1, keepdim=True)
    tall, wide = tall.gather(1, first)[:, 0], wide.gather(1, first)[:, 0]
    top = (draws.place[:, 0] * (height - tall + 1)).long()
    left = (draws.place[:, 1] * (width - wide + 1)).long()
    erased = (draws.erase < probability) & fits.any(dim=1)
    return torch.stack([top, left, top + tall, left + wide], dim=1) * erased.unsqueeze(1)


def apply_plan(store: Store, rows: npt.NDArray[np.int64], todo: Plan, device: torch.device) -> Tensor:
    """Read rows of an image store, change them as planned, and normalise them.

    On the CPU one compiled pass reads bytes and writes floats, without the interpreter's lock, so
    that threads can prepare batches side by side. On another device the work is done there, with the
    bytes sent over unless the store is a tensor of that device. All give the same values.

    Args:
        store: ``(N, H, W, 3)`` uint8 RGB, possibly memory-mapped, or a tensor on ``device``.
        rows: ``(B,)`` int64 rows of it.
        todo: the plan for B images of this size.
        device: where the result is wanted.

    Returns:
        ``(B, 3, H, W)`` float32 in the channels-last layout, ImageNet-normalised; the border of the
        crop is black.
    """
    if isinstance(store, Tensor):
        return transform(store[sent(rows, device)], todo)
    if device.type != "cpu":
        return transform(sent(np.asarray(store)[rows], device), todo)
    count, height, width, _ = store.shape
    source = np.asarray(store).reshape(count, height, 3 * width)
    out = np.empty((len(rows), height, 3 * width), dtype=np.float32)
    lines = tuple(np.tile(numbers, width) for numbers in _scaling())
    _fill_batch(source, rows, tuple(part.numpy() for part in todo), lines, out)
    return torch.from_numpy(out).view(len(rows), height, width, 3).permute(0, 3, 1, 2)


def transform(images: Tensor, todo: Plan) -> Tensor:
    """The same on ``(B, H, W, 3)`` uint8 images of any device, in tensor operations."""
    device = images.device
    count, height, width, _ = images.shape
    flip, shift, box = (sent(part, device) for part in todo)
    y, x = torch.arange(height, device=device), torch.arange(width, device=device)
    source_y, source_x = y + shift[:, :1], x + shift[:, 1:]
    inside_y = (source_y >= 0) & (source_y < height)
    inside_x = (source_x >= 0) & (source_x < width)
    source_x = torch.where(flip.unsqueeze(1) > 0, width - 1 - source_x, source_x)
    image = torch.arange(count, device=device)[:, None, None]
    cropped = images[
        image, source_y.clamp(0, height - 1)[:, :, None], source_x.clamp(0, width - 1)[:, None, :]
    ]
    cropped = cropped * (inside_y[:, :, None] & inside_x[:, None, :]).unsqueeze(3)
    scale, offset, fill = _scaling_on(device)
    result = cropped.to(torch.float32) * scale + offset
    top, left, bottom, right = box.T.unsqueeze(2)
    erased = ((y >= top) & (y < bottom))[:, :, None] & ((x >= left) & (x < right))[:, None, :]
    return torch.where(erased.unsqueeze(3), fill, result).permute(0, 3, 1, 2)


@functools.cache
def _scaling_on(device: torch.device) -> tuple[Tensor, ...]:
    """Made once: numbers that go from Python to a GPU wait for all that it still has to do."""
    return tuple(torch.from_numpy(numbers).to(device) for numbers in _scaling())


def _scaling() -> tuple[npt.NDArray[np.float32], ...]:
    """Scale and offset that normalise a byte, and the erased value: three float32 arrays of 3 channels."""
    mean, std = np.array(MEAN, dtype=np.float64), np.array(STD, dtype=np.float64)
    numbers = (1 / (255 * std), -mean / std, np.array(ERASED_VALUE))
    return tuple(values.astype(np.float32) for values in numbers)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _fill_batch(store: Any, rows: Any, todo: Any, lines: Any, out: Any) -> None:
    """Write ``out (B, H, 3 W)`` from rows of ``store (N, H, 3 W)``; ``lines`` are values of a whole row."""
    flip, shift, box = todo
    scale, offset, fill = lines
    height, width = out.shape[1], out.shape[2] // 3
    line = np.empty(3 * width, np.float32)
    for b in range(len(rows)):
        down, right = shift[b, 0], shift[b, 1]
        # Columns of the result that lie inside the image; the others are border.
        first = min(width, max(0, -right))
        last = max(first, min(width, width - right))
        source_x = width - last - right if flip[b] else right + first
        for y in range(height):
            source_y = y + down
            if source_y < 0 or source_y >= height:
                out[b, y] = offset
                continue
            out[b, y, : 3 * first] = offset[: 3 * first]
            out[b, y, 3 * last :] = offset[3 * last :]
            pixels = store[rows[b], source_y, 3 * source_x : 3 * (source_x + last - first)]
            target = out[b, y, 3 * first : 3 * last]
            if flip[b]:
                # Converting forward and turning the floats round is faster than reading bytes backwards.
                _convert(pixels, line[: len(target)], scale, offset)
                _mirror(line[: len(target)], target)
            else:
                _convert(pixels, target, scale, offset)
        for y in range(box[b, 0], box[b, 2]):
            out[b, y, 3 * box[b, 1] : 3 * box[b, 3]] = fill[3 * box[b, 1] : 3 * box[b, 3]]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _convert(pixels: Any, target: Any, scale: Any, offset: Any) -> None:
    for i in range(len(target)):
        target[i] = np.float32(pixels[i]) * scale[i] + offset[i]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _mirror(pixels: Any, target: Any) -> None:
    count = len(target) // 3
    for x in range(count):
        source = 3 * (count - 1 - x)
        target[3 * x] = pixels[source]
        target[3 * x + 1] = pixels[source + 1]
        target[3 * x + 2] = pixels[source + 2]
