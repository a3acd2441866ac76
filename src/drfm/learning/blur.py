"""Random Gaussian blur of whole batches, and erasing behind it (ICE, ICCV 2021)."""

import torch
from torch import Tensor
from torch.nn import functional

from drfm.learning.augment import ERASED_VALUE, REFERENCE_HEIGHT
from drfm.learning.resident import sent

RADII = (0.1, 2.0)
"""Range of the standard deviation in pixels, at an input of 256 rows; scaled with the input height."""


def draw_radii(count: int, probability: float, generator: torch.Generator) -> Tensor:
    """``(B,)`` float64 standard deviations in pixels of a 256-row image; 0 for images left sharp."""
    chance, size = torch.rand(2, count, generator=generator, dtype=torch.float64)
    radii: Tensor = (RADII[0] + (RADII[1] - RADII[0]) * size) * (chance < probability)
    return radii


def blur(images: Tensor, radii: Tensor) -> Tensor:
    """Blur ``(B, 3, H, W)`` images; the pixels of the edge go on beyond it.

    Args:
        images: float32.
        radii: ``(B,)`` standard deviations of :func:`draw_radii`, on any device.
    """
    count, channels, height, width = images.shape
    if count == 0 or not (radii > 0).any():
        return images
    sigma = sent(radii * (height / REFERENCE_HEIGHT), images.device).to(images.dtype).clamp(min=1e-3)
    reach = min(max(1, int(3 * RADII[1] * height / REFERENCE_HEIGHT)), height - 1, width - 1)
    offset = torch.arange(-reach, reach + 1, device=images.device)
    kernel = torch.softmax(-((offset / sigma.unsqueeze(1)) ** 2) / 2, dim=1)
    kernel = kernel.repeat_interleave(channels, dim=0)[:, None, :, None]
    planes = images.reshape(1, count * channels, height, width)
    for taps, pad in ((kernel, (0, 0, reach, reach)), (kernel.transpose(2, 3), (reach, reach, 0, 0))):
        planes = functional.conv2d(
            functional.pad(planes, pad, mode="replicate"), taps, groups=count * channels
        )
    return planes.view(images.shape).contiguous(memory_format=torch.channels_last)


def erase(images: Tensor, boxes: Tensor) -> Tensor:
    """Fill ``(B, 4)`` boxes (top, left, bottom, right; empty for none) of ``(B, 3, H, W)`` images."""
    top, left, bottom, right = sent(boxes, images.device).T.unsqueeze(2)
    y, x = (torch.arange(size, device=images.device) for size in images.shape[2:])
    inside = ((y >= top) & (y < bottom))[:, :, None] & ((x >= left) & (x < right))[:, None, :]
    return torch.where(inside.unsqueeze(1), images.new_tensor(ERASED_VALUE).view(1, 3, 1, 1), images)
