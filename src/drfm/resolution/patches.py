"""Training examples of super-resolution: a patch of a sharp capture, and itself made small."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from drfm.config.schema import Size
from drfm.data.choices import Kernel
from drfm.data.parallel import ahead
from drfm.resolution.degradation import Degradation, degrade
from drfm.resolution.downsample import resize

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Example:
    """B patches of one rate, RGB float32 in 0..1.

    Attributes:
        small: ``(B, 3, h, w)``.
        base: ``(B, 3, m h, m w)``, ``small`` magnified by the network's rate m with bicubic interpolation.
        sharp: ``(B, 3, r h, r w)``, what was made small by the rate r.
    """

    small: Tensor
    base: Tensor
    sharp: Tensor


@dataclass(frozen=True)
class Patches:
    """Random patches of sharp captures. Images are opened when they are drawn, so any number will do.

    Attributes:
        count: number of captures.
        read: gives capture ``i``, ``(H, W, 3)`` uint8 RGB, at least ``patch`` times the largest rate.
        patch: height and width of the small patches.
        magnify: the network's rate.
        rates: rates to draw from; one for each batch.
        kernels: to draw from, one for each patch.
        kind: of the degradation.
        seed: the patches of a step depend on it and on the number of the step alone.
    """

    count: int
    read: Callable[[int], Pixels]
    patch: Size
    magnify: int
    rates: tuple[int, ...]
    kernels: tuple[Kernel, ...]
    kind: Degradation
    seed: int

    def batch(self, step: int, size: int) -> Example:
        """The ``size`` patches of a step."""
        random = np.random.default_rng([self.seed, step])
        rate = int(random.choice(self.rates))
        drawn = [self._draw(rate, random) for _ in range(size)]
        small, base, sharp = (_tensor(part) for part in zip(*drawn, strict=True))
        return Example(small, base, sharp)

    def _draw(self, rate: int, random: np.random.Generator) -> tuple[Pixels, Pixels, Pixels]:
        image = self.read(int(random.integers(self.count)))
        if random.random() < 0.5:
            image = image[:, ::-1]
        # Whole multiples, so that a pixel of the small image lies over `rate` of the large one.
        image = np.ascontiguousarray(image[: image.shape[0] // rate * rate, : image.shape[1] // rate * rate])
        kernel = self.kernels[int(random.integers(len(self.kernels)))]
        small = degrade(image, rate, kind=self.kind, kernel=kernel, random=random)
        height, width = self.patch
        top = int(random.integers(small.shape[0] - height + 1))
        left = int(random.integers(small.shape[1] - width + 1))
        patch = small[top : top + height, left : left + width]
        sharp = image[top * rate : (top + height) * rate, left * rate : (left + width) * rate]
        return patch, resize(patch, (height * self.magnify, width * self.magnify)), sharp

    def stream(self, steps: Sequence[int], size: int, workers: int) -> Iterator[Example]:
        """Batches of ``steps``, in order, made by threads a little ahead of their use."""
        return ahead(lambda step: self.batch(step, size), steps, workers=max(1, workers))


def _tensor(images: Sequence[Pixels]) -> Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).to(torch.float32) / 255


def charbonnier(large: Tensor, sharp: Tensor) -> Tensor:
    """Mean of sqrt(d^2 + 1e-6), Charbonnier's smooth absolute error (Lai et al., CVPR 2017, Eq. 2).

    Args:
        large: ``(B, 3, H, W)`` output of the network.
        sharp: ``(B, 3, H', W')`` target. A larger ``large`` is brought to its size first, as the
            image store does: a capture at half its size that is magnified by 4 ends at twice the target.
    """
    if large.shape[-2:] != sharp.shape[-2:]:
        large = torch.nn.functional.interpolate(
            large, size=sharp.shape[-2:], mode="bicubic", antialias=True, align_corners=False
        )
    return torch.sqrt((large - sharp).square() + 1e-6).mean()
