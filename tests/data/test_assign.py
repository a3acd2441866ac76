from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drfm.data.assign import assign_resolution, image_rates, otsu_threshold, resolve_rule, stable_hash
from drfm.data.choices import BuildChoices
from drfm.data.records import DISTRACTOR, UNKNOWN, Dataset, ImageRecord
from drfm.errors import DrfmError


def dataset(*records):
    return Dataset(
        "market-style", Path("set"), tuple(ImageRecord(f"{i:02d}.png", *r) for i, r in enumerate(records))
    )


def low(data, rule, sizes=None, **choices):
    return sorted(int(n[:2]) for n in assign_resolution(data, rule, BuildChoices(**choices), sizes or {}).low)


def test_the_hash_is_the_documented_one():
    import hashlib

    expected = int.from_bytes(hashlib.blake2b(b"7|query/0001_c1.jpg", digest_size=8).digest(), "big")
    assert stable_hash(7, "query/0001_c1.jpg") == expected


def test_auto_takes_what_is_known():
    cameras = dataset((0, 5), (0, 3), (1, 3))
    assert resolve_rule(cameras, BuildChoices()) == "fixed:3"
    assert resolve_rule(cameras, BuildChoices(lr_camera="smaller")) == "smaller"
    assert resolve_rule(dataset((0, 1), (1, 1)), BuildChoices()) == "height"
    assert resolve_rule(dataset((0, 1), (1, None)), BuildChoices()) == "height"
    assert resolve_rule(dataset((0, 1, None, "hr"), (0, None, None, "lr")), BuildChoices()) == "resolution"


def test_fixed_camera():
    data = dataset((0, 1), (0, 2), (1, 1), (UNKNOWN, 2), (1, None, None, "lr"))
    assert low(data, "fixed:2") == [1, 3, 4]
    assert assign_resolution(data, "fixed:2", BuildChoices(), {}).downsample
    with pytest.raises(DrfmError, match=r"fixed:9: set has no camera 9; its cameras are \[1, 2\]"):
        low(data, "fixed:9")
    with pytest.raises(DrfmError, match="only camera 1"):
        low(dataset((0, 1), (1, 1)), "fixed:1")
    with pytest.raises(DrfmError, match=r"00\.png: its camera is not known"):
        low(dataset((0, None)), "fixed:1")


def test_a_data_set_that_knows_its_resolutions_is_not_downsampled():
    data = dataset((0, 1, None, "hr"), (0, 2, None, "lr"))
    for rule in ("resolution", "fixed:2"):
        assert not assign_resolution(data, rule, BuildChoices(), {}).downsample
        assert assign_resolution(data, rule, BuildChoices(downsample="always"), {}).downsample
    with pytest.raises(DrfmError, match="no resolution is known"):
        low(dataset((0, 1)), "resolution")


def test_random_camera_is_one_of_the_persons_cameras_and_the_same_for_all_its_images():
    data = dataset(
        *[(p, c, s) for p in range(40) for c in (1, 2, 4) for s in ("train", "query")], (DISTRACTOR, 1)
    )
    for rule in ("random_per_id", "random_per_id_per_split"):
        names = assign_resolution(data, rule, BuildChoices(seed=3), {}).low
        drawn = {}
        for record in data.records:
            part = record.split if rule.endswith("per_split") else ""
            if record.name in names:
                drawn.setdefault((record.person, part), set()).add(record.camera)
        assert all(len(cameras) == 1 for cameras in drawn.values())
        assert len(drawn) == (80 if rule.endswith("per_split") else 40)
        assert {c for cameras in drawn.values() for c in cameras} == {1, 2, 4}
        assert low(data, rule, seed=3) != low(data, rule, seed=4)
    with pytest.raises(DrfmError, match="no persons are known"):
        low(dataset((UNKNOWN, 1), (UNKNOWN, 2)), "random_per_id")
    with pytest.raises(DrfmError, match="only one camera"):
        low(dataset((0, 1), (1, 1)), "random_per_id")


