"""From decoded pixels to what an encoder takes."""

import functools

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet's RGB values in 0..1."""
STD = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet's RGB values in 0..1."""


def to_input(images: npt.NDArray[np.uint8] | Tensor, device: torch.device | str) -> Tensor:
    """ImageNet-normalised input of an encoder.

    The bytes travel to ``device`` and are normalised there. The result has the
    channels-last layout, in which convolutions are fastest.

    Args:
        images: ``(B, H, W, 3)`` uint8 RGB, 0..255; may be a slice of a memory map, or a tensor anywhere.
        device: where the result lies.

    Returns:
        ``(B, 3, H, W)`` float32.
    """
    if not isinstance(images, Tensor):
        images = torch.from_numpy(np.array(images, dtype=np.uint8, order="C"))
    batch = images.to(device, non_blocking=True)
    scale, shift = _constants(batch.device)
    return batch.permute(0, 3, 1, 2).to(torch.float32).mul_(scale).add_(shift)


@functools.cache
def _constants(device: torch.device) -> tuple[Tensor, Tensor]:
    """Made once: numbers that go from Python to a GPU wait for all that it still has to do."""
    with torch.inference_mode(False):
        scale = torch.tensor([1 / (255 * s) for s in STD], device=device).view(1, 3, 1, 1)
        shift = torch.tensor([-m / s for m, s in zip(MEAN, STD, strict=True)], device=device)
        return scale, shift.view(1, 3, 1, 1)
