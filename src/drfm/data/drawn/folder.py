"""A folder of drawn pedestrians with Market-style names."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE
from typing import IO

from drfm.data.drawn.shot import Camera, capture
from drfm.errors import DrfmError
from drfm.files import read_json, write_error, write_json
from drfm.progress import track

_STAMP = "drawn.json"
_VERSION = 1
_CHUNK = 16

Job = tuple[str, int, Camera, int, int]
"""File to write, person, camera, shot, seed."""


def draw_file(job: Job) -> None:
    """Draw one picture into its file."""
    path, person, camera, shot, seed = job
    Path(path).write_bytes(capture(person, camera, shot, seed))


def _run(jobs: list[Job], workers: int) -> Iterator[None]:
    """Draw all jobs; one item for each."""
    if workers == 1:
        yield from map(draw_file, jobs)
        return
    command = [sys.executable, "-m", "drfm.data.drawn.worker"]
    paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    processes: list[subprocess.Popen[str]] = []
    try:
        for first in range(workers):
            process = subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True, env=os.environ | paths)  # noqa: S603
            processes.append(process)
            with suppress(BrokenPipeError), _open(process.stdin) as pipe:  # noticed below
                json.dump(jobs[first::workers], pipe)
        for number in range(len(jobs)):
            process = processes[number % workers]
            line = _open(process.stdout).readline()
            if not line:
                raise DrfmError(f"drawing stopped: a worker process ended with code {process.wait()}")
            if code := int(line):
                raise OSError(code, os.strerror(code))
            yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
            _open(process.stdout).close()


def _open(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise DrfmError("drawing stopped: a worker process has no pipe")
    return pipe


def _jobs(folder: Path, persons: Iterable[int], shots: int, seed: int) -> list[Job]:
    cameras: tuple[Camera, Camera] = (0, 1)
    return [
        (str(folder / f"{person:04d}_c{camera + 1}_{shot:03d}.jpg"), person, camera, shot, seed)
        for person in persons
        for camera in cameras
        for shot in range(shots)
    ]


def draw_dataset(
    out: Path, *, persons: int, shots: int, test_persons: int, seed: int = 0, workers: int = 0
) -> Path:
    """Draw a data set: ``out/train`` and ``out/test`` with names such as ``0007_c1_002.jpg``.

    Camera 1 is near and sharp, camera 2 far and of low resolution. Persons count from 1,
    those of the test after those of the training. The same arguments give the same bytes.
    The folder appears when everything in it is drawn; a folder that these arguments made
    before is left as it is.

    Args:
        out: folder to make; it must not exist, be empty, or come from the same arguments.
        persons: persons to train on.
        shots: images per person and camera.
        test_persons: persons to test on.
        seed: 0 or more.
        workers: processes; 0 means one per core.

    Returns:
        ``out``.

    Raises:
        DrfmError: a number out of range, ``out`` holds something else, or it cannot be written.
    """
    limits = [("persons", persons, 0), ("shots", shots, 1), ("test_persons", test_persons, 0)]
    limits += [("seed", seed, 0), ("workers", workers, 0)]
    for name, value, least in limits:
        if value < least:
            raise DrfmError(f"{name} = {value}: give {least} or more")
    if persons + test_persons > 9999:
        raise DrfmError(
            f"persons + test_persons = {persons + test_persons}: names have room for 9999 persons"
        )
    out = Path(out)
    made = {"drawn": _VERSION, "persons": persons, "shots": shots, "test_persons": test_persons, "seed": seed}
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if (out / _STAMP).is_file() and read_json(out / _STAMP) == made:
            return out
        raise DrfmError(f"{out}: exists and is not this data set; remove it or choose another folder")
    try:
        _write(out, made, workers or len(os.sched_getaffinity(0)))
    except OSError as error:
        raise write_error(out, error) from error
    return out


def _write(out: Path, made: dict[str, int], workers: int) -> None:
    """Draw into a folder beside ``out`` and give it its name when it is complete."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        last = made["persons"] + made["test_persons"]
        jobs = []
        for name, numbers in (
            ("train", range(1, made["persons"] + 1)),
            ("test", range(made["persons"] + 1, last + 1)),
        ):
            (part / name).mkdir()
            jobs += _jobs(part / name, numbers, made["shots"], made["seed"])
        for _ in track(_run(jobs, min(workers, max(1, len(jobs) // _CHUNK))), "drawing persons", len(jobs)):
            pass
        write_json(part / _STAMP, made)
        part.chmod(0o755)
        if out.exists():
            out.rmdir()
        part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
