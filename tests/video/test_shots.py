from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from drfm.video.boxes import Box
from drfm.video.shots import CUT, BestShots, Shot, score, sharpness

NOISE = np.random.default_rng(3).integers(0, 255, (60, 30, 3)).astype(np.uint8)
NOTHING = np.zeros((2, 2, 3), np.uint8)


def blurred(pixels, radius):
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def test_blur_lowers_sharpness_step_by_step():
    values = [sharpness(blurred(NOISE, radius)) for radius in (0, 0.5, 1, 2, 4)]
    assert values == sorted(values, reverse=True)


def test_contrast_hardly_changes_sharpness():
    half = (NOISE // 2 + 60).astype(np.uint8)
    assert sharpness(half) == pytest.approx(sharpness(NOISE), rel=0.1)


@pytest.mark.parametrize("shape", [(1, 1), (2, 50), (50, 2), (20, 20)])
def test_flat_and_tiny_crops_have_no_sharpness(shape):
    assert sharpness(np.full((*shape, 3), 77, np.uint8)) == 0.0


def test_sharpness_equals_a_loop():
    grey = NOISE.astype(np.float64) @ [0.299, 0.587, 0.114]
    rows, columns = grey.shape
    values = [
        grey[y - 1, x] + grey[y + 1, x] + grey[y, x - 1] + grey[y, x + 1] - 4 * grey[y, x]
        for y in range(1, rows - 1)
        for x in range(1, columns - 1)
    ]
    assert sharpness(NOISE) == pytest.approx(np.std(values) / (grey[1:-1, 1:-1].std() + 1), rel=1e-4)


def test_the_factors_of_a_score():
    whole = score(NOISE, Box(40, 40, 30, 60), (40, 40, 70, 100), (200, 200))
    assert whole == pytest.approx((30 * 60) ** 0.5 * sharpness(NOISE))
    assert score(NOISE, Box(40, 40, 30, 60, 0.5), (40, 40, 70, 100), (200, 200)) == pytest.approx(whole / 2)
    assert score(NOISE, Box(0, 40, 30, 60), (0, 40, 30, 100), (200, 200)) == pytest.approx(whole * CUT)
    cut = score(NOISE, Box(-30, 40, 60, 60), (0, 40, 30, 100), (200, 200))
    assert cut == pytest.approx(whole * CUT / 2)


def shots(scores, rate=4.0):
    return [Shot(at, at / rate, None, Box(0, 0, 2, 2), NOTHING, value) for at, value in enumerate(scores)]


def best(scores, most, gap):
    track = BestShots(most, gap)
    for shot in shots(scores):
        track.add(shot)
    assert track.seen == len(scores)
    return track.chosen()


def in_full(scores, most, gap):
    """The same with every slot kept."""
    slots = {}
    for shot in shots(scores):
        slots.setdefault(int(shot.moment // gap) if gap else shot.frame, []).append(shot)
    order = sorted(
        (max(slot, key=lambda s: (s.score, -s.frame)) for slot in slots.values()),
        key=lambda s: (-s.score, s.frame),
    )
    taken = []
    for shot in order:
        if len(taken) < most and all(abs(shot.moment - other.moment) >= gap for other in taken):
            taken.append(shot)
    return sorted(taken, key=lambda s: s.frame)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 12).map(float), min_size=1, max_size=60),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.3, 1.0, 2.5, 100.0]),
)
def test_shots_are_spaced_and_what_was_dropped_changes_nothing(scores, most, gap):
    chosen = best(scores, most, gap)
    assert chosen == in_full(scores, most, gap)
    assert 1 <= len(chosen) <= most
    moments = [shot.moment for shot in chosen]
    assert all(later - earlier >= gap for earlier, later in pairwise(moments))
    assert max(scores) in [shot.score for shot in chosen]


def test_memory_does_not_grow_with_the_track():
    track = BestShots(2, 0.25)
    for shot in shots(np.random.default_rng(0).uniform(size=3000)):
        track.add(shot)
    assert len(track._slots) == 6
