from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drfm.data.assign import assign_resolution, resolve_rule
from drfm.data.choices import BuildChoices
from drfm.data.records import DISTRACTOR, JUNK, UNKNOWN, Dataset, ImageRecord
from drfm.data.splits import PlannedFile, plan_splits
from drfm.errors import DrfmError


def plan(records, kind="market-style", test_sets=(), **options):
    data = Dataset(kind, Path("set"), tuple(records), tuple(test_sets))
    choices = BuildChoices(**options)
    return plan_splits(data, assign_resolution(data, resolve_rule(data, choices), choices, {}), choices)


def two_cameras(persons, split=None, folder="a"):
    return [ImageRecord(f"{folder}/{p}_{c}.png", p, c, split) for p in persons for c in (1, 2)]


def who(files):
    return {int(f.source.split("/")[1].split("_")[0]) for f in files}


def official(**options):
    records = two_cameras((1, 2), "train", "train") + two_cameras((3, 4), "gallery", "test")
    records += two_cameras((3, 4), "query", "query")
    records += [
        ImageRecord("test/0_1.png", DISTRACTOR, 1, "gallery"),
        ImageRecord("test/0_2.png", DISTRACTOR, 2, "gallery"),
    ]
    records += [ImageRecord("test/-1_2.png", JUNK, 2, "gallery")]
    return plan(records, **options).splits[0]


def test_official_split():
    split = official(rates=(2,))
    assert split.train == (
        PlannedFile("train/1_1.png", "lr", 2),
        PlannedFile("train/1_2.png", "hr", 1),
        PlannedFile("train/2_1.png", "lr", 2),
        PlannedFile("train/2_2.png", "hr", 1),
    )
    assert {f.source for f in split.query} == {
        "test/3_1.png",
        "test/4_1.png",
        "query/3_1.png",
        "query/4_1.png",
    }
    assert {f.source for f in split.gallery} == {
        "test/3_2.png",
        "test/4_2.png",
        "query/3_2.png",
        "query/4_2.png",
    }
    assert split.train[0].name == "images/x2/train/1_1.png.png"
    assert split.train[1].name == "images/original/train/1_2.png"


@pytest.mark.parametrize(("choice", "queries"), [("test", 2), ("query", 2), ("test+query", 4)])
def test_query_rule(choice, queries):
    split = official(query_from=choice)
    assert len(split.query) == queries
    assert {f.source.split("/")[0] for f in split.query} == set(choice.split("+"))


def test_gallery_rule_distractors_junk_and_resolutions():
    assert {f.source.split("/")[0] for f in official(gallery_from="test").gallery} == {"test"}
    gallery = {f.source for f in official(distractors=True, junk=True).gallery}
    assert {"test/0_2.png", "test/-1_2.png"} <= gallery
    assert "test/0_1.png" not in gallery
    every = official(gallery_resolution="all", query_resolution="all")
    assert len(every.gallery) == len(every.query) == 8


def test_training_images_of_the_lr_camera():
    kept = official(train_lr="keep_hr").train
    assert {(f.resolution, f.rate) for f in kept} == {("hr", 1)}
    both = official(train_lr="both", rates=(3,)).train
    assert len(both) == 6
    assert {(f.resolution, f.rate) for f in both if f.source == "train/1_1.png"} == {("hr", 1), ("lr", 3)}


def test_every_image_at_every_rate():
    split = official(lr_camera="every", rate_rule="all", train_lr="both")
    assert len(split.query) == 8 * 3
    assert len(split.gallery) == 8
    assert len(split.train) == 4 * 4
    with pytest.raises(DrfmError, match="downsample = never"):
        official(lr_camera="every", downsample="never")


def test_drawn_splits_part_the_persons():
    result = plan(two_cameras(range(9)), splits=5, test_persons=3)
    assert result.test_persons == 3
    tests = set()
    for split in result.splits:
        assert who(split.query) == who(split.gallery)
        assert len(who(split.query)) == 3
        assert who(split.train) == set(range(9)) - who(split.query)
        tests.add(frozenset(who(split.query)))
    assert len(tests) > 1
    assert plan(two_cameras(range(9))[::-1], splits=5, test_persons=3) == result
    assert plan(two_cameras(range(9)), splits=5, test_persons=3, seed=1) != result


def test_usual_numbers():
    viper = plan(two_cameras(range(632)), kind="viper")
    assert len(viper.splits) == 10
    assert {len(s.query) for s in viper.splits} == {316}
    half = plan(two_cameras(range(7)))
    assert (len(half.splits), half.test_persons) == (1, 3)


