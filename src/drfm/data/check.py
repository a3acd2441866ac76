"""What is in a data set or a built benchmark, and what is wrong with it."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from drfm.data.assign import otsu_threshold
from drfm.data.imagefile import decode_image, is_image_name, read_image_bytes
from drfm.data.listing import require_folder
from drfm.data.manifest import MANIFEST, file_problems, read_manifest
from drfm.data.parallel import map_files
from drfm.data.readers import read_dataset
from drfm.data.records import DISTRACTOR, JUNK, UNKNOWN, Dataset, ImageRecord
from drfm.errors import DrfmError

_SHOWN = 20  # files of one problem that the text names; the report holds them all
_EXPECTED = (".txt", ".mat", ".csv", ".md", ".json", ".db", ".pdf")


@dataclass(frozen=True)
class Report:
    """What a check found.

    Attributes:
        title: what was checked.
        facts: what there is, one line each.
        warnings: what is unusual and does no harm by itself.
        problems: what stops a build or spoils a result, one line each.
        counts: numbers behind the facts.
    """

    title: str
    facts: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether there are no problems."""
        return not self.problems

    def text(self) -> str:
        """Plain lines for a terminal; long lists of problems and warnings are cut."""
        lines = [self.title, *(f"  {fact}" for fact in self.facts)]
        for word, items in (("warning", self.warnings), ("problem", self.problems)):
            lines += [f"  {word}: {item}" for item in items[:_SHOWN]]
            if len(items) > _SHOWN:
                lines.append(f"  {word}: and {len(items) - _SHOWN} more")
        lines.append("  no problems" if self.ok else f"  {len(self.problems)} problems")
        return "\n".join(lines)


def check_dataset(root: Path, kind: str = "auto", *, workers: int = 0, **options: object) -> Report:
    """Decode every image of a data set, or verify every file of a built benchmark.

    Args:
        root: the data set's folder or list, or a benchmark's folder.
        kind: reader of the data set; ``auto`` also recognises a benchmark.
        workers: threads; 0 means one per core.
        options: of the reader.

    Raises:
        DrfmError: there is nothing to check: a missing or empty folder, or a layout no reader knows.
    """
    root = Path(root)
    if kind == "auto" and (root / MANIFEST).is_file():
        return check_benchmark(root)
    dataset = read_dataset(kind, root, **options)
    records = dataset.records
    seen = map_files(_look, [dataset.root / record.name for record in records], "checking images", workers)
    problems = [look for look in seen if isinstance(look, str)]
    good = [(record, look) for record, look in zip(records, seen, strict=True) if isinstance(look, _Look)]
    facts = [*_count_facts(records), *_size_facts([look for _, look in good]), *dataset.notes]
    problems += _persons_in_both(records)
    double, across = _duplicates(good)
    warnings = [*double, *_single_camera(records), *_other_files(dataset)]
    counts = {"images": len(records), "unusable": sum(isinstance(look, str) for look in seen)}
    counts["persons"] = len({record.person for record in records if record.person >= 0})
    title = f"{dataset.root}: {dataset.kind}, {len(records)} images"
    return Report(title, tuple(facts), tuple(warnings), tuple(problems + across), counts)


def check_benchmark(folder: Path) -> Report:
    """Verify a built benchmark: its manifest, every file, and that no person is in train and test.

    Raises:
        DrfmError: there is no manifest, or it is damaged.
    """
    value = read_manifest(require_folder(Path(folder)))
    rows = value["files"]
    problems = file_problems(Path(folder), value)
    facts = [f"{key} = {item}" for key, item in sorted(value["choices"].items())] + value["notes"]
    for number, split in enumerate(value["splits"]):
        parts = {part: [rows[i] for i in split[part]] for part in ("train", "query", "gallery")}
        shown = ", ".join(
            f"{part} {len(items)} ({sum(r['resolution'] == 'lr' for r in items)} LR, "
            f"{len({r['person'] for r in items if r['person'] >= 0})} persons)"
            for part, items in parts.items()
        )
        facts.append(f"split {number} [{split['id']}]: {shown}")
        tested = {r["person"] for part in ("query", "gallery") for r in parts[part]}
        both = sorted({r["person"] for r in parts["train"] if r["person"] >= 0} & tested)
        problems += [f"split {number}: person {person} is in train and test" for person in both]
    rates = Counter(row["rate"] for row in rows)
    facts.append("images by rate: " + ", ".join(f"{rate}: {count}" for rate, count in sorted(rates.items())))
    title = f"{folder}: benchmark {value['name']} [{value['id']}], {len(rows)} images"
    return Report(title, tuple(facts), (), tuple(problems), {"images": len(rows), "unusable": len(problems)})


