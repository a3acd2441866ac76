"""Super-resolution back ends: what the image store asks of one, and the built-in interpolation."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from drfm.config.schema import ImagesConfig
from drfm.errors import DrfmError
from drfm.resolution.downsample import resize

Images = Sequence[npt.NDArray[np.uint8]]


class SuperResolver(Protocol):
    """Magnifies images by a whole factor.

    Attributes:
        name: short name, as in ``images.sr``.
        light: cheap enough, and picklable, to run inside the processes that decode images;
            a network says False and runs in the parent process, in batches.
        apart: it computes on a device of its own, and leaves the processor's cores to others meanwhile.
    """

    @property
    def name(self) -> str:
        """As in ``images.sr``."""

    @property
    def light(self) -> bool:
        """Whether worker processes may run it."""

    @property
    def apart(self) -> bool:
        """Whether it computes on a device of its own."""

    def facts(self) -> Mapping[str, object]:
        """What identifies the output, as JSON values: ``sr``, ``sr_rate``, for a network ``sr_checksum``.

        The facts enter the key of the image store and the record of every result.
        """

    def __call__(self, images: Images) -> list[npt.NDArray[np.uint8]]:
        """Each ``(H, W, 3)`` uint8 RGB image as ``(rate * H, rate * W, 3)`` uint8, in order."""

    def stream(self, images: Images) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
        """The same with the index of each image, in any order, as soon as they are done."""


@dataclass(frozen=True)
class Bicubic:
    """Bicubic interpolation: no detail is added, and its facts say that it is one."""

    rate: int
    name: str = "bicubic"
    light: bool = True
    apart: bool = False

    def facts(self) -> Mapping[str, object]:
        """See :class:`SuperResolver`."""
        return {"sr": "bicubic (interpolation)", "sr_rate": self.rate}

    def __call__(self, images: Images) -> list[npt.NDArray[np.uint8]]:
        """See :class:`SuperResolver`."""
        return [large for _, large in self.stream(images)]

    def stream(self, images: Images) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
        """See :class:`SuperResolver`."""
        for row, image in enumerate(images):
            yield row, resize(image, (image.shape[0] * self.rate, image.shape[1] * self.rate))


def _swin2sr(images: ImagesConfig, device: str) -> SuperResolver:
    from drfm.resolution.swin2sr import Swin2SR

    return Swin2SR(images.sr_model, images.sr_rate, device, images.sr_versions)


RESOLVERS: dict[str, Callable[[ImagesConfig, str], SuperResolver]] = {
    "bicubic": lambda images, _: Bicubic(images.sr_rate),
    "swin2sr": _swin2sr,
}
"""Name of a back end, as in ``images.sr``, to what makes it from the options and a device."""


def make_resolver(images: ImagesConfig, device: str = "auto") -> SuperResolver:
    """The back end ``images.sr``; ``device`` is ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        DrfmError: no back end has this name, or its library or weights cannot be had.
    """
    if images.sr not in RESOLVERS:
        raise DrfmError(f"images.sr = {images.sr}: choose one of {', '.join(sorted(RESOLVERS))}")
    return RESOLVERS[images.sr](images, device)
