"""Runs from a benchmark on disk to files in a run folder."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from drfm.data.build import build_benchmark
from drfm.data.choices import BuildChoices
from drfm.data.readers import read_dataset
from drfm.errors import DrfmError

FILES = {
    "config.yaml", "record.json", "local.json", "journal.jsonl", "checkpoint.pt",
    "model/model.json", "model/model.safetensors",
    "untrained.json", "untrained.md", "untrained-distances.json",
    "trained.json", "trained.md", "trained-distances.json",
}  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def weights(run: Path) -> bytes:
    return (run / "model" / "model.safetensors").read_bytes()


def result(run: Path, stage: str = "trained") -> dict:
    """A result without the time at which its run was begun."""
    value = json.loads((run / f"{stage}.json").read_text())
    del value["facts"]["started"]
    return value


def journal(run: Path) -> list[dict]:
    lines = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


@pytest.fixture
def copy(whole, tmp_path) -> Path:
    """The finished run, to be changed."""
    return shutil.copytree(whole, tmp_path / "copy")


def test_a_run_leaves_its_files_and_no_others(whole):
    assert contents(whole).keys() == FILES
    record = json.loads((whole / "record.json").read_text())
    assert record["headline"] == pytest.approx(record["headline"])
    assert record["pairs"] == {"train": 30, "train_hr": 15, "query": 15, "gallery": 15}
    assert record["images"]["sr"] == "bicubic (interpolation)"
    assert record["weights"] == {"source": "random"}
    assert [line["epoch"] for line in journal(whole)] == [0, 1, 2, 3]
    assert "f" in journal(whole)[0]["quality"]


def test_results_quote_what_they_were_made_from(whole):
    record, trained = json.loads((whole / "record.json").read_text()), result(whole)
    for fact in ("benchmark", "seed", "weights", "identity", "model", "software"):
        assert trained["facts"][fact] == record[fact]
    assert trained["facts"]["stage"] == "trained"
    assert result(whole, "untrained")["facts"]["stage"] == "untrained"
    assert record["benchmark"]["id"] in (whole / "trained.md").read_text()


def test_a_finished_run_trained_again_is_the_same_to_the_byte(copy, train, configure):
    before = contents(copy)
    train(copy, configure(train__epochs=4))
    assert contents(copy) == before


def test_two_and_two_epochs_are_four(whole, train, configure, tmp_path):
    train(tmp_path / "run", configure(train__epochs=2))
    train(tmp_path / "run", configure(train__epochs=4))
    assert weights(tmp_path / "run") == weights(whole)
    assert result(tmp_path / "run") == result(whole)
    assert journal(tmp_path / "run") == journal(whole)


def test_a_seed_is_a_run(train, configure, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(tmp_path / name, configure(seed=seed))
    assert weights(tmp_path / "a") == weights(tmp_path / "b")
    assert weights(tmp_path / "a") != weights(tmp_path / "c")


def test_options_that_shape_no_weight_may_change(copy, whole, train, configure):
    said = []
    changes = {"evaluation__draws": 2, "train__extract_batch": 7, "train__evaluate_every": 1}
    train(copy, configure(train__epochs=5, **changes), say=said.append)
    assert journal(copy)[:4] == journal(whole)
    assert "evaluation" in journal(copy)[4]
    assert len([line for line in said if line.startswith("epoch ")]) == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"labels__k1": 5}, r"copy: was begun with labels\.k1 = 4, not 5; give the same value"),
        ({"images__hr_size": (24, 16)}, r"images\.hr_size = 32x16, not 24x16"),
        ({"seed": 2}, "seed = 1, not 2"),
        ({"train__epochs": 3}, r"train\.epochs = 3: .*copy is in epoch 4 already"),
        ({"train__schedule": "cosine"}, r"train\.schedule = step, not cosine"),
    ],
)
def test_another_configuration_is_refused_and_nothing_is_written(copy, train, configure, change, expected):
    before = contents(copy)
    with pytest.raises(DrfmError, match=expected):
        train(copy, configure(**{"train__epochs": 4, **change}))
    assert contents(copy) == before


def test_epochs_are_bound_where_the_rate_depends_on_them(train, configure, tmp_path):
    train(tmp_path / "run", configure(train__epochs=1, train__schedule="cosine"))
    with pytest.raises(DrfmError, match=r"train\.epochs = 1, not 2"):
        train(tmp_path / "run", configure(train__epochs=2, train__schedule="cosine"))


def test_another_benchmark_is_refused_and_nothing_is_written(copy, pictures, train, configure, tmp_path):
    other = tmp_path / "other"
    build_benchmark(read_dataset("auto", pictures), other, BuildChoices(seed=5))
    before = contents(copy)
    with pytest.raises(DrfmError, match=r"copy: was begun with other data or weights \(benchmark \w{16}"):
        train(copy, configure(train__epochs=4), benchmark=other)
    assert contents(copy) == before


def test_a_run_in_use_by_another_process_is_refused(copy, train, configure):
    script = (
        "import pathlib, sys\nfrom drfm.files import folder_lock\n"
        "with folder_lock(pathlib.Path(sys.argv[1])):\n    print(flush=True)\n    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(copy)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        with pytest.raises(DrfmError, match="copy: in use by another process; wait for it to end"):
            train(copy, configure(train__epochs=4))
        holder.stdin.close()
    train(copy, configure(train__epochs=4))


@pytest.mark.parametrize("persons", ["shuffled", "unknown", "one"])
def test_identities_never_reach_training(pictures, train, configure, tmp_path, persons):
    """The same images with other persons written beside them give the same weights, to the bit."""
    names = sorted(path.name for path in pictures.iterdir())
    trained = [name for name in names if name < "0005"]
    truth = {name: int(name[:4]) for name in names}
    wrong = {
        "shuffled": dict(zip(trained, [truth[name] for name in trained[7:] + trained[:7]], strict=True)),
        "unknown": dict.fromkeys(trained, ""),
        "one": dict.fromkeys(trained, 3),
    }[persons]
    runs = {}
    for case, labels in (("true", truth), ("false", truth | wrong)):
        rows = [
            f"{name},{labels[name]},{name[6]},{'train' if name in trained else 'gallery'}" for name in names
        ]
        listed = pictures / f"{tmp_path.name}.csv"
        listed.write_text("\n".join(["path,person,camera,split", *rows]))
        dataset = read_dataset("csv", listed)
        listed.unlink()
        folder = tmp_path / case
        build_benchmark(dataset, folder, BuildChoices(lr_camera="fixed:1"))
        runs[case] = tmp_path / f"run-{case}"
        train(runs[case], configure(train__epochs=3), benchmark=folder)
    assert weights(runs["true"]) == weights(runs["false"])
    true, false = (json.loads((run / "record.json").read_text()) for run in runs.values())
    assert true["benchmark"]["id"] != false["benchmark"]["id"]
    assert true["headline"] == false["headline"]
    losses = [[line["loss"] for line in journal(run)] for run in runs.values()]
    assert losses[0] == losses[1]
    quality = [line.get("quality") for run in runs.values() for line in journal(run)[-1:]]
    assert quality[0] != quality[1]


def test_a_method_that_does_not_exist_leaves_no_run(train, configure, tmp_path):
    with pytest.raises(DrfmError, match="method = none: choose one of drfm"):
        train(tmp_path / "run", configure(method="none"))
    assert contents(tmp_path / "run") == {}


def test_bad_images_stop_a_run_or_are_listed(bench, train, configure, tmp_path):
    broken = shutil.copytree(bench, tmp_path / "broken")
    image = sorted((broken / "images" / "original").iterdir())[0]
    image.write_bytes(image.read_bytes()[:100])
    with pytest.raises(DrfmError, match=rf"{image.name}: is not the file of the manifest"):
        train(tmp_path / "run", configure(), benchmark=broken, cache=tmp_path / "cache")
    said = []
    options = {"benchmark": broken, "cache": tmp_path / "cache", "say": said.append}
    facts = train(tmp_path / "run", configure(), skip_bad=True, **options)
    assert facts["pairs"]["train"] + facts["pairs"]["gallery"] == 44
    assert said[0] == f"skipped: images/original/{image.name}"
    assert json.loads((tmp_path / "run" / "local.json").read_text())["skip_bad"] is True


def test_a_measured_precision_is_said_recorded_and_kept(train, configure, tmp_path, monkeypatch):
    from drfm.recipes import training

    measured = []
    settle = training.settle_precision

    def low_first(config, model, device, known):
        measured.append(known)
        settled, _ = settle(config, model, device, known or "bfloat16")
        return settled, {} if known else {"chosen": "bfloat16", "seconds": {"bfloat16": 0.1}}

    monkeypatch.setattr(training, "settle_precision", low_first)
    said = []
    for epochs in (1, 2):
        given = configure(train__epochs=epochs, train__precision="auto")
        train(tmp_path / "run", given, say=said.append)
    assert measured == [None, "bfloat16"]
    assert said[0] == "precision: bfloat16 (bfloat16 0.100 s for eight images)"
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    assert record["config"]["train"]["precision"] == "bfloat16"
    assert record["precision"] == {"chosen": "bfloat16", "seconds": {"bfloat16": 0.1}}
    assert "precision: bfloat16" in (tmp_path / "run" / "config.yaml").read_text()
