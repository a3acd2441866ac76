"""Compiled kernels over parts of the rows, in as many threads as torch uses."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")


def in_parts(work: Callable[[int, int], T], count: int, largest: int = 1 << 62) -> list[T]:
    """Results of ``work(start, stop)`` for consecutive parts of ``range(count)``, in order.

    ``work`` must release the interpreter lock, as the compiled kernels of this room do, and must not
    depend on how the range is cut. One plain call a thread: no pool of numba or OpenMP spins beside torch's.
    """
    threads = torch.get_num_threads()
    parts = max(1 if threads == 1 else 4 * threads, -(-count // largest))
    parts = min(count, parts)
    spans = list(itertools.pairwise(count * part // parts for part in range(parts + 1))) if parts else []
    if threads == 1 or len(spans) < 2:
        return [work(start, stop) for start, stop in spans]
    with ThreadPoolExecutor(threads) as pool:
        return [done.result() for done in [pool.submit(work, start, stop) for start, stop in spans]]
