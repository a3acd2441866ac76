"""How fast this processor does the two kinds of work that a search can choose between."""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from drfm.labels import candidates
from drfm.labels.parallel import single_products
from drfm.labels.screening import Product

ADVANTAGE = 1.3
"""How many times as fast bfloat16 has to be to be chosen, because it loosens the bounds."""


@dataclass(frozen=True)
class Rates:
    """Of one thread, measured.

    Attributes:
        product: the matrix product that is done best.
        pair: seconds for a pair of codes, for each of their coordinates.
        check: seconds to check a pair with 16-bit integers, for each coordinate.
    """

    product: Product
    pair: float
    check: float

    def tolerable(self, coordinates: int, size: int) -> float:
        """Share of pairs left by codes of few coordinates from which whole rows are the cheaper codes."""
        return (size - coordinates) * self.pair / (size * self.check)


@functools.cache
def measured() -> Rates:
    """Rates of this machine, by a tenth of a second of measurement, once in a process."""
    random = torch.Generator().manual_seed(0)
    x, y = torch.randn(512, 256, generator=random), torch.randn(2048, 256, generator=random)
    short_x, short_y = x.bfloat16(), y.bfloat16()
    rows = np.ones((2048, 2048), np.int16)
    which = np.random.default_rng(0).permutation(2048).astype(np.int32)
    out = np.empty(2052, np.int32)
    work: dict[str, Callable[[], object]] = {
        "numpy float32": lambda: x.numpy() @ y.numpy().T,
        "torch float32": lambda: x @ y.T,
        "torch bfloat16": lambda: (short_x @ short_y.T).float().numpy(),
        "check": lambda: candidates.products(rows[0], rows, 0, which, 2048, out),
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with single_products():
            seconds = {name: _best(task) for name, task in work.items()}
    finally:
        torch.set_num_threads(threads)
    check = seconds.pop("check") / 2048**2
    product: Product = "numpy float32"
    if seconds["torch float32"] < seconds[product]:
        product = "torch float32"
    if ADVANTAGE * seconds["torch bfloat16"] < seconds[product]:
        product = "torch bfloat16"
    return Rates(product, seconds[product] / (512 * 2048 * 256), check)


def _best(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best
