"""Crops to unit vectors: what every engine shares. No torch is needed here."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from drfm.data.imagefile import MAX_PIXELS, open_image
from drfm.data.records import HR, LR, Resolution
from drfm.errors import DrfmError
from drfm.gallery.bundle import Preprocessing
from drfm.progress import progress_bar
from drfm.resolution.build import NETWORK_PIXELS, hr_space, pair_images
from drfm.resolution.downsample import RANDOM_RATES
from drfm.resolution.pairs import PairSet, pairs_from_arrays
from drfm.resolution.superresolve import SuperResolver, make_resolver

Pixels = npt.NDArray[np.uint8]
"""``(H, W, 3)`` uint8 RGB, 0..255."""
Crop = str | Path | Pixels
"""An image file, or decoded pixels."""
Vectors = npt.NDArray[np.float32]


class Encoder(ABC):
    """Turns crops of any size into vectors that can be compared by their product.

    Attributes:
        record: of the bundle, as :func:`drfm.gallery.bundle.read_bundle` checked it.
        preprocessing: how a crop is prepared.
    """

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.record = record
        self.preprocessing = Preprocessing.from_dict(record["encoder"]["preprocessing"])

    @property
    def id(self) -> str:
        """The bundle's; vectors of another id cannot be compared with these."""
        return str(self.record["id"])

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self.record["encoder"]["dimension"])

    def resolution_of(self, height: int) -> Resolution:
        """Whether a crop of ``height`` rows counts as a sharp (``hr``) or a blurry (``lr``) capture."""
        return "lr" if height < self.preprocessing.lr_below else "hr"

    def encode(
        self,
        crops: Crop | Iterable[Crop],
        resolution: Resolution | Sequence[Resolution | None] | None = None,
        *,
        batch_size: int = 32,
    ) -> Vectors:
        """Unit vectors of crops.

        Args:
            crops: files, or ``(H, W, 3)`` uint8 RGB arrays of any sizes; or a single one.
            resolution: ``"hr"`` or ``"lr"`` for all, or one for each, None where it goes by the height.
            batch_size: crops that are decoded and encoded together.

        Returns:
            ``(N, D)`` float32 with rows of unit length, in the order of ``crops``.

        Raises:
            DrfmError: a file is no image, an array is not of this kind, or a resolution is unknown.
        """
        items = _items(crops)
        given = _resolutions(resolution, len(items))
        if batch_size < 1:
            raise DrfmError(f"batch_size = {batch_size}: give 1 or more")
        vectors = np.empty((len(items), self.dimension), np.float32)
        with progress_bar("encode", len(items)) as bar:
            for start in range(0, len(items), batch_size):
                rows = slice(start, start + batch_size)
                captures = [read_crop(crop, start + row) for row, crop in enumerate(items[rows])]
                known = [
                    asked or self.resolution_of(len(c))
                    for asked, c in zip(given[rows], captures, strict=True)
                ]
                vectors[rows] = self._vectors(captures, known)
                bar.advance(len(captures))
        return vectors

    def pairs(self, captures: Sequence[Pixels], resolutions: Sequence[Resolution]) -> PairSet:
        """The two images of each crop that the network compares, made as the image store makes them.

        The HR-space image of a blurry crop is super-resolved: invented detail, no picture of what was there.

        Args:
            captures: B arrays ``(H, W, 3)`` uint8 RGB.
            resolutions: ``"hr"`` or ``"lr"`` for each.
        """
        options, twin = self.preprocessing.images, twin_rate(self.preprocessing)
        light = self._resolver if self._resolver.light else None
        # Of a blurry crop nobody knows at which rate it was made: 1.
        made = [
            pair_images(capture, resolution, twin if resolution == "hr" else 1, options, light)
            for capture, resolution in zip(captures, resolutions, strict=True)
        ]
        waiting = [capture for capture, (high, _) in zip(captures, made, strict=True) if high is None]
        _check_network_sizes(waiting)
        large = zip(self._resolver(waiting) if waiting else (), waiting, strict=True)
        high = [hr_space(*next(large), 1, options) if h is None else h for h, _ in made]
        return pairs_from_arrays(
            np.stack(high),
            np.stack([low for _, low in made]),
            [HR if resolution == "hr" else LR for resolution in resolutions],
            height=[len(capture) for capture in captures],
        )

    @cached_property
    def _resolver(self) -> SuperResolver:
        return make_resolver(self.preprocessing.images)

    @abstractmethod
    def _vectors(self, captures: Sequence[Pixels], resolutions: Sequence[Resolution]) -> Vectors:
        """``(B, D)`` float32 unit rows of B >= 1 crops."""


def twin_rate(preprocessing: Preprocessing) -> int:
    """Rate of the down-sampled twin of a sharp crop.

    Rates that training drew at random from the name of a file become the middle one: a crop has the
    same vector whatever it is called.
    """
    images = preprocessing.images
    return images.twin_rate if images.twin_rates != "random" else sorted(RANDOM_RATES)[len(RANDOM_RATES) // 2]


def read_crop(crop: Crop, number: int = 0) -> Pixels:
    """``(H, W, 3)`` uint8 RGB of a file or an array.

    Args:
        crop: see :data:`Crop`.
        number: of the crop, counted from 0, for the message.

    Raises:
        DrfmError: as in :func:`drfm.data.imagefile.open_image`, or the array is of another shape or type.
    """
    if isinstance(crop, (str, Path)):
        return open_image(Path(crop))
    if crop.dtype != np.uint8 or crop.ndim != 3 or crop.shape[2] != 3 or 0 in crop.shape:
        raise DrfmError(
            f"crop {number} = array of {crop.dtype} {crop.shape}: give uint8 RGB of shape (H, W, 3)"
        )
    if crop.shape[0] * crop.shape[1] > MAX_PIXELS:
        raise DrfmError(
            f"crop {number} = array of {crop.shape[0]} x {crop.shape[1]} pixels: crop or shrink it"
        )
    return crop


def _check_network_sizes(captures: Sequence[Pixels]) -> None:
    for capture in captures:
        if capture.shape[0] * capture.shape[1] > NETWORK_PIXELS:
            raise DrfmError(
                f"a blurry crop of {capture.shape[0]}x{capture.shape[1]} pixels is too large for the network "
                f"(limit {NETWORK_PIXELS} pixels); crop it, or give its resolution as hr"
            )


def _items(crops: Crop | Iterable[Crop]) -> list[Crop]:
    if isinstance(crops, (str, Path)) or (isinstance(crops, np.ndarray) and crops.ndim == 3):
        return [crops]
    try:
        items = list(crops)
    except TypeError:
        raise DrfmError(f"crops = {type(crops).__name__}: give files or uint8 arrays (H, W, 3)") from None
    for number, crop in enumerate(items):
        if not isinstance(crop, (str, Path, np.ndarray)):
            raise DrfmError(f"crop {number} = {type(crop).__name__}: give a file or a uint8 array (H, W, 3)")
    return items


def _resolutions(
    given: Resolution | Sequence[Resolution | None] | None, count: int
) -> Sequence[Resolution | None]:
    each = [given] * count if given is None or isinstance(given, str) else list(given)
    if len(each) != count:
        raise DrfmError(f"resolution: {len(each)} values for {count} crops; give one for each")
    for value in each:
        if value not in ("hr", "lr", None):
            raise DrfmError(f"resolution = {value}: give hr, lr, or nothing to go by the height")
    return each
