import dataclasses
import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from drfm.config import (
    Config,
    LabelsConfig,
    differences,
    from_dict,
    load_config,
    preset_names,
    to_dict,
    to_yaml,
)
from drfm.config.describe import Option, options
from drfm.config.load import flat, nearest, with_overrides
from drfm.config.schema import Size
from drfm.errors import DrfmError


def refusal(preset="paper", file=None, overrides=None):
    with pytest.raises(DrfmError) as caught:
        load_config(preset, file, overrides or {})
    line = str(caught.value)
    assert "\n" not in line
    return line


def write(folder, text, name="my.yaml"):
    path = folder / name
    path.write_text(text)
    return path


def test_no_layer_gives_the_paper():
    resolved = load_config()
    assert resolved == load_config("paper")
    assert list(resolved.sources) == list(options())
    assert set(resolved.sources.values()) == {"default", "preset paper"}


def test_each_layer_covers_the_one_before(tmp_path):
    file = write(tmp_path, "labels: {k1: 12}\ntrain:\n  epochs: 3\n  iterations: 7\n")
    resolved = load_config("cpu", file, {"train.epochs": 2})
    config, sources = resolved.config, resolved.sources
    assert (config.labels.k2, sources["labels.k2"]) == (3, "preset cpu")
    assert (config.labels.k1, sources["labels.k1"]) == (12, f"file {file}")
    assert (config.train.iterations, sources["train.iterations"]) == (7, f"file {file}")
    assert (config.train.epochs, sources["train.epochs"]) == (2, "command line")
    assert (config.labels.eps, sources["labels.eps"]) == (0.6, "default")


def test_sections_and_dotted_names_are_the_same():
    nested = load_config(overrides={"labels": {"k1": 8, "k2": 2}, "seed": 3}).config
    dotted = load_config(overrides={"labels.k1": 8, "labels.k2": 2, "seed": 3}).config
    assert nested == dotted
    assert nested.labels.k1 == 8


def test_an_empty_file_or_section_changes_nothing(tmp_path):
    assert load_config(file=write(tmp_path, "")).config == load_config().config
    assert load_config(file=write(tmp_path, "# nothing\nlabels:\n")).config == load_config().config


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("labels.k11", "did you mean labels.k1?"),
        ("k1", "did you mean labels.k1?"),
        ("label.k1", "did you mean labels.k1?"),
        ("trian.epochs", "did you mean train.epochs?"),
        ("nothing_like_it", "`drfm config show` lists them all"),
    ],
)
def test_unknown_names_are_refused_with_a_suggestion(name, expected):
    line = refusal(overrides={name: 1})
    assert line == f"{name}: no such option (command line); {expected}"


def test_nearest_does_not_guess_between_two_sections():
    assert nearest("centroids") == "labels.centroids"
    assert nearest("zzzzzz") is None


