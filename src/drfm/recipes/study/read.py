"""Studies from YAML: those of the package, and the user's own."""

from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from drfm.config.describe import show
from drfm.config.sources import parse_yaml, read_yaml
from drfm.config.values import suggest
from drfm.errors import DrfmError
from drfm.recipes.study.plan import FLOORS, SHOWS, Cell, Study


def study_names() -> list[str]:
    """Names of the studies that come with the package."""
    found = (Path(entry.name) for entry in files("drfm.recipes.study").joinpath("plans").iterdir())
    return sorted(path.stem for path in found if path.suffix == ".yaml")


def load_study(name: str) -> Study:
    """A study of the package by its name, or one of the user's by its YAML file.

    Raises:
        DrfmError: there is no such study, or the file does not describe one.
    """
    if name in study_names():
        text = files("drfm.recipes.study").joinpath("plans", f"{name}.yaml").read_text(encoding="utf-8")
        return _study(name, parse_yaml(text, f"study {name}"))
    if name.endswith((".yaml", ".yml")):
        return _study(Path(name).stem, read_yaml(Path(name)))
    mend = f"choose from {', '.join(study_names())}, or give a YAML file{suggest(name, study_names())}"
    raise DrfmError(f"study = {name}: no such study; {mend}")


def _study(name: str, text: Mapping[str, object]) -> Study:
    """Check what a file says."""
    known = {"title", "seeds", "cells", "show", "parameter", "values", "compare", "data"}
    for key in sorted(set(text) - known):
        raise DrfmError(f"study {name}: {key}: no such entry; choose from {', '.join(sorted(known))}")
    shown = str(text.get("show", "table"))
    if shown not in SHOWS:
        raise DrfmError(f"study {name}: show = {shown}: choose from {', '.join(SHOWS)}")
    cells = [_cell(name, str(title), entry) for title, entry in _mapping(name, text, "cells").items()]
    if not cells:
        raise DrfmError(f"study {name}: has no cells; name at least one, such as `cells: {{DRFM: {{}}}}`")
    parameter = str(text.get("parameter", ""))
    if shown == "parameter":
        cells = [_valued(name, cell, parameter, value) for cell in cells for value in _values(name, text)]
    names = [cell.name for cell in cells]
    for cell in cells:
        if cell.floor == "untrained" and cell.of not in names:
            raise DrfmError(f"study {name}: {cell.name}: of = {cell.of}: no such cell; name one with a model")
    folders = [cell.folder for cell in cells]
    if len(set(folders)) < len(folders):
        raise DrfmError(f"study {name}: two cells share a folder; give them names that differ in letters")
    compare = str(text.get("compare", names[-1]))
    if compare not in names:
        raise DrfmError(f"study {name}: compare = {compare}: no such cell; choose from {', '.join(names)}")
    seeds = text.get("seeds", [1, 2, 3])
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int for seed in seeds):
        raise DrfmError(f"study {name}: seeds = {seeds}: give a list of whole numbers, such as [1, 2, 3]")
    given = _mapping(name, text, "data")
    data = {key: _mapping(name, given, key) for key in given}
    title = str(text.get("title", name))
    return Study(name, title, tuple(cells), tuple(seeds), shown, parameter, compare, data)


def _cell(study: str, name: str, entry: Any) -> Cell:
    given = _mapping(study, {name: entry}, name)
    for key in sorted(set(given) - {"preset", "options", "floor", "of"}):
        raise DrfmError(f"study {study}: {name}: {key}: no such entry; a cell has preset, options, floor, of")
    floor = str(given.get("floor", ""))
    if floor and floor not in FLOORS:
        raise DrfmError(f"study {study}: {name}: floor = {floor}: choose from {', '.join(FLOORS)}")
    options = _mapping(study, given, "options")
    return Cell(name, str(given.get("preset", "")), options, floor, str(given.get("of", "")))


def _valued(study: str, cell: Cell, parameter: str, value: float) -> Cell:
    if not parameter:
        raise DrfmError(f"study {study}: show = parameter: name the option as `parameter:` and its `values:`")
    options = {**cell.options, parameter: value}
    return replace(cell, name=f"{cell.name} {parameter} {show(value)}", options=options, value=value)


def _values(study: str, text: Mapping[str, object]) -> list[float]:
    values = text.get("values")
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        raise DrfmError(f"study {study}: values = {values}: give a list of numbers")
    return values


def _mapping(study: str, text: Mapping[str, object], key: str) -> dict[str, Any]:
    found = text.get(key) or {}
    if not isinstance(found, Mapping):
        raise DrfmError(f"study {study}: {key} = {found}: give names and values")
    return dict(found)
