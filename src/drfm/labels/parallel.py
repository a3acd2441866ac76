"""Compiled kernels over parts of the rows, in as many threads as torch uses, or would use.

A service that encodes without torch searches with these kernels too, so torch is not imported here.
"""

import contextlib
import functools
import itertools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

S = TypeVar("S")
T = TypeVar("T")


def threads_of_torch() -> int:
    """Threads that torch uses; where it is not loaded, ``OMP_NUM_THREADS``, or one for each core."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() and int(given) else len(os.sched_getaffinity(0))


def in_parts(work: Callable[[int, int], T], count: int, largest: int = 1 << 62) -> list[T]:
    """Results of ``work(start, stop)`` for consecutive parts of ``range(count)``, in order.

    ``work`` must release the interpreter lock, as the compiled kernels of this room do, and must not
    depend on how the range is cut. One plain call a thread: no pool of numba or OpenMP spins beside torch's.
    """
    threads = threads_of_torch()
    parts = max(1 if threads == 1 else 4 * threads, -(-count // largest))
    parts = min(count, parts)
    spans = list(itertools.pairwise(count * part // parts for part in range(parts + 1))) if parts else []
    if threads == 1 or len(spans) < 2:
        return [work(start, stop) for start, stop in spans]
    with ThreadPoolExecutor(threads) as pool:
        return [done.result() for done in [pool.submit(work, start, stop) for start, stop in spans]]


def each(work: Callable[[S], T], items: Sequence[S]) -> list[T]:
    """Results of ``work(item)``, in order; one plain thread an item, whose matrix products use no others.

    Many small products in few independent threads waste nothing on waiting for each other, which matters
    most where other programs use the same cores.
    """
    import torch

    threads = torch.get_num_threads()
    if threads == 1 or len(items) < 2:
        return [work(item) for item in items]
    with (
        single_products(),
        ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        return list(pool.map(work, items))


@contextlib.contextmanager
def single_products() -> Iterator[None]:
    """Within the block numpy's products and factorisations use one thread each."""
    import torch

    threads = torch.get_num_threads()
    with libraries().limit(limits=1, user_api="blas"):
        try:
            yield
        finally:
            torch.set_num_threads(threads)


@functools.cache
def libraries() -> ThreadpoolController:
    """The libraries that multiply, looked for once, as that takes milliseconds; those of torch and numpy."""
    return ThreadpoolController()


@functools.cache
def numpy_multiplies_faster() -> bool:
    """Whether PyTorch multiplies by MKL on a processor that is not Intel's, where MKL leaves out AVX-512.

    Decided by what the machine is and not by the clock, so that results are the same bits every time.
    """
    import torch

    facts = Path("/proc/cpuinfo")
    mkl: bool = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    return mkl and facts.exists() and "GenuineIntel" not in facts.read_text()
