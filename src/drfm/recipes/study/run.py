"""Run what a study is missing: one process a run, several at a time, whatever becomes of each."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from drfm.config.describe import show
from drfm.config.load import differences, from_dict, to_yaml
from drfm.errors import DrfmError
from drfm.files import folder_lock, is_locked, read_json, write_atomic, write_json
from drfm.recipes.facts import RECORD, free_options, read_record
from drfm.recipes.study.plan import FAILED, Data, Job, Study, jobs

Say = Callable[[str], None]
_COMMAND = (sys.executable, "-c", "import sys; from drfm.cli import main; sys.exit(main())")
_PAUSE = 0.2
"""Seconds between two looks at the running processes."""


@dataclass
class State:
    """Where a study stands.

    Attributes:
        jobs: every run.
        done: finished runs, this time or before.
        failed: run to the reason in one line; floors that could not be tested are among them.
        running: runs under way.
    """

    jobs: Sequence[Job]
    done: set[Path] = field(default_factory=set)
    failed: dict[Path, str] = field(default_factory=dict)
    running: set[Path] = field(default_factory=set)

    def line(self) -> str:
        """Counts, for people."""
        settled = {*self.done, *self.failed, *self.running}
        rest = sum(job.run not in settled for job in self.jobs)
        counts = {"done": self.done, "running": self.running, "failed": self.failed}
        return ", ".join([*(f"{len(runs)} {word}" for word, runs in counts.items()), f"{rest} waiting"])


def run_study(
    study: Study,
    data: Sequence[Data],
    out: Path,
    *,
    preset: str = "",
    given: Mapping[str, object] | None = None,
    at_once: int = 1,
    devices: Sequence[str] = (),
    skip_bad: bool = False,
    say: Say = lambda line: None,
) -> State:
    """Train every run that is missing or was cut; a run that fails does not stop the others.

    A run that another process has under way, such as one that outlived a study that was killed, is waited
    for and not begun a second time.

    Args:
        study: the grid.
        data: benchmarks.
        out: the study's folder; ``out/BENCHMARK/CELL/seedN`` are the runs, ``out/cache`` the image store.
        preset: preset over that of each cell, such as ``cpu``.
        given: options over both.
        at_once: runs at a time, where no devices are named. They share the processor's cores evenly.
        devices: one run at a time on each, such as ``cuda:0``.
        skip_bad: leave out unreadable images.
        say: receives plain lines.

    Returns:
        The state at the end. ``out/failed.json`` names the runs that failed, and why.

    Raises:
        DrfmError: a bad option in any cell, before anything is trained; or another process runs this study.
        KeyboardInterrupt: Ctrl-C, after every run has saved its state.
    """
    state = State(jobs(study, data, out, preset, given or {}))
    with folder_lock(out):
        state.done = {job.run for job in state.jobs if finished(job)}
        waiting = [job for job in state.jobs if job.run not in state.done]
        say(f"{study.title}: {len(state.jobs)} runs, {state.line()}")
        places = list(devices) or [""] * max(1, at_once)
        _floors(study, state, out, skip_bad, say)
        try:
            with _interruptible(), _table(state):
                _work(waiting, places, state, out, skip_bad, say)
        finally:
            failed = {str(run.relative_to(out)): reason for run, reason in state.failed.items()}
            write_json(out / FAILED, failed)
    return state


def finished(job: Job) -> bool:
    """Whether the run was tested after its last epoch, on this very data and under this very configuration.

    Raises:
        DrfmError: the folder holds a run of another benchmark, split or configuration; the study cannot mix
            them.
    """
    if not (job.run / RECORD).exists():
        return False
    record, config = read_record(job.run), job.resolved.config
    old = record["benchmark"]
    if not job.data.made(old):
        raise DrfmError(
            f"{job.run}: was begun on benchmark {old['id']}, split {old['split']}, not {job.data.id}, split "
            f"{job.data.split}; give the same benchmark and split, or choose another --out folder"
        )
    for option, (old, new) in differences(from_dict(record["config"]), config).items():
        if option not in free_options(config) or option == "train.epochs":
            raise DrfmError(
                f"{job.run}: was begun with {option} = {show(old)}, not {show(new)}; "
                "give the same value, or choose another --out folder"
            )
    return "headline" in record


def _floors(study: Study, state: State, out: Path, skip_bad: bool, say: Say) -> None:
    """Test raw pixels once on each benchmark, where the study has such a cell."""
    from drfm.recipes.study.pixels import rank_pixels

    for cell in (cell for cell in study.cells if cell.floor == "pixels"):
        for job in {job.data.name: job for job in reversed(state.jobs)}.values():
            run = out / job.data.name / cell.folder / f"seed{study.seeds[0]}"
            try:
                rank_pixels(job.data, run, job.resolved.config, out / "cache", skip_bad)
            except DrfmError as error:
                state.failed[run] = str(error)
                say(f"{run.relative_to(out)}: FAILED ({error}); {state.line()}")


@dataclass
class _Process:
    job: Job
    place: str
    process: "subprocess.Popen[bytes]"
    log: IO[bytes]
    start: float


def _work(waiting: list[Job], places: list[str], state: State, out: Path, skip_bad: bool, say: Say) -> None:
    free, running = list(places), list[_Process]()
    elsewhere = set[Path]()
    try:
        while waiting or running:
            while free and (job := next((job for job in waiting if not is_locked(job.run)), None)):
                waiting.remove(job)
                if finished(job):  # meanwhile, elsewhere
                    state.done.add(job.run)
                    continue
                process = _start(job, free.pop(0), len(places), out, skip_bad)
                running.append(process)
                state.running.add(process.job.run)
            for run in [job.run for job in waiting if free and job.run not in elsewhere]:
                elsewhere.add(run)
                say(f"{run.relative_to(out)}: under way in another process; waiting for it to end")
            time.sleep(_PAUSE)
            for process in [each for each in running if each.process.poll() is not None]:
                running.remove(process)
                free.append(process.place)
                _end(process, state, out, say)
    except KeyboardInterrupt:
        for process in running:
            process.process.send_signal(signal.SIGINT)
        for process in running:
            process.process.wait()
        raise KeyboardInterrupt("stopped, every run saved; the same command goes on") from None


def _start(job: Job, place: str, places: int, out: Path, skip_bad: bool) -> _Process:
    job.run.parent.mkdir(parents=True, exist_ok=True)
    config = job.run.with_suffix(".yaml")
    write_atomic(config, to_yaml(job.resolved.config))
    words = [*_COMMAND, "train", str(job.data.folder), "--run", str(job.run), "--config", str(config)]
    words += ["--split", str(job.data.split), "--cache", str(out / "cache")]
    words += ["--train.device", place] if place else []
    threads = max(1, len(os.sched_getaffinity(0)) // places)
    environment = {"OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads), **os.environ}
    log = job.run.with_suffix(".log").open("wb")
    # A group of its own, so that Ctrl-C reaches it once and from here.
    process = subprocess.Popen(  # noqa: S603 - this program itself
        words + ["--skip-bad"] * skip_bad, stdout=log, stderr=subprocess.STDOUT, env=environment,
        stdin=subprocess.DEVNULL, process_group=0,
    )  # fmt: skip
    return _Process(job, place, process, log, time.monotonic())


def _end(process: _Process, state: State, out: Path, say: Say) -> None:
    process.log.close()
    run = process.job.run
    state.running.discard(run)
    name = run.relative_to(out)
    lines = run.with_suffix(".log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    reason = lines[-1].removeprefix("drfm: error: ") if lines else f"exit code {process.process.returncode}"
    try:
        done = process.process.returncode == 0 and finished(process.job)
    except DrfmError as error:  # the program was changed while it ran, say
        done, reason = False, str(error)
    if done:
        state.done.add(run)
        rank1 = read_json(run / "record.json")["headline"]["rank1"]
        minutes = (time.monotonic() - process.start) / 60
        say(f"{name}: Rank-1 {rank1:.1%}, {minutes:.1f} min; {state.line()}")
        return
    state.failed[run] = reason
    say(f"{name}: FAILED ({reason}); {state.line()}")


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGINT and SIGTERM both end the study as Ctrl-C does, also where a shell has the first ignored."""

    def stop(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    try:
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: the caller handles signals
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _table(state: State) -> AbstractContextManager[Any]:
    """A table of all cells that follows the state, on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console
    from rich.live import Live

    from drfm.recipes.study.live import table

    return Live(get_renderable=lambda: table(state), console=Console(stderr=True), refresh_per_second=1)
