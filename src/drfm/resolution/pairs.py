"""The pair: one image in the HR space and one in the LR space, whatever its native resolution."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class PairSet:
    """N pairs, decoded and resized, in two memory-mapped arrays. It holds no identities.

    Attributes:
        hr: ``(N, H, W, 3)`` uint8 RGB, 0..255. HR capture, or super-resolved LR capture.
        lr: ``(N, h, w, 3)`` uint8 RGB, 0..255. LR capture, or down-sampled HR capture.
        origin: ``(N,)`` int8, ``drfm.data.records.HR`` or ``LR``: which of the two is the capture.
        camera: ``(N,)`` int64, -1 where unknown.
        height: ``(N,)`` int32, native height of the capture in pixels.
        names: manifest names, in order.
        key: store key; changes with any input byte or setting.
        facts: settings for the record, such as the super-resolution back end and its checksum.
    """

    hr: npt.NDArray[np.uint8]
    lr: npt.NDArray[np.uint8]
    origin: npt.NDArray[np.int8]
    camera: npt.NDArray[np.int64]
    height: npt.NDArray[np.int32]
    names: tuple[str, ...]
    key: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.origin)
