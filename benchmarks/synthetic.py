"""Made-up features with the structure of re-identification features.

z = person + a camera + b (person, camera) + c tracklet + d image, each drawn from a
256-dimensional normal distribution with a power-law spectrum, is mapped to D
dimensions, full-rank noise is added, and rows are normalised. ``early`` looks like
the first epoch of training without labels (neighbours nearly random), ``hard`` like
the middle, ``easy`` like the end. ``untrained`` is ``early`` with a large part that all
images share, as features of a network with random weights have: cosines of 0.989 to 0.9997 among 400.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LATENT = 256


@dataclass(frozen=True)
class Regime:
    """Strengths of the sources of variation, beside a person's own of 1."""

    camera: float
    person_camera: float
    tracklet: float
    image: float
    noise: float
    decay: float
    """Exponent of the power law that the latent dimensions' scales follow."""
    common: float = 0.0
    """Length of what all images share."""


REGIMES = {
    "easy": Regime(0.35, 0.65, 0.45, 0.5, 0.3, 0.35),
    "hard": Regime(0.5, 1.1, 0.7, 0.6, 0.5, 0.35),
    "early": Regime(1.0, 1.0, 1.2, 1.2, 0.4, 0.75),
    "untrained": Regime(1.0, 1.0, 1.2, 1.2, 0.4, 0.75, 60.0),
}
"""Labels of 12,936 images (k1 20, k2 6, eps 0.6): 875 clusters and 146 outliers; 1,272, 2,196; 271, 9,776."""


@dataclass(frozen=True)
class Made:
    """Features with what they were made from.

    Attributes:
        features: ``(N, D)`` float32, unit rows, sorted by person as a sorted file list is.
        person: ``(N,)`` int64.
        camera: ``(N,)`` int64.
    """

    features: npt.NDArray[np.float32]
    person: npt.NDArray[np.int64]
    camera: npt.NDArray[np.int64]


def make_there(
    count: int, regime: str, device: Any, *, size: int = 2048, cameras: int = 6, seed: int = 0
) -> Any:
    """:func:`make`'s features as a tensor that is made on ``device``, for numbers that would keep numpy busy.

    Other random numbers than those of :func:`make`, of the same distributions.
    """
    import torch

    random = np.random.default_rng(seed)
    strength = REGIMES[regime]
    person, track, camera = _members(count, max(1, round(count / 17.2)), cameras, random)
    generator = torch.Generator(device).manual_seed(seed)
    scale = torch.arange(1, LATENT + 1, device=device, dtype=torch.float32) ** -strength.decay
    scale /= scale.norm()

    def draw(groups: npt.NDArray[np.int64]) -> Any:
        values, member = np.unique(groups, return_inverse=True)
        drawn = torch.randn(len(values), LATENT, generator=generator, device=device) * scale
        return drawn, torch.from_numpy(member).to(device)

    sources = [(1.0, person), (strength.camera, camera), (strength.person_camera, person * cameras + camera),
               (strength.tracklet, track), (strength.image, np.arange(count))]  # fmt: skip
    drawn = [(share, *draw(groups)) for share, groups in sources]
    mixing = torch.linalg.qr(torch.randn(size, min(LATENT, size), generator=generator, device=device))[0].T
    features = torch.empty(count, size, device=device)
    for start in range(0, count, 8192):
        some = slice(start, start + 8192)
        latent = sum(share * values[member[some]] for share, values, member in drawn)
        block = latent[:, : len(mixing)] @ mixing
        noise = torch.randn(block.shape, generator=generator, device=device)
        block += strength.noise / size**0.5 * noise + strength.common / size**0.5
        features[some] = torch.nn.functional.normalize(block)
    return features


def _members(
    count: int, persons: int, cameras: int, random: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Person, tracklet and camera of each image, sorted by person and tracklet."""
    share = np.clip(random.gamma(2.2, 1.0, persons) + 0.15, 0.15, 6)
    person = np.sort(random.choice(persons, count, p=share / share.sum()))
    camera = random.integers(0, cameras, count)
    track = person * (cameras * 3) + camera * 3 + random.integers(0, 3, count)
    order = np.lexsort((track, person))
    return person[order], track[order], camera[order]


def make(count: int, regime: str = "easy", *, size: int = 2048, persons: int | None = None, cameras: int = 6,
         seed: int = 0) -> Made:  # fmt: skip
    """``count`` features of ``size`` dimensions; about 17 images a person by default, 2 to 72 each."""
    random = np.random.default_rng(seed)
    strength = REGIMES[regime]
    persons = persons or max(1, round(count / 17.2))
    person, track, camera = _members(count, persons, cameras, random)
    scale = np.arange(1, LATENT + 1, dtype=np.float64) ** -strength.decay
    scale /= np.sqrt((scale**2).sum())

    def draw(groups: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        _, member = np.unique(groups, return_inverse=True)
        values = random.standard_normal((int(member.max()) + 1, LATENT), dtype=np.float32) * scale.astype(
            np.float32
        )
        return values[member]

    latent = draw(person)
    latent += np.float32(strength.camera) * draw(camera)
    latent += np.float32(strength.person_camera) * draw(person * cameras + camera)
    latent += np.float32(strength.tracklet) * draw(track)
    latent += np.float32(strength.image) * draw(np.arange(count))
    mixing = np.linalg.qr(random.standard_normal((size, min(LATENT, size))))[0].T.astype(np.float32)
    features = np.empty((count, size), np.float32)
    for start in range(0, count, 8192):
        block = latent[start : start + 8192, : len(mixing)] @ mixing
        noise = random.standard_normal(block.shape, dtype=np.float32)
        block += np.float32(strength.noise / np.sqrt(size)) * noise
        block += np.float32(strength.common / np.sqrt(size))
        features[start : start + 8192] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return Made(features, person.astype(np.int64), camera.astype(np.int64))
