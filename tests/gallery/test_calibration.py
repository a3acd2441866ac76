"""Thresholds from pairs whose distribution is known, and verdicts that follow them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drfm.errors import DrfmError
from drfm.gallery.calibration import Evidence, calibrate, threshold_at, threshold_interval, verdict, warning

RATES = {"likely": 0.01, "possible": 0.05}


def people(count: int = 60, shots: int = 6, noise: float = 0.5, blur: float = 0.5, seed: int = 0) -> Evidence:
    """Random looks; half of the shots are small and much noisier, by ``blur``."""
    random = np.random.default_rng(seed)
    looks = random.normal(size=(count, 16))
    looks /= np.linalg.norm(looks, axis=1, keepdims=True)
    group = np.repeat(np.arange(count), shots)
    small = np.tile(np.arange(shots) % 2 == 1, count)
    scale = np.where(small, blur, noise)[:, None] / 4
    vectors = looks[group] + scale * random.normal(size=(len(group), 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Evidence(
        vectors.astype(np.float32), group, np.arange(len(group)), np.where(small, 1, -1),
        np.where(small, 30, 128), ~small,
    )  # fmt: skip


@given(
    st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=60),
    st.floats(0.001, 0.9),
)
def test_a_threshold_lets_through_what_is_allowed_and_no_more(values, rate):
    impostor = np.array(values)
    threshold = threshold_at(impostor, rate)
    assert (impostor >= threshold).mean() <= rate
    lower = impostor[impostor < threshold]
    assert (impostor >= lower.max()).mean() > rate


def test_the_interval_holds_the_true_threshold_and_shrinks_with_more_groups():
    widths = []
    for count in (20, 80):
        first, second = np.triu_indices(count, 1)
        values = np.random.default_rng(1).uniform(size=len(first))
        low, high = threshold_interval(values, np.stack([first, second]), 0.1, np.random.default_rng(0))
        assert low < 0.9 < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_the_interval_of_equal_similarities_is_one_point():
    groups = np.array([[0, 0, 1], [1, 2, 2]])
    assert threshold_interval(np.full(3, 0.5), groups, 0.4, np.random.default_rng(0)) == (0.5, 0.5)


def test_bands_have_the_rates_that_were_asked_for():
    found = calibrate(people(), RATES)
    assert [(band["low"], band["high"]) for band in found["bands"]] == [(128, 128), (30, 30)]
    assert found["evidence_from"] == 30
    for band in found["bands"]:
        for name, rate in RATES.items():
            level = band[name]
            assert level["low"] <= level["threshold"] <= level["high"]
            assert level["check_false"] < 2.5 * rate
            assert level["found"] > 0.5
        assert band["possible"]["threshold"] < band["likely"]["threshold"]


def test_evidence_ends_where_small_queries_tell_nothing():
    found = {**calibrate(people(blur=50), RATES), "labelled": True}
    assert found["evidence_from"] == 128
    assert [band["low"] for band in found["dropped"]] == [30]
    assert verdict(1.0, 30, found) == "no evidence"
    assert warning(30, found) == (
        "The query has 30 rows; below 128 rows there is no evidence that the model is right."
    )
    assert warning(128, found) == ""


def test_a_model_that_says_nothing_gets_no_verdicts():
    found = {**calibrate(people(noise=50, blur=50), RATES), "labelled": True}
    assert found["bands"] == []
    assert found["evidence_from"] is None
    assert verdict(1.0, 500, found) == "no evidence"
    assert "did not tell people apart" in warning(500, found)


def test_pairs_of_one_camera_and_of_one_image_are_no_evidence():
    plain = people()
    twins = Evidence(
        np.concatenate([plain.vectors, plain.vectors]), np.tile(plain.group, 2), np.tile(plain.image, 2),
        np.tile(np.where(plain.gallery, 0, 1), 2), np.tile(plain.height, 2), np.tile(plain.gallery, 2),
    )  # fmt: skip
    found = calibrate(twins, RATES)["bands"]
    assert [band["low"] for band in found] == [30]
    alone = calibrate(people(shots=2), RATES)["bands"]
    assert [band["low"] for band in alone] == [30]


def test_verdicts_take_the_upper_end_of_the_interval():
    level = {"threshold": 0.5, "low": 0.4}
    band = {"low": 64, "high": 200, "likely": {**level, "high": 0.7}, "possible": {**level, "high": 0.6}}
    small = {"low": 24, "high": 63, "likely": {**level, "high": 0.9}, "possible": {**level, "high": 0.8}}
    found = {"bands": [band, small], "evidence_from": 24, "labelled": True}
    said = [
        verdict(s, h, found) for s, h in [(0.7, 64), (0.69, 999), (0.59, 64), (0.7, 63), (0.8, 24), (1, 23)]
    ]
    assert said == ["likely", "possible", "no evidence", "no evidence", "possible", "no evidence"]
    assert verdict(1.0, 100, {**found, "labelled": False}) == "possible"
    assert verdict(1.0, 100, None) == "no evidence"
    assert "not calibrated" in warning(100, None)


@pytest.mark.parametrize("rates", [(0.05, 0.01), (0, 0.1), (0.1, 1), (0.1, 0.1)])
def test_senseless_rates_are_refused(rates):
    with pytest.raises(DrfmError, match=r"--likely .*give rates with 0 < likely < possible < 1"):
        calibrate(people(), {"likely": rates[0], "possible": rates[1]})


def test_too_few_persons_are_refused_whatever_the_rate():
    with pytest.raises(
        DrfmError, match=r"calibrate: \d persons or clusters in the half .* and 10 are needed"
    ):
        calibrate(people(count=8), {"likely": 0.1, "possible": 0.2})


def test_too_few_images_for_a_rate_are_refused():
    with pytest.raises(DrfmError, match=r"--likely 1e-06: \d+ groups of images are too few"):
        calibrate(people(), {"likely": 1e-6, "possible": 0.01})