@dataclass(frozen=True, slots=True)
class _Look:
    height: int
    width: int
    digest: bytes


def _look(path: Path) -> _Look | str:
    try:
        data = read_image_bytes(path)
        height, width, _ = decode_image(data, path).shape
    except DrfmError as error:
        return str(error)
    return _Look(height, width, hashlib.sha256(data).digest())


def _count_facts(records: Sequence[ImageRecord]) -> Iterable[str]:
    persons = Counter(record.person for record in records if record.person >= 0)
    if persons:
        each = list(persons.values())
        yield f"{len(persons)} persons, {min(each)} to {max(each)} images each"
    for label, what in ((UNKNOWN, "without a person"), (JUNK, "junk"), (DISTRACTOR, "distractors")):
        count = sum(record.person == label for record in records)
        if count:
            yield f"{count} images {what}"
    for title, values in (
        ("split", Counter(record.split for record in records)),
        ("camera", Counter(record.camera for record in records)),
        ("resolution", Counter(record.resolution for record in records)),
    ):
        if set(values) == {None}:
            yield f"no {title} is known"
        else:
            ordered = sorted(values.items(), key=lambda item: (item[0] is None, str(item[0])))
            shown = ", ".join(f"{'unknown' if key is None else key}: {count}" for key, count in ordered)
            yield f"images by {title}: {shown}"


def _size_facts(looks: Sequence[_Look]) -> Iterable[str]:
    if not looks:
        return
    heights = np.array([look.height for look in looks])
    low, middle, high = (int(v) for v in np.quantile(heights, (0.05, 0.5, 0.95)))
    yield f"heights {heights.min()} to {heights.max()} px (5 %: {low}, median: {middle}, 95 %: {high})"
    widths = np.array([look.width for look in looks])
    yield f"widths {widths.min()} to {widths.max()} px"
    if heights.min() < heights.max():
        threshold = otsu_threshold(heights)
        below = int((heights < threshold).sum())
        yield f"by height alone (Otsu, {threshold} px): {below} LR and {len(looks) - below} HR images"


def _persons_in_both(records: Sequence[ImageRecord]) -> list[str]:
    trained = {r.person for r in records if r.split == "train" and r.person >= 0}
    tested = {r.person for r in records if r.split in ("query", "gallery") and r.person >= 0}
    return [f"person {person} is in train and test" for person in sorted(trained & tested)]


def _duplicates(good: Sequence[tuple[ImageRecord, _Look]]) -> tuple[list[str], list[str]]:
    """Files with the same bytes: within one part a warning, across train and test a problem."""
    groups: dict[bytes, list[ImageRecord]] = defaultdict(list)
    for record, look in good:
        groups[look.digest].append(record)
    within, across = [], []
    for group in groups.values():
        if len(group) > 1:
            names = ", ".join(record.name for record in group[:3]) + (", ..." if len(group) > 3 else "")
            sides = {record.split == "train" for record in group if record.split is not None}
            if len(sides) > 1:
                across.append(f"same bytes in train and test: {names}")
            else:
                within.append(f"same bytes: {names}")
    return within, across


def _single_camera(records: Sequence[ImageRecord]) -> list[str]:
    cameras: dict[int, set[int | None]] = defaultdict(set)
    for record in records:
        if record.person >= 0:
            cameras[record.person].add(record.camera)
    if not cameras or all(seen == {None} for seen in cameras.values()):
        return []
    single = sum(len(seen) == 1 for seen in cameras.values())
    return [f"{single} of {len(cameras)} persons were seen by one camera only"] if single else []


def _other_files(dataset: Dataset) -> list[str]:
    others = [
        path.relative_to(dataset.root).as_posix()
        for path in sorted(dataset.root.rglob("*"))
        if path.is_file() and not is_image_name(path.name) and not path.name.startswith(".")
    ]
    unexpected = [name for name in others if not name.lower().endswith(_EXPECTED)]
    return [f"{len(unexpected)} files that are no images, such as {unexpected[0]}"] if unexpected else []
