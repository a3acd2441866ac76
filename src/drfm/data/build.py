"""From a data set on disk to a cross-resolution benchmark in a folder."""

import json
from dataclasses import asdict, replace
from pathlib import Path

from drfm.data.assign import Assignment, Sizes, assign_resolution, needs_sizes, resolve_rule
from drfm.data.choices import BuildChoices
from drfm.data.imagefile import image_size, open_image
from drfm.data.manifest import MANIFEST, read_manifest, write_manifest, write_source
from drfm.data.parallel import map_files
from drfm.data.records import Dataset
from drfm.data.splits import Plan, PlannedFile, plan_splits
from drfm.data.writing import JOURNAL, unfinished_build, write_files
from drfm.errors import DrfmError
from drfm.files import fingerprint, folder_lock

TITLES = {
    "market1501": "Market-1501",
    "cuhk03": "CUHK03",
    "cuhk03-np": "CUHK03-NP",
    "caviar": "CAVIAR",
    "viper": "VIPeR",
    "msmt17": "MSMT17",
    "prid2011": "PRID2011",
    "grid": "GRID",
}


def build_benchmark(
    dataset: Dataset, out: Path, choices: BuildChoices, *, workers: int = 0, skip_bad: bool = False
) -> Path:
    """Write a benchmark: images, down-sampled where the choices say so, and last its manifest.

    The same data set, choices and seed give the same bytes, in whatever order files are
    listed and however many threads work. A build that was killed goes on where it stopped.

    Args:
        dataset: what a reader found.
        out: folder to write; new, empty, or of an earlier build with the same choices.
        choices: every choice.
        workers: threads; 0 means one per core.
        skip_bad: leave out files that are no usable images, and say so in the notes.

    Returns:
        Path of the manifest.

    Raises:
        DrfmError: unusable files (unless skipped), choices that do not fit the data set, or a folder in use.
    """
    out = Path(out)
    _check_place(dataset, out)
    notes = list(dataset.notes)
    if skip_bad:
        dataset, skipped = _without_bad(dataset, workers)
        notes += skipped
    assignment = _assign(dataset, choices, workers)
    plan = plan_splits(dataset, assignment, choices)
    settled = _settle(choices, assignment, plan)
    files = sorted({f for s in plan.splits for f in (*s.train, *s.query, *s.gallery)}, key=_name)
    with folder_lock(out):
        key = fingerprint([dataset.kind, str(dataset.root.resolve()), asdict(choices)])
        _check_earlier(out, dataset, settled, key)
        rows, errors = write_files(dataset, out, settled, files, key=key, workers=workers)
        _refuse_bad(dataset, errors)
        if choices.storage == "reference":
            write_source(out, dataset.root)
        index = {file: number for number, file in enumerate(files)}
        path = write_manifest(
            out,
            name=choices.name or _title(dataset, assignment),
            kind=dataset.kind,
            choices=settled,
            files=rows,
            splits=[
                {
                    "train": [index[f] for f in s.train],
                    "query": [index[f] for f in s.query],
                    "gallery": [index[f] for f in s.gallery],
                }
                for s in plan.splits
            ],
            notes=[*notes, *assignment.notes, *plan.notes],
        )
        (out / JOURNAL).unlink(missing_ok=True)
    return path


def _assign(dataset: Dataset, choices: BuildChoices, workers: int) -> Assignment:
    rule = resolve_rule(dataset, choices)
    sizes: Sizes = {}
    if needs_sizes(rule):
        found = map_files(
            _measure, [dataset.root / r.name for r in dataset.records], "measuring images", workers
        )
        _refuse_bad(dataset, [size for size in found if isinstance(size, DrfmError)])
        sizes = {
            r.name: s for r, s in zip(dataset.records, found, strict=True) if not isinstance(s, DrfmError)
        }
    return assign_resolution(dataset, rule, choices, sizes)


def _measure(path: Path) -> tuple[int, int] | DrfmError:
    try:
        return image_size(path)
    except DrfmError as error:
        return error


def _decodes(path: Path) -> DrfmError | None:
    try:
        open_image(path)
    except DrfmError as error:
        return error
    return None


def _without_bad(dataset: Dataset, workers: int) -> tuple[Dataset, list[str]]:
    paths = [dataset.root / record.name for record in dataset.records]
    problems = map_files(_decodes, paths, "checking images", workers)
    good = tuple(r for r, problem in zip(dataset.records, problems, strict=True) if problem is None)
    bad = [r.name for r, problem in zip(dataset.records, problems, strict=True) if problem is not None]
    if not good:
        raise DrfmError(f"{dataset.root}: none of {len(bad)} files is a usable image")
    return replace(dataset, records=good), [f"skipped, no usable image: {name}" for name in bad]


def _refuse_bad(dataset: Dataset, errors: list[DrfmError]) -> None:
    if errors:
        more = f"; {len(errors)} such files in {dataset.root}" if len(errors) > 1 else ""
        raise DrfmError(f"{errors[0]}{more}; drfm data check lists them, --skip-bad leaves them out")


def _settle(choices: BuildChoices, assignment: Assignment, plan: Plan) -> BuildChoices:
    """Fill in what the choices left open, so that two ways to ask for one thing give one manifest."""
    return replace(
        choices,
        lr_camera=assignment.rule,
        downsample="always" if assignment.downsample else "never",
        splits=len(plan.splits),
        test_persons=plan.test_persons,
    )


def _check_place(dataset: Dataset, out: Path) -> None:
    root = dataset.root.resolve()
    if out.resolve() == root or out.resolve().is_relative_to(root):
        raise DrfmError(f"{out}: lies inside the data set {dataset.root}; choose a folder outside of it")
    if out.exists() and not out.is_dir():
        raise DrfmError(f"{out}: is a file; choose a folder")
    if out.is_dir() and not (out / MANIFEST).exists() and not (out / JOURNAL).exists():
        other = [path.name for path in out.iterdir() if path.name != ".lock"]
        if other:
            raise DrfmError(f"{out}: is not empty ({other[0]}) and no benchmark; choose a new folder")
    for record in dataset.records:
        if "\\" in record.name or "\0" in record.name or ".." in record.name.split("/"):
            raise DrfmError(
                f"{record.name!r}: a name with \\ or .. cannot go into a manifest; rename the file"
            )


def _check_earlier(out: Path, dataset: Dataset, choices: BuildChoices, key: str) -> None:
    """Refuse to mix this build with an unfinished or finished one of other choices."""
    if unfinished_build(out) not in (None, key):
        raise DrfmError(f"{out}: holds an unfinished build with other choices; "
                        "remove it or choose another folder")  # fmt: skip
    if (out / MANIFEST).exists():
        old = read_manifest(out)
        mine = json.loads(json.dumps(asdict(choices)))
        if old["kind"] != dataset.kind or old["choices"] != mine:
            raise DrfmError(
                f"{out}: holds the benchmark {old['id']} with other choices; "
                "remove it or choose another folder"
            )


def _title(dataset: Dataset, assignment: Assignment) -> str:
    title = TITLES.get(dataset.kind, dataset.root.resolve().name)
    return f"MLR-{title}" if assignment.downsample else title


def _name(file: PlannedFile) -> str:
    return file.name