def test_unknown_section_in_a_file_names_the_file(tmp_path):
    file = write(tmp_path, "lables:\n  k1: 3\n")
    assert f"(file {file})" in refusal(file=file)


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ({"labels.k1": 0}, "labels.k1 = 0 (command line): give 1 to 1000"),
        ({"labels.k1": "ten"}, "labels.k1 = ten (command line): give a whole number"),
        ({"labels.k1": 1.5}, "labels.k1 = 1.5 (command line): give a whole number"),
        ({"labels.k1": True}, "labels.k1 = true (command line): give a whole number"),
        ({"labels.k1": None}, "labels.k1 = None (command line): give a whole number"),
        ({"labels.k1": ""}, "labels.k1 = '' (command line): give a whole number"),
        ({"labels.k1": "1_0"}, "labels.k1 = 1_0 (command line): give a whole number"),
        ({"labels.eps": "wide"}, "labels.eps = wide (command line): give a number"),
        ({"labels.eps": True}, "labels.eps = true (command line): give a number"),
        ({"labels.eps": "nan"}, "labels.eps = nan (command line): give a finite number"),
        ({"train.lr": "inf"}, "train.lr = inf (command line): give a finite number"),
        ({"labels.eps": 2}, "labels.eps = 2.0 (command line): give a radius between 0 and 2"),
        ({"model.normalise": "yes"}, "model.normalise = yes (command line): give true or false"),
        ({"model.normalise": 1}, "model.normalise = 1 (command line): give true or false"),
        ({"model.backbone": 50}, "model.backbone = 50 (command line): give text; in YAML, put it in quotes"),
        ({"model.backbone": " a"}, "give text on one line, without spaces around it"),
        ({"model.backbone": ""}, "give text on one line, without spaces around it"),
        ({"model.pooling": "gemm"}, "choose from average, gem, gem_fixed. Did you mean gem?"),
        ({"model.last_stride": 3}, "model.last_stride = 3 (command line): choose from 1, 2"),
        ({"model.last_stride": True}, "model.last_stride = true (command line): choose from 1, 2"),
        ({"images.hr_size": "256"}, "give HEIGHTxWIDTH in pixels, such as 256x128"),
        ({"images.hr_size": [256]}, "give HEIGHTxWIDTH in pixels, such as 256x128"),
        ({"images.hr_size": [256, 128.0]}, "give HEIGHTxWIDTH in pixels, such as 256x128"),
        ({"images.hr_size": "4x4"}, "images.hr_size = 4x4 (command line): give height and width between"),
        ({"labels": 3}, "labels = 3 (command line): a section; name its options, such as labels.source"),
        ({"labels": {"k1": 9}, "labels.k1": 10}, "labels.k1: given twice (command line); keep one"),
        ({"loss.tau_sc": 0}, "loss.tau_sc = 0.0 (command line): give a temperature above 0"),
        ({"memory.slot_alpha": 1}, "memory.slot_alpha = 1.0 (command line): give 0 or more and less than 1"),
        ({"seed": -1}, "seed = -1 (command line): give 0 to 2147483647"),
        ({"": 1}, "no such option"),
    ],
)
def test_a_wrong_value_is_one_line_with_option_value_and_mend(overrides, line):
    assert line in refusal(overrides=overrides)


def test_a_range_that_two_options_share_names_the_layer_that_set_the_value():
    assert refusal(overrides={"labels.k1": 4}) == "labels.k2 = 6 (default): give 1 to k1 (4)"
    assert refusal("cpu", overrides={"labels.k1": 2}) == "labels.k2 = 3 (preset cpu): give 1 to k1 (2)"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("images.hr_size", "256x64", (256, 64)),
        ("images.hr_size", "256,64", (256, 64)),
        ("images.hr_size", [256, 64], (256, 64)),
        ("images.hr_size", (256, 64), (256, 64)),
        ("labels.k1", " 40 ", 40),
        ("labels.k1", "+40", 40),
        ("train.lr", "1e-3", 1e-3),
        ("train.lr", 1, 1.0),
        ("model.normalise", "False", False),
        ("model.last_stride", "2", 2),
        ("model.last_stride", 2, 2),
        ("model.crff_activation", "none", "none"),
        ("model.weights", "/data/a b.safetensors", "/data/a b.safetensors"),
    ],
)
def test_accepted_forms(name, text, value):
    found = flat(load_config(overrides={name: text}).config)[name]
    assert found == value
    assert type(found) is type(value)


