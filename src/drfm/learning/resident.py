"""Images of a pair table that lie on the training device as bytes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from drfm.data.records import HR
from drfm.resolution.pairs import PairSet, Source

Store = npt.NDArray[np.uint8] | Tensor
"""``(N, H, W, 3)`` uint8 RGB, memory-mapped or on a device."""

SHARE = 0.5
"""Share of a GPU's free memory that images may take; the rest is for activations."""


class Images:
    """Where a step reads its images from: the store on disk, or a copy of it on the device.

    Args:
        pairs: the image store.
        sources: the images of a pair that will be asked for.
        device: where they are put if it is no CPU and they fit into ``SHARE`` of its free memory.
    """

    def __init__(self, pairs: PairSet, sources: Sequence[Source], device: torch.device) -> None:
        self._pairs = pairs
        self._moved: dict[int, Tensor] = {}
        stores = {id(store): store for source in sources for store in self._all(source)}
        if device.type == "cuda" and _bytes(stores) <= SHARE * torch.cuda.mem_get_info(device)[0]:
            self.put(sources, device)

    def put(self, sources: Sequence[Source], device: torch.device) -> None:
        """Copy the images to ``device``, whether or not they fit well."""
        for source in sources:
            for store in self._all(source):
                if id(store) not in self._moved:
                    self._moved[id(store)] = torch.from_numpy(np.array(store)).to(device)

    @property
    def resident(self) -> bool:
        """Whether the images are on the device."""
        return bool(self._moved)

    def stores(self, source: Source) -> tuple[Store, ...]:
        """As :meth:`drfm.resolution.pairs.PairSet.stores`, from where the images are."""
        return tuple(self._moved.get(id(store), store) for store in self._pairs.stores(source))

    def others(self, source: Source) -> tuple[Store, ...]:
        """As :meth:`drfm.resolution.pairs.PairSet.others`, from where the images are."""
        return tuple(self._moved.get(id(store), store) for store in self._pairs.others(source))

    def take(self, source: Source, rows: slice) -> Store:
        """As :meth:`drfm.resolution.pairs.PairSet.take`, from where the images are."""
        stores = self.stores(source)
        if not all(isinstance(store, Tensor) for store in stores):
            return self._pairs.take(source, rows)
        parts: list[Tensor] = [torch.as_tensor(store[rows]) for store in stores]
        if len(parts) == 1:
            return parts[0]
        sharp = torch.from_numpy(self._pairs.origin[rows] == HR).to(parts[0].device)
        return torch.where(sharp[:, None, None, None], parts[0], parts[1])

    def _all(self, source: Source) -> tuple[npt.NDArray[np.uint8], ...]:
        return self._pairs.stores(source) + self._pairs.others(source)


def sent(values: Tensor | npt.NDArray[Any], device: torch.device) -> Tensor:
    """The same values on ``device``; a GPU fetches them while it works, and nobody waits."""
    held = values if isinstance(values, Tensor) else torch.from_numpy(values)
    if device.type == "cuda" and held.device.type == "cpu":
        held = held.pin_memory()
    return held.to(device, non_blocking=True)


def _bytes(stores: dict[int, npt.NDArray[np.uint8]]) -> int:
    return sum(store.nbytes for store in stores.values())
