from dataclasses import fields

import pytest

from drfm.data.choices import PRESETS, BuildChoices, preset_choices
from drfm.errors import DrfmError


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("seed", -1),
        ("lr_camera", "c1"),
        ("lr_camera", "fixed:"),
        ("kernel", "nearest"),
        ("rates", ()),
        ("rates", (1, 2)),
        ("rates", (2, 2)),
        ("rates", (2, 40)),
        ("rate_rule", "some"),
        ("rounding", "ceil"),
        ("train_lr", "drop"),
        ("query_from", "train"),
        ("splits", -1),
        ("splits", 1000),
        ("test_persons", -5),
        ("height_threshold", -1),
        ("storage", "link"),
        ("seed", "1"),
        ("distractors", "yes"),
        ("lr_camera", 1),
        ("rates", (2.5,)),
    ],
)
def test_values_out_of_range_name_the_option(option, value):
    with pytest.raises(DrfmError, match=f"^{option} = "):
        BuildChoices(**{option: value})


def test_a_fixed_rate_is_one_rate():
    assert BuildChoices(rate_rule="fixed", rates=[4]).rates == (4,)
    with pytest.raises(DrfmError, match="takes one rate"):
        BuildChoices(rate_rule="fixed")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("kind", ["market1501", "cuhk03", "caviar", "viper", "folder"])
def test_presets_are_valid_for_every_kind(preset, kind):
    assert preset_choices(preset, kind, seed=3).seed == 3


def test_presets_follow_their_sources():
    assert preset_choices("drfm", "market1501") == BuildChoices()
    ordinary = preset_choices("ordinary", "market1501")
    assert (ordinary.downsample, ordinary.distractors, ordinary.junk) == ("never", True, False)
    assert preset_choices("sing", "viper").rate_rule == "thirds"
    assert preset_choices("mdiff", "market1501").lr_camera == "fixed:3"
    assert preset_choices("mdiff", "caviar").lr_camera == "auto"
    assert preset_choices("vpfa", "market1501").kernel == "lanczos"
    assert preset_choices("vpfa", "cuhk03").kernel == "bilinear"
    assert preset_choices("cadnet-dev", "cuhk03").kernel == "maxpool"
    assert preset_choices("prpr", "market1501", junk=False).junk is False


def test_unknown_names_are_refused():
    with pytest.raises(DrfmError, match=r"preset = x: give one of drfm, ordinary, sing"):
        preset_choices("x", "folder")
    with pytest.raises(DrfmError, match="kernels = bicubic: not a choice"):
        preset_choices("drfm", "folder", kernels="bicubic")


def test_preset_keys_are_choices_or_data_sets():
    from drfm.data.readers import READERS

    names = {field.name for field in fields(BuildChoices)}
    for entry in PRESETS.values():
        assert set(entry) <= names | set(READERS)
        for kind in set(entry) & set(READERS):
            assert set(entry[kind]) <= names
