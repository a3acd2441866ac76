"""The manifest: choices, files with checksums, splits; and the door to a built benchmark."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast

from drfm.data.choices import BuildChoices
from drfm.data.parallel import map_files
from drfm.data.records import Benchmark, Entry, Resolution
from drfm.errors import DrfmError
from drfm.files import fingerprint, read_json, sha256_file, write_atomic, write_json

MANIFEST = "manifest.json"
SOURCE = "source.json"
"""Where untouched images lie on this machine, for ``storage = reference``; no part of the benchmark's id."""
FORMAT = 1
ORIGINAL = "images/original/"

_PARTS = ("train", "query", "gallery")


@dataclass(frozen=True, slots=True)
class FileRow:
    """One file in a manifest.

    Attributes:
        name: path below the benchmark's folder.
        sha256: of the file's bytes.
        source_sha256: of the image it was made from.
        bytes: size of the file.
        person, camera, resolution, rate, height, width: as in :class:`~drfm.data.records.Entry`.
    """

    name: str
    sha256: str
    source_sha256: str
    bytes: int
    person: int
    camera: int
    resolution: Resolution
    rate: int
    height: int
    width: int


_TYPES: dict[str, type] = {
    "name": str,
    "sha256": str,
    "source_sha256": str,
    "bytes": int,
    "person": int,
    "camera": int,
    "resolution": str,
    "rate": int,
    "height": int,
    "width": int,
}


