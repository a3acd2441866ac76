"""Made-up unit rows, and the definition of the nearest ones as plain loops."""

import numpy as np

from drfm.gallery.items import Item
from drfm.labels.similarity import similarity


def unit(count, size, seed=0):
    rows = np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def items(count, start=0):
    return [
        Item(
            f"{i}.png", f"c{i % 3}" if i % 4 else None, float(i) if i % 5 else None, f"p{i % 7}",
            f"t{i // 6}", {"colour": "red" if i % 2 else "blue"},
        )
        for i in range(start, start + count)
    ]  # fmt: skip


def brute(rows, which, query, k):
    """Positions and similarities by comparing every row, equal ones by position."""
    found = sorted((-float(similarity(query, rows[i])), i) for i in which)[:k]
    return [i for _, i in found], [np.float32(-value) for value, _ in found]
