"""One function over many files, on all cores."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from drfm.progress import progress_bar

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 4096  # jobs submitted at once, so that Ctrl-C has little to wait for


def map_files(
    function: Callable[[T], R],
    jobs: Sequence[T],
    title: str,
    workers: int = 0,
    done: Callable[[R], None] | None = None,
) -> list[R]:
    """``[function(job) for job in jobs]`` in threads, with a progress bar.

    Reading, hashing, decoding, resampling and writing all release Python's lock, so
    threads use the cores, and callers need no guard against being imported by worker processes.

    Args:
        function: called in threads.
        jobs: its arguments.
        title: of the progress bar.
        workers: threads; 0 means one per core.
        done: called here, in order, with each result.
    """
    results: list[R] = []
    pool = ThreadPoolExecutor(workers or _cores())
    try:
        with progress_bar(title, len(jobs)) as bar:
            for start in range(0, len(jobs), _AHEAD):
                for result in pool.map(function, jobs[start : start + _AHEAD]):
                    results.append(result)
                    if done is not None:
                        done(result)
                    bar.advance()
    finally:
        pool.shutdown(cancel_futures=True)
    return results


def _cores() -> int:
    """Cores that this process may use; not every system can tell them from all cores."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
