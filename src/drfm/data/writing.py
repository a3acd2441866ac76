"""Writing the files of a benchmark, with a journal so that a killed build goes on where it stopped."""

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from drfm.data.choices import BuildChoices
from drfm.data.degrade import downsample
from drfm.data.imagefile import decode_image, read_image_bytes
from drfm.data.manifest import FileRow
from drfm.data.parallel import map_files
from drfm.data.png import encode_png
from drfm.data.records import Dataset, ImageRecord
from drfm.data.splits import PlannedFile
from drfm.errors import DrfmError
from drfm.files import write_error

JOURNAL = ".build.jsonl"
"""Rows of the files that an unfinished build has written; removed when the manifest stands."""


@dataclass(frozen=True)
class _Job:
    file: PlannedFile
    source: Path
    target: Path | None
    choices: BuildChoices
    person: int
    camera: int


def write_files(
    dataset: Dataset,
    out: Path,
    choices: BuildChoices,
    files: Sequence[PlannedFile],
    *,
    key: str,
    workers: int,
) -> tuple[list[FileRow], list[DrfmError]]:
    """Write the files of a benchmark that are not there yet.

    Args:
        dataset: where the images come from.
        out: the benchmark's folder, held by this process.
        choices: kernel, rounding and storage.
        files: what to write.
        key: of the build; rows of an earlier build with this key are taken over.
        workers: threads; 0 means one per core.

    Returns:
        A row for each file in order, and one error for each file whose image is of no use;
        the rows are complete only where there are no errors.

    Raises:
        DrfmError: the disk is full or the folder cannot be written.
    """
    records = {record.name: record for record in dataset.records}
    jobs = [_job(dataset, records, out, choices, file) for file in files]
    done = dict(_read_journal(out, key))
    todo = [job for job in jobs if job.file.name not in done or not _in_place(job, done[job.file.name])]
    errors: list[DrfmError] = []
    try:
        with (out / JOURNAL).open("w", encoding="utf-8") as journal:
            journal.write(json.dumps({"build": key}) + "\n")
            journal.writelines(_line(row) for row in done.values())
            journal.flush()
            for folder in sorted({job.target.parent for job in todo if job.target}):
                folder.mkdir(parents=True, exist_ok=True)

            def note(result: FileRow | DrfmError) -> None:
                if isinstance(result, DrfmError):
                    errors.append(result)
                else:
                    journal.write(_line(result))
                    done[result.name] = result

            map_files(_make, todo, "building images", workers, note)
    except OSError as error:
        raise write_error(out / JOURNAL, error) from error
    return [done[file.name] for file in files if file.name in done], errors


def unfinished_build(out: Path) -> str | None:
    """Key of the build that was stopped in ``out``, or ``None`` where there is none."""
    with contextlib.suppress(FileNotFoundError), (out / JOURNAL).open(encoding="utf-8") as file:
        key = _parse(file.readline()).get("build")
        return key if isinstance(key, str) else None
    return None


def _job(
    dataset: Dataset, records: dict[str, ImageRecord], out: Path, choices: BuildChoices, file: PlannedFile
) -> _Job:
    record = records[file.source]
    camera = -1 if record.camera is None else record.camera
    stays = choices.storage == "reference" and file.rate == 1
    return _Job(
        file, dataset.root / file.source, None if stays else out / file.name, choices, record.person, camera
    )


def _line(row: FileRow) -> str:
    return json.dumps(asdict(row)) + "\n"


def _make(job: _Job) -> FileRow | DrfmError:
    """Read, decode, down-sample and write one file; a bad image comes back as its error."""
    try:
        data = read_image_bytes(job.source)
        image = decode_image(data, job.source)
    except DrfmError as error:
        return error
    source_sha256 = hashlib.sha256(data).hexdigest()
    if job.file.rate > 1:
        image = downsample(image, job.file.rate, job.choices.kernel, job.choices.rounding)
        data = encode_png(image)
    if job.target is not None:
        _place(job.target, data)
    return FileRow(
        name=job.file.name,
        sha256=hashlib.sha256(data).hexdigest(),
        source_sha256=source_sha256,
        bytes=len(data),
        person=job.person,
        camera=job.camera,
        resolution=job.file.resolution,
        rate=job.file.rate,
        height=image.shape[0],
        width=image.shape[1],
    )


def _place(path: Path, data: bytes) -> None:
    """Write and rename, without waiting for the disk: the manifest's checksums vouch for the file."""
    part = path.with_name(f".{path.name[:200]}.{os.getpid()}.{threading.get_ident()}")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise write_error(path, error) from error


def _in_place(job: _Job, row: FileRow) -> bool:
    """Whether an unfinished build wrote this file, whole, and from the image as it is now."""
    same = (row.resolution, row.person, row.camera) == (job.file.resolution, job.person, job.camera)
    if job.target is None or not same:
        return False
    with contextlib.suppress(OSError):
        written, source = job.target.stat(), job.source.stat()
        newer = max(source.st_mtime_ns, source.st_ctime_ns) <= written.st_mtime_ns
        return newer and written.st_size == row.bytes
    return False


def _read_journal(out: Path, key: str) -> Iterator[tuple[str, FileRow]]:
    if unfinished_build(out) == key:
        with (out / JOURNAL).open(encoding="utf-8") as file:
            file.readline()
            yield from _rows(file)


def _rows(lines: Iterable[str]) -> Iterator[tuple[str, FileRow]]:
    for line in lines:
        with contextlib.suppress(TypeError):  # the last line of a killed build may be cut short
            row = FileRow(**_parse(line))
            yield row.name, row


def _parse(line: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        value = json.loads(line)
        if isinstance(value, dict):
            return value
    return {}