def write_manifest(
    folder: Path,
    *,
    name: str,
    kind: str,
    choices: BuildChoices,
    files: Sequence[FileRow],
    splits: Sequence[Mapping[str, Sequence[int]]],
    notes: Sequence[str],
) -> Path:
    """Write ``manifest.json``, one file to a line; the same content gives the same bytes on every machine.

    Args:
        folder: the benchmark's folder.
        name: for people.
        kind: the data set's reader.
        choices: with nothing left open.
        files: sorted by name.
        splits: indices into ``files`` for train, query and gallery.
        notes: sentences for people.
    """
    head: dict[str, Any] = {
        "format": FORMAT,
        "name": name,
        "kind": kind,
        "seed": choices.seed,
        "choices": asdict(choices) | {"rates": list(choices.rates)},
        "notes": list(notes),
        "files": [asdict(row) for row in files],
    }
    identity = _identity(head)
    head["id"] = identity
    head["splits"] = [
        {"id": _split_id(identity, split), **{p: list(split[p]) for p in _PARTS}} for split in splits
    ]
    lines = [json.dumps(key) + ": " + _render(key, head[key]) for key in sorted(head)]
    path = folder / MANIFEST
    write_atomic(path, "{\n" + ",\n".join(lines) + "\n}\n")
    return path


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read and check a manifest: its fields, names, indices and its own id.

    Raises:
        DrfmError: missing, damaged, of another format, or changed by hand.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise DrfmError(f"{path}: no such file; build the benchmark first (drfm data build)")
    value = read_json(path)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise DrfmError(f"{path}: is no manifest of format {FORMAT}; build the benchmark again")
    try:
        _check_rows(value["files"], path)
        good = all(
            0 <= index < len(value["files"])
            for split in value["splits"]
            for part in _PARTS
            for index in split[part]
        )
        same = _identity(value) == value["id"] and all(
            _split_id(value["id"], split) == split["id"] for split in value["splits"]
        )
        str(value["name"]), list(value["notes"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, DrfmError):
            raise
        raise DrfmError(f"{path}: is damaged ({error!r}); build the benchmark again") from None
    if not good or not same:
        raise DrfmError(
            f"{path}: was changed after it was written (its id does not fit); build the benchmark again"
        )
    return value


def load_benchmark(folder: Path, split: int = 0, *, verify: bool = True) -> Benchmark:
    """Open one split of a built benchmark.

    Args:
        folder: what :func:`drfm.data.build.build_benchmark` wrote.
        split: index of the split.
        verify: read every file of the split and compare size and checksum.

    Raises:
        DrfmError: no manifest, a damaged one, no such split, or files that are missing or changed.
    """
    folder = Path(folder)
    value = read_manifest(folder)
    if not 0 <= split < len(value["splits"]):
        raise DrfmError(f"split = {split}: {folder} has splits 0 to {len(value['splits']) - 1}")
    chosen = value["splits"][split]
    rows = value["files"]
    used = sorted({index for part in _PARTS for index in chosen[part]})
    base = _original_base(folder, value)
    paths = {index: _path(folder, base, rows[index]["name"]) for index in used}
    if verify:
        verify_files([(paths[index], rows[index]) for index in used], folder)
    entries = {index: _entry(paths[index], rows[index]) for index in used}
    parts = {part: tuple(entries[index] for index in chosen[part]) for part in _PARTS}
    return Benchmark(
        id=chosen["id"],
        name=value["name"],
        root=folder,
        split=split,
        choices=value["choices"],
        train=parts["train"],
        query=parts["query"],
        gallery=parts["gallery"],
        notes=tuple(value["notes"]),
    )


def verify_files(files: Sequence[tuple[Path, Mapping[str, Any]]], folder: Path) -> None:
    """Compare files with their rows in the manifest.

    Raises:
        DrfmError: any is missing or differs; the line names the first and says how many.
    """
    wrong = [problem for problem in map_files(_problem, files, "verifying images") if problem]
    if wrong:
        more = f" ({len(wrong)} such files)" if len(wrong) > 1 else ""
        raise DrfmError(f"{wrong[0]}{more}; restore it, or build {folder} again")


def file_problems(folder: Path, value: Mapping[str, Any]) -> list[str]:
    """One line for each file of a manifest that is missing or changed."""
    base = _original_base(folder, value)
    files = [(_path(folder, base, row["name"]), row) for row in value["files"]]
    return [problem for problem in map_files(_problem, files, "verifying images") if problem]


def write_source(folder: Path, root: Path) -> None:
    """Remember where the untouched images of a ``storage = reference`` benchmark lie."""
    write_json(folder / SOURCE, {"root": str(root.resolve())})


def _original_base(folder: Path, value: Mapping[str, Any]) -> Path:
    if value["choices"].get("storage") != "reference":
        return folder / ORIGINAL
    source = read_json(folder / SOURCE)
    root = source.get("root") if isinstance(source, dict) else None
    if not isinstance(root, str) or not Path(root).is_dir():
        raise DrfmError(f"{folder / SOURCE}: root = {root}: no such folder; set it to the data set's folder")
    return Path(root)


def _path(folder: Path, base: Path, name: str) -> Path:
    return base / name.removeprefix(ORIGINAL) if name.startswith(ORIGINAL) else folder / name


def _problem(job: tuple[Path, Mapping[str, Any]]) -> str | None:
    path, row = job
    try:
        if path.stat().st_size != row["bytes"] or sha256_file(path) != row["sha256"]:
            return f"{path}: is not the file of the manifest (size or checksum differs)"
    except OSError as error:
        return f"{path}: cannot be read ({error.strerror})"
    return None


def _check_rows(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    for row in rows:
        for key, kind in _TYPES.items():
            if type(row[key]) is not kind:
                raise DrfmError(f"{path}: {key} = {row[key]!r} of a file is no {kind.__name__}")
        name = PurePosixPath(row["name"])
        if name.is_absolute() or ".." in name.parts or "\\" in row["name"] or "\0" in row["name"]:
            raise DrfmError(
                f"{path}: file name {row['name']!r} leads out of the benchmark; do not use this manifest"
            )
        if name.parts[:1] != ("images",) or row["resolution"] not in ("hr", "lr"):
            raise DrfmError(f"{path}: {row['name']!r} is no file of a benchmark; build it again")


def _entry(path: Path, row: Mapping[str, Any]) -> Entry:
    return Entry(
        path,
        row["name"],
        row["sha256"],
        row["person"],
        row["camera"],
        cast(Resolution, row["resolution"]),
        row["rate"],
        row["height"],
        row["width"],
    )


def _identity(value: Mapping[str, Any]) -> str:
    """Fingerprint of what decides results: not of the name, the notes or where files are stored."""
    choices = {key: item for key, item in value["choices"].items() if key not in {"name", "storage"}}
    return fingerprint([value["format"], value["kind"], choices, value["files"]])


def _split_id(identity: str, split: Mapping[str, Any]) -> str:
    return fingerprint([identity, *(list(split[part]) for part in _PARTS)])


def _render(key: str, value: Any) -> str:
    if key not in {"files", "splits"}:
        return json.dumps(value, sort_keys=True)
    lines = ",\n ".join(json.dumps(item, sort_keys=True, separators=(",", ":")) for item in value)
    return f"[\n {lines}\n]"
