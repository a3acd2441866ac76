"""`drfm data`: make a benchmark of a data set, and say what is wrong with one."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from drfm.cli.options import BuildOptions
from drfm.cli.output import say
from drfm.config.describe import describe
from drfm.config.values import convert
from drfm.data.choices import BuildChoices, preset_choices
from drfm.errors import DrfmError

app = App(name="data", help="Make a cross-resolution benchmark of a data set, and check one.")


@app.command
def build(
    dataset: Path,
    /,
    *,
    out: Path,
    kind: str = "auto",
    preset: str = "drfm",
    boxes: str | None = None,
    workers: int = 0,
    skip_bad: Annotated[bool, Parameter(negative=())] = False,
    choices: Annotated[BuildOptions, Parameter(name="*")] = BuildOptions(),  # noqa: B008 - frozen
) -> None:
    """Build a cross-resolution benchmark: sharp galleries, blurry queries, training images of both.

    A build that was stopped goes on with the same command. The same data set and choices
    give the same bytes.

    Args:
        dataset: Folder of the data set as its authors distribute it, or a CSV list.
        out: Folder for the benchmark.
        kind: Name of the data set's reader; `auto` goes by the layout.
        preset: Choices of earlier work: drfm, ordinary, sing, pshrnet, mdiff, prpr, vpfa, cadnet-dev.
        boxes: Of CUHK03 alone: detected, labelled or both.
        workers: Threads; 0 means one per core.
        skip_bad: Leave out files that are no usable images, and list them, instead of stopping.
        choices: Single choices, over the preset.
    """
    from drfm.data.build import build_benchmark
    from drfm.data.readers import read_dataset

    found = read_dataset(kind, dataset, **_reader_options(boxes))
    known = describe(BuildChoices)
    changes = {name: convert(known[name], text, "command line") for name, text in choices.overrides().items()}
    settled = preset_choices(preset, found.kind, **changes)
    build_benchmark(found, out, settled, workers=workers, skip_bad=skip_bad)
    say(summary(out))


@app.command
def check(path: Path, /, *, kind: str = "auto", boxes: str | None = None, workers: int = 0) -> None:
    """Decode every image of a data set, or verify every file of a benchmark, and say what was found.

    Ends with code 2 if there is anything to mend.

    Args:
        path: Folder of a data set, a CSV list, or a folder that `drfm data build` made.
        kind: Name of the data set's reader; `auto` goes by the layout.
        boxes: Of CUHK03 alone: detected, labelled or both.
        workers: Threads; 0 means one per core.
    """
    from drfm.data.check import check_dataset

    report = check_dataset(path, kind, workers=workers, **_reader_options(boxes))
    say(report.text())
    if not report.ok:
        raise DrfmError(f"{path}: {len(report.problems)} problem(s), listed above; mend them and check again")


def _reader_options(boxes: str | None) -> dict[str, object]:
    return {} if boxes is None else {"boxes": boxes}


def summary(folder: Path) -> str:
    """What a benchmark holds: name and id, images of the first split, number of splits, notes."""
    from drfm.data.manifest import load_benchmark, read_manifest

    first = load_benchmark(folder, 0, verify=False)
    lines = [
        f"{first.name} in {folder}",
        f"{len(read_manifest(folder)['splits'])} split(s); split 0 has id {first.id}",
    ]
    for part in ("train", "query", "gallery"):
        entries = getattr(first, part)
        sharp = sum(entry.resolution == "hr" for entry in entries)
        people = len({entry.person for entry in entries if entry.person >= 0})
        lines.append(
            f"  {part:<8}{len(entries):>7} images: {sharp} HR, {len(entries) - sharp} LR; "
            + (f"{people} persons" if people else "no persons known")
        )
    return "\n".join([*lines, *(f"note: {note}" for note in first.notes)])
