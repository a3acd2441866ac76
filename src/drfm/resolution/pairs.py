"""The pair: one image in the HR space and one in the LR space, whatever its native resolution."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from drfm.data.records import HR, LR
from drfm.errors import DrfmError

Source = Literal["hr", "lr", "native"]
"""An image of a pair: the one in the HR space, the one in the LR space, or the capture of the two."""


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
        twins: further arrays such as ``lr``, in which HR captures have twins of other rates; a training
            draws among all of them (A6).
    """

    hr: npt.NDArray[np.uint8]
    lr: npt.NDArray[np.uint8]
    origin: npt.NDArray[np.int8]
    camera: npt.NDArray[np.int64]
    height: npt.NDArray[np.int32]
    names: tuple[str, ...]
    key: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)
    twins: tuple[npt.NDArray[np.uint8], ...] = ()

    def __len__(self) -> int:
        return len(self.origin)

    def stores(self, source: Source) -> tuple[npt.NDArray[np.uint8], ...]:
        """The array that holds image ``source`` of a pair, indexed by its origin where there are two.

        Raises:
            DrfmError: captures are asked for, and those of the two origins differ in size.
        """
        if source != "native":
            return (self.hr if source == "hr" else self.lr,)
        if self.hr.shape[1:] != self.lr.shape[1:]:
            sizes = " and ".join(f"{s.shape[1]}x{s.shape[2]}" for s in (self.hr, self.lr))
            raise DrfmError(
                f"images.hr_size and images.lr_size = {sizes}: one encoder for both needs the same"
            )
        return self.hr, self.lr

    def others(self, source: Source) -> tuple[npt.NDArray[np.uint8], ...]:
        """The arrays that may stand in the place of the one of ``source`` in training."""
        return self.twins if source == "lr" else ()

    def take(self, source: Source, rows: slice) -> npt.NDArray[np.uint8]:
        """``(B, H, W, 3)`` uint8 images ``source`` of consecutive rows, possibly a view of the store."""
        stores = self.stores(source)
        if len(stores) == 1:
            return stores[0][rows]
        return np.where(self.origin[rows, None, None, None] == HR, stores[0][rows], stores[1][rows])


def pairs_from_arrays(
    hr: npt.NDArray[np.uint8],
    lr: npt.NDArray[np.uint8],
    origin: npt.ArrayLike,
    *,
    camera: npt.ArrayLike | None = None,
    height: npt.ArrayLike | None = None,
    names: Sequence[str] | None = None,
) -> PairSet:
    """Pairs from images in memory, for small sets and experiments.

    Args:
        hr: ``(N, H, W, 3)`` uint8 RGB HR-space images.
        lr: ``(N, h, w, 3)`` uint8 RGB LR-space images.
        origin: ``(N,)`` of ``drfm.data.records.HR`` or ``LR``.
        camera: ``(N,)`` camera indices; unknown (-1) by default.
        height: ``(N,)`` native heights in pixels; by default that of the capture's own array.
        names: N unique names; by default ``"000000"``, ``"000001"``, ...

    Raises:
        DrfmError: shapes, types, origins or names do not fit together.
    """
    origins = np.asarray(origin, dtype=np.int8)
    count = len(origins)
    for name, images in (("hr", hr), ("lr", lr)):
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[0] != count or images.shape[3] != 3:
            raise DrfmError(
                f"{name} = array of {images.dtype} {images.shape}: give uint8 of shape ({count}, H, W, 3)"
            )
    if not np.isin(origins, (HR, LR)).all():
        raise DrfmError(
            f"origin = {sorted(set(origins.tolist()))}: give {HR} (HR) or {LR} (LR) for each pair"
        )
    named = tuple(names) if names is not None else tuple(f"{row:06d}" for row in range(count))
    if len(set(named)) != count:
        raise DrfmError(f"names: {len(set(named))} different names for {count} pairs; make them unique")
    own = np.array([hr.shape[1] if value == HR else lr.shape[1] for value in origins], dtype=np.int32)
    per_pair: dict[str, npt.NDArray[np.generic]] = {
        "camera": np.full(count, -1) if camera is None else np.asarray(camera),
        "height": own if height is None else np.asarray(height),
    }
    for name, values in per_pair.items():
        if values.shape != (count,):
            raise DrfmError(f"{name} = array of shape {values.shape}: give {count} numbers")
    return PairSet(
        hr=hr,
        lr=lr,
        origin=origins,
        camera=per_pair["camera"].astype(np.int64),
        height=per_pair["height"].astype(np.int32),
        names=named,
    )
