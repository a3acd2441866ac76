"""Every choice that makes a cross-resolution benchmark, and the choices that earlier work made."""

import re
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_origin

from drfm.errors import DrfmError

MAX_SPLITS = 100

Kernel = Literal["bicubic", "bilinear", "lanczos", "box", "linear", "maxpool"]

_LR_CAMERA = re.compile(
    r"auto|fixed:\d+|random_per_id|random_per_id_per_split|smaller|resolution|height|every"
)


@dataclass(frozen=True)
class BuildChoices:
    """How a data set becomes a cross-resolution benchmark; the defaults are the protocol of DRFM."""

    name: str = ""
    """Name for people; empty takes the data set's, such as `MLR-Market-1501`."""
    seed: int = 0
    """Seed of the rates, of random LR cameras and of drawn splits."""
    lr_camera: str = "auto"
    """Which images are LR: `fixed:K` (camera K), `random_per_id` (one camera of each person),
    `random_per_id_per_split` (the same, drawn anew for each folder), `smaller` (the camera with the smallest
    mean area), `resolution` (what the reader or the list says), `height` (below a height), `every` (each
    image is both). `auto` takes `resolution` where it is known of every image, else `fixed` with the first
    of several cameras, else `height`."""
    height_threshold: int = 0
    """For `height`: images with fewer rows are LR; 0 finds the threshold by Otsu's rule on log height."""
    downsample: Literal["auto", "always", "never"] = "auto"
    """Whether LR images are made by down-sampling; `auto`: not where they are LR by nature
    (`smaller`, `resolution`, `height`, or a data set that knows the resolution of every image)."""
    rates: tuple[int, ...] = (2, 3, 4)
    """Down-sampling rates; an LR image is 1/rate of its native size."""
    rate_rule: Literal["hash", "thirds", "per_person", "fixed", "all"] = "hash"
    """Rate of an image: from a hash of seed and relative path; equal shares in a seeded order; one for each
    person; the only rate given; each rate once."""
    kernel: Kernel = "bicubic"
    """Resampling: `bicubic`, `bilinear`, `lanczos` and `box` are Pillow's, antialiased; `linear` is bilinear
    without antialiasing, as OpenCV does it; `maxpool` takes the maximum of each rate x rate block."""
    rounding: Literal["floor", "round"] = "floor"
    """Size of an LR image when the rate does not divide it; at least 1 pixel."""
    train_lr: Literal["downsample", "keep_hr", "both"] = "downsample"
    """Training images of the LR camera: down-sampled, left as HR images, or both."""
    query_from: Literal["test+query", "test", "query"] = "test+query"
    """Folders of an official layout that queries come from."""
    gallery_from: Literal["test+query", "test"] = "test+query"
    """Folders of an official layout that the gallery comes from."""
    query_resolution: Literal["lr", "all"] = "lr"
    """Queries are LR images, or images of both resolutions."""
    gallery_resolution: Literal["hr", "all"] = "hr"
    """The gallery has HR images, or images of both resolutions."""
    distractors: bool = False
    """Keep images of people who are in no query (person 0000 of Market-1501) in the gallery."""
    junk: bool = False
    """Keep boxes without a usable person (person -1) in the gallery; no ranking counts them as a match."""
    single_camera: Literal["drop", "train"] = "drop"
    """Where splits are drawn, a person with images of one resolution only is dropped or always trained on."""
    splits: int = 0
    """Number of splits: official test sets, or drawn ones; 0 takes the number usual for the data set."""
    test_persons: int = 0
    """Test persons of a drawn split; 0 takes the data set's usual number, or half."""
    storage: Literal["copy", "reference"] = "copy"
    """Untouched images are copied byte for byte, or stay in the data set and are referred to."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "rates", tuple(self.rates))
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type in (int, bool, str) and type(value) is not field.type:
                raise _refuse(field.name, value, f"give a value of type {field.type.__name__}")
            if get_origin(field.type) is Literal and value not in get_args(field.type):
                raise _refuse(field.name, value, f"give one of {', '.join(get_args(field.type))}")
        if not _LR_CAMERA.fullmatch(self.lr_camera):
            raise _refuse("lr_camera", self.lr_camera, "give auto, fixed:K, random_per_id, "
                          "random_per_id_per_split, smaller, resolution, height or every")  # fmt: skip
        for name, low, high in (
            ("seed", 0, 2**31 - 1),
            ("height_threshold", 0, 10_000),
            ("splits", 0, MAX_SPLITS),
            ("test_persons", 0, 10**9),
        ):
            if not low <= getattr(self, name) <= high:
                raise _refuse(name, getattr(self, name), f"give {low} to {high}")
        good = all(type(rate) is int and 1 < rate <= 32 for rate in self.rates)
        if not self.rates or len(set(self.rates)) < len(self.rates) or not good:
            raise _refuse("rates", self.rates, "give different whole numbers from 2 to 32")
        if self.rate_rule == "fixed" and len(self.rates) != 1:
            raise _refuse("rates", self.rates, "rate_rule = fixed takes one rate, such as 4")


PRESETS: dict[str, dict[str, Any]] = {
    "drfm": {},
    "ordinary": {
        "downsample": "never",
        "query_from": "query",
        "gallery_from": "test",
        "query_resolution": "all",
        "gallery_resolution": "all",
        "distractors": True,
    },
    "sing": {"rate_rule": "thirds"},
    "pshrnet": {"market1501": {"lr_camera": "fixed:3", "query_from": "test", "gallery_from": "test"}},
    "mdiff": {"market1501": {"lr_camera": "fixed:3", "query_from": "test", "gallery_from": "test"}},
    "prpr": {"kernel": "linear", "market1501": {"lr_camera": "fixed:1", "distractors": True, "junk": True}},
    "vpfa": {
        "market1501": {
            "lr_camera": "random_per_id_per_split",
            "kernel": "lanczos",
            "query_from": "query",
            "gallery_from": "test",
            "query_resolution": "all",
            "gallery_resolution": "all",
            "distractors": True,
        },
        "cuhk03": {"lr_camera": "random_per_id", "kernel": "bilinear", "train_lr": "keep_hr", "splits": 3},
        "cuhk03-np": {"lr_camera": "random_per_id", "kernel": "bilinear", "train_lr": "keep_hr"},
        "viper": {"lr_camera": "random_per_id", "rate_rule": "per_person"},
    },
    "cadnet-dev": {
        "lr_camera": "every",
        "rate_rule": "all",
        "kernel": "maxpool",
        "train_lr": "both",
        "single_camera": "train",
        "caviar": {"lr_camera": "resolution", "splits": 1},
    },
}
"""Choices of earlier work as far as its public code shows them; a key naming a data set holds for it alone.

