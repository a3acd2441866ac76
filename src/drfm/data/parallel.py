"""One function over many files or images, on several cores."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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


def ahead(function: Callable[[T], R], jobs: Iterable[T], *, workers: int = 1, depth: int = 4) -> Iterator[R]:
    """``function(job)`` for each job, in order, made by threads a little ahead of their use.

    An error of ``jobs`` itself is raised when the results of the jobs before it have been given.

    Args:
        function: called in threads.
        jobs: drawn from here, in the caller's thread.
        workers: threads.
        depth: results that may wait.
    """
    waiting: deque[Future[R]] = deque()
    source = iter(jobs)
    broken: BaseException | None = None
    with ThreadPoolExecutor(workers) as pool:
        try:
            while True:
                try:
                    waiting.append(pool.submit(function, next(source)))
                except StopIteration:
                    break
                except BaseException as error:
                    broken = error
                    break
                if len(waiting) > depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
    if broken is not None:
        raise broken


def _cores() -> int:
    """Cores that this process may use; not every system can tell them from all cores."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