def test_yaml_numbers_without_a_dot_are_numbers(tmp_path):
    assert load_config(file=write(tmp_path, "train: {lr: 1e-3}")).config.train.lr == 1e-3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("labels:\n  k1: [1\n  k2: 3\n", "line 3: not valid YAML"),
        ("labels:\n\tk1: 3\n", "line 2: not valid YAML"),
        ("labels:\n  k1: 3\n  k1: 4\n", "line 3: not valid YAML (k1 is named twice)"),
        ("seed: 1\n---\nseed: 2\n", "line 2: not valid YAML"),
        ("seed: !!python/object:os.system x\n", "line 1: not valid YAML"),
        ("[1, 2]", "holds no options"),
        ("just words", "holds no options"),
        ("a: \x07", "not valid YAML"),
        ("[" * 400, "not valid YAML"),
        ("? [a, b]\n: 3\n", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_yaml_names_file_and_line(tmp_path, text, expected):
    file = write(tmp_path, text)
    line = refusal(file=file)
    assert line.startswith(str(file))
    assert expected in line


def test_files_that_cannot_be_read(tmp_path):
    assert "no such file" in refusal(file=tmp_path / "none.yaml")
    assert "cannot be read (Is a directory)" in refusal(file=tmp_path)
    raw = tmp_path / "raw.yaml"
    raw.write_bytes(b"\xff\xfe\xfa\x00")
    assert "not UTF-8 text" in refusal(file=raw)


def test_an_unknown_preset_is_refused_with_the_known_ones():
    line = refusal("cpo")
    assert "choose from paper, a1, a2" in line
    assert "Did you mean cpu?" in line
    assert "preset" in refusal("../presets/cpu")


def test_every_preset_is_a_valid_small_difference():
    assert preset_names()[0] == "paper"
    assert set(preset_names()) >= {"paper", "author_style", "cpu", "demo"}
    for name in preset_names():
        resolved = load_config(name)
        named = {option for option, source in resolved.sources.items() if source != "default"}
        changed = set(differences(Config(), resolved.config))
        assert changed <= named
        assert len(named) < 25


def test_the_paper_preset_is_the_default_with_the_papers_super_resolution():
    assert differences(Config(), load_config("paper").config) == {"images.sr": ("bicubic", "swin2sr")}


def test_the_author_style_preset():
    assert differences(Config(), load_config("author_style").config) == {
        "images.sr": ("bicubic", "swin2sr"),
        "augment.erase": (0.0, 0.5),
        "model.predictor": ("linear", "linear_bn"),
        "model.crff_activation": ("none", "relu"),
        "model.crff_norm": ("l2", "bn_l2"),
    }


def test_yaml_says_the_source_of_each_value():
    resolved = load_config("cpu", overrides={"labels.k1": 20})
    lines = to_yaml(resolved.config, resolved.sources).splitlines()
    assert next(line for line in lines if line.strip().startswith("k1:")).endswith("# command line")
    assert next(line for line in lines if line.strip().startswith("bn_groups:")).endswith("# preset cpu")
    assert next(line for line in lines if line.strip().startswith("eps:")).endswith("# default")
    assert len(lines) == len(options()) + sum(
        dataclasses.is_dataclass(value) for value in vars(Config()).values()
    )


def test_a_record_of_another_version_is_told_apart():
    record = to_dict(Config())
    record["labels"]["k3"] = 1
    with pytest.raises(DrfmError, match=r"labels.k3: no such option \(old/record.json\)"):
        from_dict(record, "old/record.json")


def test_a_record_without_an_option_takes_its_default():
    record = to_dict(load_config("cpu").config)
    del record["evaluation"]
    assert from_dict(record) == load_config("cpu").config


def test_with_overrides_changes_what_it_names_and_nothing_else():
    start = load_config("cpu").config
    assert differences(start, with_overrides(start, {"evaluation.draws": "3"})) == {
        "evaluation.draws": (10, 3)
    }
    assert with_overrides(start, {}) == start
    with pytest.raises(DrfmError, match=r"evaluation.draws = 0 \(command line\): give 1 or more"):
        with_overrides(start, {"evaluation.draws": "0"})


def test_inputs_are_left_as_they_were():
    overrides = {"labels": {"k1": "8", "k2": "2"}}
    load_config(overrides=overrides)
    assert overrides == {"labels": {"k1": "8", "k2": "2"}}


def valid(option: Option) -> st.SearchStrategy[object]:
    """Values of an option that no range refuses, near its default."""
    if option.choices:
        return st.sampled_from(option.choices)
    if option.hint is bool:
        return st.booleans()
    if option.hint is int:
        return st.integers(option.default, option.default + 4)
    if option.hint is float:
        return st.floats(option.default * 0.9, option.default * 1.05 + 1e-6)
    if option.hint == Size:
        return st.tuples(st.integers(8, 1024), st.integers(8, 1024))
    text = st.text(min_size=1, max_size=20).map(str.strip)
    return text.filter(lambda value: value.isprintable() and value)


overriding = st.fixed_dictionaries({}, optional={name: valid(option) for name, option in options().items()})


@settings(max_examples=20, deadline=None)
@given(overrides=overriding)
def test_round_trips(tmp_path_factory, overrides):
    config = load_config(overrides=overrides).config
    assert {name: flat(config)[name] for name in overrides} == overrides
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config
    text = to_yaml(config)
    assert from_dict(yaml.safe_load(text)) == config
    file = tmp_path_factory.mktemp("round") / "config.yaml"
    file.write_text(text, encoding="utf-8")
    assert load_config(file=file).config == config
    words = {name: options()[name].text(value) for name, value in overrides.items()}
    assert load_config(overrides=words).config == config


def test_direct_construction_checks_ranges_too():
    with pytest.raises(DrfmError, match=r"labels.k2 = 6: give 1 to k1 \(5\)"):
        LabelsConfig(k1=5)
