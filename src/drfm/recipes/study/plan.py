"""What a study is: cells of a table, data sets, seeds, and from them the runs that it needs."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from drfm.config.load import Resolved, load_config
from drfm.data.manifest import load_benchmark
from drfm.errors import DrfmError

SHOWS = ("table", "parameter", "labels", "distances")
"""What is made of the runs, beside the table that every study has: nothing, Figures 4 and 5, 6, or 7."""
FAILED = "failed.json"
"""File in a study's folder: the runs that failed the last time, and why."""
FLOORS = ("pixels", "untrained")
"""Cells that need no training: raw pixels, and another cell's model before its first step."""


@dataclass(frozen=True)
class Cell:
    """One row of the table: a method or a variant of it.

    Attributes:
        name: as the table prints it.
        preset: preset of the method, under that of the study; empty for none.
        options: dotted names and values that make the variant; they win over every other layer.
        floor: empty, or one of :data:`FLOORS`.
        of: the cell whose untrained model is meant by ``floor: untrained``.
        value: of the parameter, in a study of one.
    """

    name: str
    preset: str = ""
    options: Mapping[str, object] = field(default_factory=dict)
    floor: str = ""
    of: str = ""
    value: float | None = None

    @property
    def folder(self) -> str:
        """Name of the cell's folder."""
        return re.sub(r"[^a-z0-9.+-]+", "-", self.name.lower()).strip("-")


@dataclass(frozen=True)
class Study:
    """A grid.

    Attributes:
        name: of the study.
        title: one line for people.
        cells: rows of the table.
        seeds: of the runs of each cell.
        show: one of :data:`SHOWS`.
        parameter: option that a study of a parameter turns.
        compare: cell that all others are compared with, by differences over the same seeds.
        data: options by name of a benchmark.
    """

    name: str
    title: str
    cells: tuple[Cell, ...]
    seeds: tuple[int, ...] = (1, 2, 3)
    show: str = "table"
    parameter: str = ""
    compare: str = ""
    data: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


@dataclass(frozen=True)
class Data:
    """A built benchmark that a study runs on.

    Attributes:
        name: as its manifest says.
        folder: where it lies.
        split: split of it.
        id: as its manifest says; runs of another benchmark or split are not taken for its own. Empty where
            it does not matter.
    """

    name: str
    folder: Path
    split: int = 0
    id: str = ""

    def made(self, benchmark: Mapping[str, object]) -> bool:
        """Whether a run with this entry ``benchmark`` in its record was of this benchmark and split."""
        return not self.id or (benchmark["id"], benchmark["split"]) == (self.id, self.split)


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        data: benchmark.
        cell: row of the table.
        seed: of the run.
        resolved: its complete configuration.
        run: its folder.
    """

    data: Data
    cell: Cell
    seed: int
    resolved: Resolved
    run: Path


def with_seeds(study: Study, seeds: Sequence[int]) -> Study:
    """The same study over other seeds."""
    return replace(study, seeds=tuple(seeds))


def open_data(folders: Sequence[Path], split: int = 0) -> list[Data]:
    """The benchmarks in ``folders``, by the names in their manifests.

    Raises:
        DrfmError: a folder holds no benchmark, or two have the same name.
    """
    opened = [load_benchmark(folder, split, verify=False) for folder in folders]
    found = [Data(each.name, folder, split, each.id) for each, folder in zip(opened, folders, strict=True)]
    for data in found:
        if sum(other.name == data.name for other in found) > 1:
            raise DrfmError(f"{data.folder}: there is another benchmark of the name {data.name}; rename one")
    return found


def jobs(
    study: Study, data: Sequence[Data], out: Path, preset: str, given: Mapping[str, object]
) -> list[Job]:
    """Every run that the study needs, the first seed of all cells first.

    A run's configuration is put together from the preset of its cell, that of the study, the study's
    options for its data set, those given by the user, and the cell's own, of which the last one wins.

    Raises:
        DrfmError: a layer names an unknown option or a value out of range.
    """
    needed = [cell for cell in study.cells if not cell.floor]
    made = []
    for seed in study.seeds:
        for each in data:
            for cell in needed:
                options = {**study.data.get(each.name, {}), **given, **cell.options, "seed": seed}
                layers = "+".join(name for name in (cell.preset, preset) if name)
                resolved = load_config(layers or "paper", overrides=options)
                run = out / each.name / cell.folder / f"seed{seed}"
                made.append(Job(each, cell, seed, resolved, run))
    return made
