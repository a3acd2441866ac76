"""Unit rows that fall into clusters, as features do."""

import numpy as np


def unit(rows):
    rows = np.asarray(rows, np.float32)
    return np.ascontiguousarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def clustered(count, size=32, seed=0, spread=0.6):
    random = np.random.default_rng(seed)
    centres = random.standard_normal((max(1, count // 9), size))
    return unit(
        centres[random.integers(0, len(centres), count)] + spread * random.standard_normal((count, size))
    )
