"""Train, query and gallery of every split: official, from official test sets, or drawn from the seed."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from drfm.data.assign import Assignment, image_rates, stable_hash
from drfm.data.choices import BuildChoices
from drfm.data.records import DISTRACTOR, JUNK, Dataset, ImageRecord, Resolution
from drfm.errors import DrfmError

USUAL: dict[str, tuple[int, int]] = {
    "caviar": (10, 25),
    "viper": (10, 316),
    "prid2011": (10, 100),
    "grid": (10, 125),
    "cuhk03": (1, 100),
}
"""Number of splits and of test persons that the field uses, by data set."""

Role = Literal["train", "query", "test"]


@dataclass(frozen=True, order=True)
class PlannedFile:
    """One file of a benchmark before it is written: an image of the data set, as HR or LR, at a rate."""

    source: str
    resolution: Resolution
    rate: int

    @property
    def name(self) -> str:
        """Path in the manifest."""
        return (
            f"images/original/{self.source}" if self.rate == 1 else f"images/x{self.rate}/{self.source}.png"
        )


@dataclass(frozen=True)
class PlannedSplit:
    """Train, query and gallery of one split, each sorted."""

    train: tuple[PlannedFile, ...]
    query: tuple[PlannedFile, ...]
    gallery: tuple[PlannedFile, ...]


@dataclass(frozen=True)
class Plan:
    """All splits, with the choices that were left open filled in."""

    splits: tuple[PlannedSplit, ...]
    test_persons: int
    notes: tuple[str, ...]


def plan_splits(dataset: Dataset, assignment: Assignment, choices: BuildChoices) -> Plan:
    """Decide what every split holds.

    Raises:
        DrfmError: a person in train and test, more splits than there are, no HR or no LR training
            images, or labelled test persons without any query or gallery image.
    """
    records = [r for r in dataset.records if not _left_out(r, choices)]
    person = {record.name: record.person for record in records}
    variants = _Variants(
        assignment, image_rates(sorted(assignment.low & person.keys()), person, choices), choices
    )
    roles, test_persons, notes = _roles(dataset, records, variants, choices)
    splits = tuple(_split(records, role, variants, choices) for role in roles)
    for number, (split, role) in enumerate(zip(splits, roles, strict=True)):
        _check(dataset, role, split, number, choices)
    return Plan(splits, test_persons, tuple(notes))


class _Variants:
    """The HR and LR forms of an image in training and in a test."""

    def __init__(
        self, assignment: Assignment, rates: dict[str, tuple[int, ...]], choices: BuildChoices
    ) -> None:
        self.assignment = assignment
        self.rates = rates
        self.train_lr = choices.train_lr

    def low(self, name: str) -> list[PlannedFile]:
        if name not in self.assignment.low:
            return []
        rates = self.rates[name] if self.assignment.downsample else (1,)
        return [PlannedFile(name, "lr", rate) for rate in rates]

    def high(self, name: str) -> list[PlannedFile]:
        sharp = name not in self.assignment.low or self.assignment.both
        return [PlannedFile(name, "hr", 1)] if sharp else []

    def train(self, name: str) -> list[PlannedFile]:
        low, high = self.low(name), self.high(name)
        if low and self.train_lr != "downsample" and self.assignment.downsample:
            high = [PlannedFile(name, "hr", 1)]
            low = low if self.train_lr == "both" else []
        return low + high


def _left_out(record: ImageRecord, choices: BuildChoices) -> bool:
    return (record.person == JUNK and not choices.junk) or (
        record.person == DISTRACTOR and not choices.distractors
    )


def _roles(
    dataset: Dataset, records: Sequence[ImageRecord], variants: _Variants, choices: BuildChoices
) -> tuple[list[dict[str, Role]], int, list[str]]:
    known = {record.person for record in records if record.person >= 0}
    if not known:
        train: dict[str, Role] = {r.name: "train" for r in records if r.split in (None, "train")}
        return [train], 0, ["no persons are known: training images only"]
    if any(record.split is not None for record in records):
        if choices.splits > 1:
            raise DrfmError(
                f"splits = {choices.splits}: {dataset.root} comes with one split of its own; give 0 or 1"
            )
        official: dict[str, Role] = {
            r.name: {"train": "train", "query": "query", "gallery": "test"}[r.split or "train"]  # type: ignore[misc]
            for r in records
        }
        return [official], len({r.person for r in records if r.split == "gallery" and r.person >= 0}), []
    return _drawn_roles(dataset, records, known, variants, choices)


def _drawn_roles(
    dataset: Dataset,
    records: Sequence[ImageRecord],
    known: set[int],
    variants: _Variants,
    choices: BuildChoices,
) -> tuple[list[dict[str, Role]], int, list[str]]:
    high = {r.person for r in records if variants.high(r.name)}
    low = {r.person for r in records if variants.low(r.name)}
    paired = known & high & low
    usual_splits, usual_persons = USUAL.get(dataset.kind, (1, 0))
    splits = choices.splits or min(usual_splits, len(dataset.test_sets) or usual_splits)
    single = known - paired
    notes = []
    if single and not dataset.test_sets:
        done = "dropped" if choices.single_camera == "drop" else "always in training"
        notes.append(f"{len(single)} persons with images of one resolution only: {done}")
    if dataset.test_sets:
        if splits > len(dataset.test_sets):
            raise DrfmError(
                f"splits = {splits}: {dataset.root} has {len(dataset.test_sets)} official test sets"
            )
        tests = [set(test) & known for test in dataset.test_sets[:splits]]
    else:
        half = len(paired) // 2
        count = choices.test_persons or min(usual_persons or half, half)
        if count >= len(paired) and paired:
            raise DrfmError(f"test_persons = {count}: {dataset.root} has {len(paired)} persons with HR and "
                            "LR images; leave some to train on")  # fmt: skip
        if count == 0:
            notes.append("fewer than two persons with HR and LR images: training images only")
        tests = [_draw(paired, count, choices.seed, number) for number in range(splits if count else 1)]
    dropped = single if choices.single_camera == "drop" and not dataset.test_sets and paired else set()
    return [_by_test_set(records, test, dropped) for test in tests], len(tests[0]), notes


def _draw(persons: set[int], count: int, seed: int, number: int) -> set[int]:
    return set(sorted(persons, key=lambda p: (stable_hash(seed, "split", number, p), p))[:count])


def _by_test_set(records: Sequence[ImageRecord], test: set[int], dropped: set[int]) -> dict[str, Role]:
    roles: dict[str, Role] = {}
    for record in records:
        if record.person in test or record.person in (DISTRACTOR, JUNK):
            roles[record.name] = "test"
        elif record.person not in dropped:
            roles[record.name] = "train"
    return roles


def _split(
    records: Sequence[ImageRecord], role: dict[str, Role], variants: _Variants, choices: BuildChoices
) -> PlannedSplit:
    parts: dict[str, list[PlannedFile]] = defaultdict(list)
    official = any(record.split is not None for record in records)
    queries = set(choices.query_from.split("+")) if official else {"test"}
    galleries = set(choices.gallery_from.split("+"))
    for record in records:
        where = role.get(record.name)
        if where == "train" and record.person not in (DISTRACTOR, JUNK):
            parts["train"] += variants.train(record.name)
        if where not in ("query", "test"):
            continue
        low, high = variants.low(record.name), variants.high(record.name)
        if record.person >= 0 and where in queries:
            parts["query"] += low if choices.query_resolution == "lr" else low + high
        if where in galleries:
            parts["gallery"] += high if choices.gallery_resolution == "hr" else low + high
    return PlannedSplit(*(tuple(sorted(parts[part])) for part in ("train", "query", "gallery")))


def _check(
    dataset: Dataset, role: dict[str, Role], split: PlannedSplit, number: int, choices: BuildChoices
) -> None:
    """Raise on anything that would spoil a result of this split."""
    person = {record.name: record.person for record in dataset.records}
    trained = {person[file.source] for file in split.train if person[file.source] >= 0}
    tested = {person[name] for name, where in role.items() if where != "train" and person[name] >= 0}
    shared = sorted(trained & tested)
    if shared:
        raise DrfmError(f"{dataset.root}: person {shared[0]} is in train and test of split {number} "
                        f"({len(shared)} such persons); give each person to one of them")  # fmt: skip
    counts = {res: sum(file.resolution == res for file in split.train) for res in ("hr", "lr")}
    if not split.train:
        raise DrfmError(f"{dataset.root}: split {number} has no training images")
    if counts["hr"] == 0 or (counts["lr"] == 0 and choices.train_lr != "keep_hr"):
        missing, other = ("HR", "LR") if counts["hr"] == 0 else ("LR", "HR")
        raise DrfmError(f"{dataset.root}: split {number} has no {missing} training images, all "
                        f"{len(split.train)} are {other}; choose another lr_camera (every makes "
                        "an LR image of each) or height_threshold")  # fmt: skip
    if tested and not (split.query and split.gallery):
        part = "query" if not split.query else "gallery"
        raise DrfmError(f"{dataset.root}: split {number} has {len(tested)} test persons and no {part} "
                        f"images; look at {part}_from and lr_camera")  # fmt: skip
