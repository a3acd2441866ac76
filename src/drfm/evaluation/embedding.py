"""A map of the feature space: images that the model takes for alike lie together (t-SNE)."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import numpy.typing as npt

from drfm.evaluation.kernels import FloatArray, IntArray

MOST = 1000
"""Images on a map: more are no longer points."""
_SIDE, _EDGE = 560, 14
_HUES = ("s0", "s1", "s2", "s3", "s4")


def on_the_map(persons: npt.ArrayLike, most: int = MOST, seed: int = 0) -> IntArray:
    """Rows to show, ascending: whole persons drawn at random while there is room, or images if none is known.

    Args:
        persons: ``(N,)`` identities, negative where unknown.
        most: images at most.
        seed: of the draw.
    """
    labels = np.asarray(persons)
    random = np.random.default_rng(seed)
    if len(labels) <= most:
        return np.arange(len(labels))
    if not (labels >= 0).any():
        return np.sort(random.permutation(len(labels))[:most])
    rows: list[IntArray] = []
    for person in random.permutation(np.unique(labels[labels >= 0])):
        own = np.flatnonzero(labels == person)
        if sum(map(len, rows)) + len(own) > most:
            break
        rows.append(own)
    return np.sort(np.concatenate(rows)) if rows else np.arange(most)


def project(vectors: npt.NDArray[np.float32], seed: int = 0) -> FloatArray:
    """``(N, 2)`` places of ``(N, D)`` unit rows, by t-SNE (van der Maaten and Hinton, 2008).

    The wider side fills 0..1 and is the first.

    The distance of unit rows orders pairs as their cosine does. Fewer than 4 images, or all equal ones, are
    too few for t-SNE and lie on their first two principal components.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    count = len(vectors)
    rows = np.asarray(vectors, np.float64)
    if count < 4 or np.allclose(rows, rows[:1]):
        directions, lengths, _ = np.linalg.svd(np.pad(rows - rows.mean(0), ((0, 1), (0, 2))))
        return _into_unit((directions[:, :2] * lengths[:2])[:count])
    parts = min(50, count, rows.shape[1])
    reduced = PCA(parts, svd_solver="full", random_state=seed).fit_transform(rows)
    perplexity = min(30.0, (count - 1) / 3)
    placed = TSNE(2, perplexity=perplexity, init="random" if parts < 2 else "pca", random_state=seed)
    return _into_unit(placed.fit_transform(reduced))


def embedding_map(
    places: FloatArray, colourings: Mapping[str, Sequence[str]], hollow: Sequence[bool], tips: Sequence[str]
) -> str:
    """A map with a switch for what its colours mean; works without a script.

    Args:
        places: ``(N, 2)`` in 0..1, N at least 1.
        colourings: what a colour may mean, such as ``"person"``, to the class of each image. Up to five
            classes have the colours of the page and a legend, more have hues of their own.
        hollow: whether an image is drawn as a ring, for blurry ones.
        tips: shown where a reader points at an image.
    """
    names = list(colourings)
    paint = [_paint(list(values)) for values in colourings.values()]
    switches = "".join(
        f'<input type="radio" name="map" id="map{index}"{" checked" if index == 0 else ""}>'
        f'<label for="map{index}">{escape(name)}</label>'
        for index, name in enumerate(names)
    )
    legends = "".join(
        f'<div class="keys map{index}">{_legend(list(colourings[name]))}</div>'
        for index, name in enumerate(names)
    )
    dots = []
    for place, ring, tip, *colours in zip(places, hollow, tips, *paint, strict=True):
        x, y = (_EDGE + (_SIDE - 2 * _EDGE) * float(value) for value in place)
        style = ";".join(f"--m{index}:{colour}" for index, colour in enumerate(colours))
        kind = ' class="ring"' if ring else ""
        at = f'cx="{x:.1f}" cy="{y:.1f}" r="4"'
        dots.append(f'<circle{kind} style="{style}" {at}><title>{escape(tip)}</title></circle>')
    words = f"Map of {len(places)} images by likeness, coloured by {' or '.join(names)}"
    height = 2 * _EDGE + (_SIDE - 2 * _EDGE) * float(places[:, 1].max())
    box = f'viewBox="0 0 {_SIDE} {height:.0f}" role="img" aria-label="{escape(words)}"'
    svg = f"<svg {box}>{''.join(dots)}</svg>"
    return f'<figure class="map"><span class="soft">Colour by</span> {switches}{legends}{svg}</figure>'


def _paint(values: list[str]) -> list[str]:
    classes = sorted(set(values))
    if len(classes) <= len(_HUES):
        colours = {name: f"var(--{hue})" for name, hue in zip(classes, _HUES, strict=False)}
    else:
        # Steps of the golden angle keep neighbours in the list apart on the wheel.
        colours = {
            name: f"hsl({index * 137.5 % 360:.0f} {(75, 45)[index % 2]}% {(47, 60)[index // 2 % 2]}%)"
            for index, name in enumerate(classes)
        }
    return [colours[value] for value in values]


def _legend(values: list[str]) -> str:
    classes = sorted(set(values))
    if len(classes) > len(_HUES):
        return f"<span>{len(classes)} colours, one each; point at an image to see which</span>"
    return "".join(
        f'<span><i style="background:var(--{hue})"></i> {escape(name)}</span>'
        for name, hue in zip(classes, _HUES, strict=False)
    )


def _into_unit(places: npt.NDArray[np.floating]) -> FloatArray:
    low = places.min(0)
    span = max(float((places - low).max()), 1e-12)
    inside = (places - low) / span
    return np.asarray(inside[:, np.argsort(-inside.max(0), kind="stable")], np.float64)