def test_the_smaller_camera_is_measured():
    data = dataset((0, 1), (0, 2), (1, 1))
    sizes = {"00.png": (10, 10), "01.png": (9, 10), "02.png": (8, 8)}
    assert low(data, "smaller", sizes) == [0, 2]
    with pytest.raises(DrfmError, match="equal mean areas"):
        low(data, "smaller", dict.fromkeys(sizes, (4, 4)))
    with pytest.raises(DrfmError, match="needs two"):
        low(dataset((0, 1)), "smaller", sizes)


def test_heights():
    data = dataset(*[(UNKNOWN,)] * 6)
    sizes = {f"{i:02d}.png": (h, 9) for i, h in enumerate((20, 22, 24, 100, 110, 120))}
    assert low(data, "height", sizes) == [0, 1, 2]
    assert low(data, "height", sizes, height_threshold=110) == [0, 1, 2, 3]
    note = assign_resolution(data, "height", BuildChoices(), sizes).notes[0]
    assert (
        note == "HR and LR told apart by height: 3 images below 49 px (Otsu's rule on log height), 3 others"
    )


def naive_otsu(heights):
    values = sorted(set(heights))
    best, at = -1.0, None
    for a, b in pairwise(values):
        below = [np.log(h) for h in heights if h <= a]
        above = [np.log(h) for h in heights if h > a]
        between = len(below) * len(above) * (np.mean(above) - np.mean(below)) ** 2
        if between > best * (1 + 1e-9):
            best, at = between, (a, b)
    return at


@given(st.lists(st.integers(1, 400), min_size=2, max_size=30).filter(lambda h: len(set(h)) > 1))
def test_otsu_against_loops(heights):
    threshold = otsu_threshold(heights)
    below, above = naive_otsu(heights)
    spread = [sum((np.log(h) < np.log(threshold)) == side for h in heights) for side in (True, False)]
    assert min(spread) > 0
    if not below < threshold <= above:  # two cuts of the same variance
        assert len(heights) > 2


def test_equal_heights_have_no_lower_part():
    assert otsu_threshold([7, 7]) == 7


NAMES = [f"a/{i:03d}.png" for i in range(300)]
PERSON = {name: i % 20 if i < 290 else UNKNOWN for i, name in enumerate(NAMES)}


def test_hash_rates_follow_name_and_seed_alone():
    rates = image_rates(NAMES, PERSON, BuildChoices(seed=5))
    assert rates == {n: ((2, 3, 4)[stable_hash(5, n) % 3],) for n in NAMES}
    shuffled = image_rates(NAMES[::-1][:50], PERSON, BuildChoices(seed=5))
    assert all(rates[name] == rate for name, rate in shuffled.items())
    counts = [sum(r == (k,) for r in rates.values()) for k in (2, 3, 4)]
    assert min(counts) > 70


def test_thirds_are_equal_shares_in_any_order():
    rates = image_rates(NAMES, PERSON, BuildChoices(rate_rule="thirds"))
    assert [sum(r == (k,) for r in rates.values()) for k in (2, 3, 4)] == [100, 100, 100]
    assert image_rates(NAMES[::-1], PERSON, BuildChoices(rate_rule="thirds")) == rates
    assert [sum(r == (k,) for r in image_rates(NAMES[:11], PERSON, BuildChoices(rate_rule="thirds")).values())
            for k in (2, 3, 4)] == [3, 3, 5]  # fmt: skip
    assert len(image_rates(NAMES[:1], PERSON, BuildChoices(rate_rule="thirds"))) == 1


def test_one_rate_for_each_person():
    rates = image_rates(NAMES, PERSON, BuildChoices(rate_rule="per_person"))
    for person in range(20):
        assert len({rates[n] for n in NAMES if PERSON[n] == person}) == 1
    assert len({rates[n] for n in NAMES if PERSON[n] == UNKNOWN}) > 1


def test_all_and_fixed_rates():
    assert set(image_rates(NAMES, PERSON, BuildChoices(rate_rule="all")).values()) == {(2, 3, 4)}
    assert set(image_rates(NAMES, PERSON, BuildChoices(rate_rule="fixed", rates=(8,))).values()) == {(8,)}