def test_persons_of_one_camera_are_dropped_or_trained_on():
    records = [*two_cameras(range(4)), ImageRecord("a/9_1.png", 9, 1)]
    dropped = plan(records, splits=3)
    assert all(9 not in who((*s.train, *s.query, *s.gallery)) for s in dropped.splits)
    assert dropped.notes == ("1 persons with images of one resolution only: dropped",)
    assert all(9 in who(s.train) for s in plan(records, splits=3, single_camera="train").splits)


def test_official_test_sets():
    tests = [(0, 1), (2, 3)]
    result = plan(two_cameras(range(6)), kind="cuhk03", test_sets=tests)
    assert len(result.splits) == 1
    assert who(result.splits[0].query) == {0, 1}
    two = plan(two_cameras(range(6)), kind="cuhk03", test_sets=tests, splits=2)
    assert who(two.splits[1].gallery) == {2, 3}
    with pytest.raises(DrfmError, match="splits = 3: set has 2 official test sets"):
        plan(two_cameras(range(6)), kind="cuhk03", test_sets=tests, splits=3)


def test_distractors_of_a_drawn_split():
    records = [*two_cameras(range(4)), ImageRecord("a/77_2.png", DISTRACTOR, 2)]
    assert 77 not in who(plan(records).splits[0].gallery)
    split = plan(records, distractors=True).splits[0]
    assert 77 in who(split.gallery)
    assert 77 not in who((*split.train, *split.query))


def test_unlabelled_images_are_training_images():
    records = [ImageRecord(f"a/{i}_x.png", UNKNOWN, 1 + i % 2) for i in range(6)]
    result = plan(records, lr_camera="fixed:1")
    assert len(result.splits[0].train) == 6
    assert result.splits[0].query == result.splits[0].gallery == ()
    assert result.notes == ("no persons are known: training images only",)
    mixed = plan([*two_cameras(range(4)), ImageRecord("a/50_x.png", UNKNOWN, 2)]).splits[0]
    assert 50 in who(mixed.train)


def test_one_person_alone_is_training_data():
    result = plan(two_cameras([5]))
    assert result.splits[0].query == ()
    assert result.notes == ("fewer than two persons with HR and LR images: training images only",)


def test_refusals():
    with pytest.raises(DrfmError, match=r"person 2 is in train and test of split 0 \(1 such persons\)"):
        plan(two_cameras((1, 2), "train") + two_cameras((2, 3), "gallery", "t"))
    with pytest.raises(DrfmError, match="splits = 2: set comes with one split"):
        official(splits=2)
    with pytest.raises(DrfmError, match="test_persons = 4: set has 4 persons"):
        plan(two_cameras(range(4)), test_persons=4)
    train = [ImageRecord("a/1_1.png", 1, 1, "train")]
    with pytest.raises(DrfmError, match="no HR training images, all 1 are LR"):
        plan(train + two_cameras((3,), "gallery", "t"))
    with pytest.raises(DrfmError, match="no LR training images, all 1 are HR"):
        plan(train + two_cameras((3,), "gallery", "t"), lr_camera="fixed:2")
    with pytest.raises(DrfmError, match="split 0 has no training images"):
        plan(two_cameras((3,), "gallery", "t"))
    with pytest.raises(DrfmError, match="1 test persons and no query images"):
        plan([*two_cameras((1,), "train"), ImageRecord("t/3_2.png", 3, 2, "gallery")])
    with pytest.raises(DrfmError, match="no query images; look at query_from"):
        plan(two_cameras((1,), "train") + two_cameras((3,), "gallery", "t"), query_from="query")


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(1, 3)), min_size=4, max_size=40),
    st.sampled_from(["random_per_id", "fixed:1"]),
    st.sampled_from(["hash", "thirds", "all", "per_person"]),
    st.integers(0, 3),
)
def test_no_person_is_ever_in_train_and_test(images, lr_camera, rate_rule, seed):
    records = [ImageRecord(f"a/{p}_{c}_{i}.png", p, c) for i, (p, c) in enumerate(images)]
    try:
        result = plan(records, lr_camera=lr_camera, rate_rule=rate_rule, seed=seed, splits=3)
    except DrfmError:
        return
    for split in result.splits:
        assert not who(split.train) & who((*split.query, *split.gallery))
        assert all(f.resolution == "lr" for f in split.query)
        assert all(f.resolution == "hr" and f.rate == 1 for f in split.gallery)
        assert who(split.query) == who(split.gallery)