`ordinary`: a data set's own protocol at one resolution, so that methods can be held to the numbers they are
known for; without junk. `sing`: SING (AAAI 2018), exact thirds. `pshrnet`: PS-HRNet (TIP 2021), whose printed
counts fit camera 3 best, without the official query folder. `mdiff`: MDIFF (2024), camera 3. `prpr`: PRPR and
MRLReID (2024), camera 1, OpenCV's linear, junk and distractors kept; they overwrite JPEG files, here images
stay lossless. `vpfa`: VPFA (ICML 2026). `cadnet-dev`: a development version of CAD-Net (ICCV 2019), each
image at each rate.
"""


def preset_choices(preset: str, kind: str, **changes: Any) -> BuildChoices:
    """The choices of ``preset`` for a data set, with ``changes`` on top.

    Args:
        preset: a key of ``PRESETS``.
        kind: name of the data set's reader.
        changes: fields of :class:`BuildChoices`.

    Raises:
        DrfmError: unknown preset or field, or a value out of range.
    """
    if preset not in PRESETS:
        raise _refuse("preset", preset, f"give one of {', '.join(PRESETS)}")
    names = {field.name for field in fields(BuildChoices)}
    for name, value in changes.items():
        if name not in names:
            raise _refuse(name, value, f"not a choice; the choices are {', '.join(sorted(names))}")
    entry = PRESETS[preset]
    common = {key: value for key, value in entry.items() if key in names}
    return BuildChoices(**{**common, **entry.get(kind, {}), **changes})


def _refuse(option: str, value: object, mend: str) -> DrfmError:
    return DrfmError(f"{option} = {value}: {mend}")
