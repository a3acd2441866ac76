"""Which images are LR, and at which rate: decided from choices, seed and names, never from listing order."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from drfm.data.choices import BuildChoices
from drfm.data.records import Dataset, ImageRecord
from drfm.errors import DrfmError

Sizes = Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Assignment:
    """Resolution of every image.

    Attributes:
        rule: the choice of LR camera with ``auto`` resolved.
        downsample: whether LR images are to be down-sampled.
        low: names of LR images.
        both: every image is HR and LR at once; ``low`` then has all names.
        notes: what was measured.
    """

    rule: str
    downsample: bool
    low: frozenset[str]
    both: bool = False
    notes: tuple[str, ...] = ()


def stable_hash(*parts: object) -> int:
    """64 bits of BLAKE2b over ``parts`` joined by ``|``: the same on every machine, for ever."""
    text = "|".join(str(part) for part in parts)
    digest = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")


def resolve_rule(dataset: Dataset, choices: BuildChoices) -> str:
    """``choices.lr_camera`` with ``auto`` replaced by what the data set allows."""
    if choices.lr_camera != "auto":
        return choices.lr_camera
    records = dataset.records
    if all(record.resolution is not None for record in records):
        return "resolution"
    cameras = {record.camera for record in records if record.person >= 0}
    known = sorted(camera for camera in cameras if camera is not None)
    return f"fixed:{known[0]}" if len(known) > 1 and None not in cameras else "height"


def needs_sizes(rule: str) -> bool:
    """Whether ``rule`` looks at the size of every image."""
    return rule in {"smaller", "height"}


def assign_resolution(dataset: Dataset, rule: str, choices: BuildChoices, sizes: Sizes) -> Assignment:
    """Tell HR from LR by ``rule``, which is never ``auto``.

    Args:
        dataset: the images.
        rule: as in ``BuildChoices.lr_camera``.
        choices: seed, threshold and whether to down-sample.
        sizes: height and width of every image, where the rule needs them.

    Raises:
        DrfmError: the rule needs cameras, persons or resolutions that are not known.
    """
    native = rule in {"smaller", "resolution", "height"} or all(r.resolution for r in dataset.records)
    down = choices.downsample == "always" or (choices.downsample == "auto" and not native)
    records = dataset.records
    notes: tuple[str, ...] = ()
    if rule == "every":
        if not down:
            raise DrfmError("downsample = never: lr_camera = every makes LR images by down-sampling only")
        return Assignment(rule, True, frozenset(record.name for record in records), both=True)
    if rule == "resolution":
        low = _by_field(dataset)
    elif rule == "height":
        low, notes = _by_height(records, choices.height_threshold, sizes)
    elif rule == "smaller":
        low, notes = _by_area(dataset, sizes)
    elif rule.startswith("fixed:"):
        low = _by_camera(dataset, int(rule.removeprefix("fixed:")), rule)
    else:
        low = _by_person(dataset, choices.seed, rule)
    return Assignment(rule, down, frozenset(low), notes=notes)


def image_rates(
    names: Sequence[str], person: Mapping[str, int], choices: BuildChoices
) -> dict[str, tuple[int, ...]]:
    """Down-sampling rates of each LR image; one each, or all of them for ``rate_rule = all``.

    Args:
        names: LR images.
        person: of each name; below 0 counts as nobody, and the image then goes by its name.
        choices: rates, rule and seed.
    """
    rates, seed = choices.rates, choices.seed
    if choices.rate_rule in {"all", "fixed"}:
        return dict.fromkeys(names, rates)
    if choices.rate_rule == "thirds":
        order = sorted(names, key=lambda name: (stable_hash(seed, "order", name), name))
        share = max(1, len(order) // len(rates))
        return {name: (rates[min(i // share, len(rates) - 1)],) for i, name in enumerate(order)}
    by_person = choices.rate_rule == "per_person"
    keys = {name: f"person {person[name]}" if by_person and person[name] >= 0 else name for name in names}
    return {name: (rates[stable_hash(seed, key) % len(rates)],) for name, key in keys.items()}


def otsu_threshold(heights: npt.ArrayLike) -> int:
    """Height that best parts ``heights`` in two, by Otsu's rule (1979) on their logarithms.

    The threshold maximises the variance between the two groups; an image with fewer rows
    than it is in the lower one. Equal heights give that height, and nothing is below it.

    Args:
        heights: ``(N,)`` in pixels, N >= 1.

    Returns:
        Threshold in pixels: an image is LR if its height is below.
    """
    values, counts = np.unique(np.asarray(heights), return_counts=True)
    if len(values) < 2:
        return int(values[0])
    logs = np.log(values)
    weight = np.cumsum(counts)[:-1] / counts.sum()
    mean_low = np.cumsum(counts * logs)[:-1] / np.cumsum(counts)[:-1]
    mean_high = (logs @ counts - np.cumsum(counts * logs)[:-1]) / (counts.sum() - np.cumsum(counts)[:-1])
    best = int(np.argmax(weight * (1 - weight) * (mean_high - mean_low) ** 2))
    return math.ceil(math.sqrt(float(values[best]) * float(values[best + 1])))


def _by_field(dataset: Dataset) -> set[str]:
    for record in dataset.records:
        if record.resolution is None:
            raise DrfmError(f"{dataset.root / record.name}: no resolution is known of it; "
                            "lr_camera = resolution needs one for every image")  # fmt: skip
    return {record.name for record in dataset.records if record.resolution == "lr"}


def _by_height(records: Sequence[ImageRecord], given: int, sizes: Sizes) -> tuple[set[str], tuple[str, ...]]:
    heights = [sizes[record.name][0] for record in records]
    threshold = given or otsu_threshold(heights)
    low = {record.name for record, height in zip(records, heights, strict=True) if height < threshold}
    how = "given" if given else "Otsu's rule on log height"
    found = f"{len(low)} images below {threshold} px ({how}), {len(records) - len(low)} others"
    return low, (f"HR and LR told apart by height: {found}",)


def _by_area(dataset: Dataset, sizes: Sizes) -> tuple[set[str], tuple[str, ...]]:
    areas: dict[int, list[int]] = defaultdict(list)
    for record in dataset.records:
        height, width = sizes[record.name]
        areas[_camera(dataset, record, "smaller")].append(height * width)
    means = {camera: sum(values) / len(values) for camera, values in sorted(areas.items())}
    camera = min(means, key=lambda k: (means[k], k))
    shown = ", ".join(f"camera {k}: {mean:.0f} px" for k, mean in means.items())
    if len(means) < 2:
        raise DrfmError(f"{dataset.root}: only camera {camera}; lr_camera = smaller needs two")
    if max(means.values()) == means[camera]:
        raise DrfmError(
            f"{dataset.root}: lr_camera = smaller: the cameras have equal mean areas ({shown}); name one"
        )
    low = {record.name for record in dataset.records if record.camera == camera}
    return low, (f"LR camera {camera}, measured by mean area ({shown})",)


def _by_camera(dataset: Dataset, camera: int, rule: str) -> set[str]:
    # An image without a camera goes by its resolution where that is known (single-camera persons of CAVIAR).
    seen = [record for record in dataset.records if record.camera is not None or record.resolution is None]
    cameras = sorted({_camera(dataset, record, rule) for record in seen})
    if camera not in cameras:
        raise DrfmError(
            f"lr_camera = {rule}: {dataset.root} has no camera {camera}; its cameras are {cameras}"
        )
    if len(cameras) < 2:
        raise DrfmError(f"{dataset.root}: only camera {camera}; lr_camera = {rule} needs two")
    loose = {r.name for r in dataset.records if r.camera is None and r.resolution == "lr"}
    return loose | {record.name for record in seen if record.camera == camera}


def _by_person(dataset: Dataset, seed: int, rule: str) -> set[str]:
    cameras: dict[tuple[int, str], set[int]] = defaultdict(set)
    keys: dict[str, tuple[int, str]] = {}
    for record in dataset.records:
        if record.person >= 0:
            part = (record.split or "") if rule.endswith("per_split") else ""
            keys[record.name] = (record.person, part)
            cameras[record.person, part].add(_camera(dataset, record, rule))
    if not cameras:
        raise DrfmError(f"{dataset.root}: no persons are known; lr_camera = {rule} needs them")
    if len(set().union(*cameras.values())) < 2:
        raise DrfmError(f"{dataset.root}: only one camera; lr_camera = {rule} needs two")
    drawn = {
        key: sorted(seen)[stable_hash(seed, "camera", *key) % len(seen)] for key, seen in cameras.items()
    }
    return {
        record.name
        for record in dataset.records
        if record.name in keys and record.camera == drawn[keys[record.name]]
    }


def _camera(dataset: Dataset, record: ImageRecord, rule: str) -> int:
    if record.camera is None:
        raise DrfmError(f"{dataset.root / record.name}: its camera is not known; lr_camera = {rule} needs it "
                        "(choose height or resolution)")  # fmt: skip
    return record.camera
