"""Counts of the real data sets, by names alone; whole builds run with --slow."""

from collections import Counter
from dataclasses import fields

import pytest

from drfm.data.assign import assign_resolution
from drfm.data.choices import BuildChoices, preset_choices
from drfm.data.readers import read_dataset
from drfm.data.records import DISTRACTOR, JUNK
from drfm.data.splits import plan_splits

pytestmark = pytest.mark.real

# LR camera: LR test images, with the query folder, persons of both, HR gallery images of test,
# with the query folder, LR training images, their persons
MARKET = {
    1: (2114, 2782, 668, 668, 11001, 13701, 2017, 652),
    2: (1740, 2270, 528, 530, 11375, 14213, 1709, 541),
    3: (2822, 3539, 715, 717, 10293, 12944, 2707, 694),
    4: (890, 1138, 246, 248, 12225, 15345, 920, 241),
    5: (2380, 3002, 620, 622, 10735, 13481, 2338, 576),
    6: (3169, 3752, 577, 583, 9946, 12731, 3245, 558),
}


@pytest.fixture(scope="module")
def market_set(real):
    return read_dataset("auto", real("Market-1501-v15.09.15"))


def planned(dataset, **options):
    choices = BuildChoices(**options)
    rule = choices.lr_camera
    return plan_splits(dataset, assign_resolution(dataset, rule, choices, {}), choices).splits[0]


def test_market_as_it_is(market_set):
    assert market_set.kind == "market1501"
    assert Counter(r.split for r in market_set.records) == {"train": 12936, "query": 3368, "gallery": 19732}
    assert Counter(min(r.person, 0) for r in market_set.records if r.split == "gallery") == {
        0: 13115, DISTRACTOR: 2798, JUNK: 3819,
    }  # fmt: skip
    assert sum(r.name.endswith(".jpg.jpg") for r in market_set.records) == 24


@pytest.mark.parametrize("camera", MARKET)
def test_market_with_each_lr_camera(market_set, camera):
    person = {r.name: r.person for r in market_set.records}

    def persons(files):
        return {person[f.source] for f in files}

    both = planned(market_set, lr_camera=f"fixed:{camera}")
    test = planned(market_set, lr_camera=f"fixed:{camera}", query_from="test", gallery_from="test")
    low = [f for f in both.train if f.resolution == "lr"]
    assert MARKET[camera] == (
        len(test.query), len(both.query), len(persons(test.query)), len(persons(both.query)),
        len(test.gallery), len(both.gallery), len(low), len(persons(low)),
    )  # fmt: skip
    assert len(persons(both.gallery)) == len(persons(test.gallery)) == 750
    assert len(both.train) == 12936
    assert {f.rate for f in both.query} == {2, 3, 4}


def test_market_under_its_own_protocol(market_set):
    """The counts that every paper on Market-1501 quotes; junk is left out of the gallery."""
    changes = {field.name: getattr(preset_choices("ordinary", "market1501"), field.name) for field in
               fields(BuildChoices)} | {"lr_camera": "fixed:1"}  # fmt: skip
    split = planned(market_set, **changes)
    assert (len(split.train), len(split.query), len(split.gallery)) == (12936, 3368, 15913)
    assert {f.rate for f in (*split.train, *split.query, *split.gallery)} == {1}


def test_caviar_cameras_are_measured(real):
    dataset = read_dataset("auto", real("CAVIAR4REID"))
    assert dataset.kind == "caviar"
    assert len(dataset.records) == 1220
    pairs = {r.person for r in dataset.records if r.camera is not None}
    single = {1, 2, 5, 10, 11, 13, 14, 17, 25, 26, 39, 42, 43, 48, 49, 51, 53, 54, 56, 61, 63, 72}
    assert pairs == set(range(1, 73)) - single
    assert {r.camera for r in dataset.records if r.resolution == "lr" and r.camera} == {2}
    choices = BuildChoices()
    plan = plan_splits(dataset, assign_resolution(dataset, "resolution", choices, {}), choices)
    assert len(plan.splits) == 10
    assert {(len(s.train), len(s.query), len(s.gallery)) for s in plan.splits} == {(500, 250, 250)}


def test_cuhk03_pair_1(real):
    dataset = read_dataset("auto", real("CUHK03-P1"))
    assert dataset.kind == "market-style"
    split = planned(dataset, lr_camera="fixed:1")
    assert (len(split.train), len(split.query), len(split.gallery)) == (7239, 451, 487)
    assert sum(f.resolution == "lr" for f in split.train) == 3588


@pytest.mark.slow
@pytest.mark.parametrize("name", ["CAVIAR4REID", "CUHK03-P1", "Market-1501-v15.09.15"])
def test_two_builds_give_the_same_bytes(name, tmp_path, real):
    import dataclasses

    from drfm.data.build import build_benchmark
    from drfm.data.manifest import load_benchmark

    dataset = read_dataset("auto", real(name))
    build_benchmark(dataset, tmp_path / "a", BuildChoices())
    turned = dataclasses.replace(dataset, records=dataset.records[::-1])
    build_benchmark(turned, tmp_path / "b", BuildChoices(), workers=1)
    assert (tmp_path / "a" / "manifest.json").read_bytes() == (tmp_path / "b" / "manifest.json").read_bytes()
    load_benchmark(tmp_path / "b")
