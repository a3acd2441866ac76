"""Each command hands the right things to the rooms behind it; those are replaced by recorders here."""

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from drfm.cli import benchmark, main, version
from drfm.config import load_config, to_yaml
from drfm.errors import DrfmError


class Interrupted(Exception):
    pass


class FakeResult:
    def to_dict(self):
        return {"rank1": 0.5}

    def to_markdown(self):
        return "| rank1 |\n"

    def table(self):
        return "a table"


class Recipes(ModuleType):
    def __init__(self):
        super().__init__("drfm.recipes")
        self.calls = []
        self.error = None

    def train(self, benchmark, run, resolved, **named):
        self.calls.append((benchmark, run, resolved, named))
        if self.error:
            raise self.error
        named["say"]("epoch 1")
        return {}

    def evaluate(self, run, overrides, **named):
        self.calls.append((run, overrides))
        named["say"]("extracting")
        return FakeResult()

    def report(self, run):
        self.calls.append(run)
        return run / "report.html"

    def demo(self, out, *, say):
        self.calls.append(out)
        say("drawing")
        return out / "report.html"


@pytest.fixture
def recipes(monkeypatch):
    fake, trainer = Recipes(), ModuleType("drfm.engine.trainer")
    trainer.Interrupted = Interrupted
    monkeypatch.setitem(sys.modules, "drfm.recipes", fake)
    monkeypatch.setattr("drfm.recipes", fake, raising=False)
    monkeypatch.setitem(sys.modules, "drfm.engine.trainer", trainer)
    return fake


def test_train_puts_the_layers_together(recipes, tmp_path, capsys):
    file = tmp_path / "my.yaml"
    file.write_text("labels: {k1: 12}")
    words = ["train", "bench", "--run", str(tmp_path / "run"), "--preset", "cpu", "--config", str(file)]
    assert (
        main([*words, "--train.epochs", "2", "--images.hr-size", "64x32", "--split", "1", "--skip-bad"]) == 0
    )
    ((bench, run, resolved, named),) = recipes.calls
    assert (bench, run) == (Path("bench"), tmp_path / "run")
    expected = load_config("cpu", file, {"train.epochs": 2, "images.hr_size": (64, 32)})
    assert resolved == expected
    assert named["split"] == 1
    assert named["skip_bad"] is True
    assert named["cache"] == tmp_path / "cache"
    assert capsys.readouterr().out == "epoch 1\n"


def test_train_without_options_is_the_paper(recipes, tmp_path):
    assert main(["train", "bench", "--run", str(tmp_path / "run"), "--cache", "store"]) == 0
    _, _, resolved, named = recipes.calls[0]
    assert resolved == load_config("paper")
    assert named["cache"] == Path("store")
    assert named["skip_bad"] is False


def test_train_on_an_existing_run_keeps_its_configuration(recipes, tmp_path):
    own = load_config("cpu", overrides={"labels.t": 0.8})
    (tmp_path / "config.yaml").write_text(to_yaml(own.config))
    assert main(["train", "bench", "--run", str(tmp_path), "--train.epochs", "12"]) == 0
    assert main(["train", "bench", "--run", str(tmp_path), "--preset", "demo"]) == 0
    resumed, named = recipes.calls[0][2], recipes.calls[1][2]
    assert resumed.config.labels == own.config.labels
    assert resumed.config.train.epochs == 12
    assert resumed.sources["labels.t"] == f"file {tmp_path / 'config.yaml'}"
    assert named.config == load_config("demo").config


def test_an_interrupted_training_says_how_to_go_on(recipes, capsys):
    recipes.error = Interrupted()
    assert main(["train", "bench", "--run", "r", "--train.epochs", "3"]) == 130
    stopped = "drfm: stopped, and r saved; go on with: drfm train"
    assert capsys.readouterr().err == f"{stopped} bench --run r\n"
    words = ["a bench", "--run", "r", "--split", "2", "--cache", "c", "--skip-bad"]
    assert main(["train", *words]) == 130
    assert capsys.readouterr().err == f"{stopped} 'a bench' {' '.join(words[1:])}\n"


def test_errors_of_a_recipe_are_one_line(recipes, capsys):
    recipes.error = DrfmError("bench: no such folder")
    assert main(["train", "bench", "--run", "r"]) == 2
    assert capsys.readouterr().err == "drfm: error: bench: no such folder\n"


@pytest.mark.parametrize(
    "words", [["--labels.k1", "0"], ["--split", "-1"], ["--preset", "none"], ["--config", "none"]]
)
def test_a_refused_option_stops_before_anything_is_read(recipes, words, capsys):
    assert main(["train", "bench", "--run", "r", *words]) == 2
    assert not recipes.calls


def test_evaluate_shows_and_writes(recipes, tmp_path, capsys):
    out = tmp_path / "results.json"
    assert main(["evaluate", str(tmp_path), "--features", "hr", "--draws", "3", "--out", str(out)]) == 0
    assert recipes.calls == [(tmp_path, {"evaluation.features": "hr", "evaluation.draws": "3"})]
    assert "a table" in capsys.readouterr().out
    assert json.loads(out.read_text()) == {"rank1": 0.5}


def test_what_evaluate_shows_can_be_read_by_a_program(recipes, tmp_path, capsys):
    assert main(["evaluate", str(tmp_path), "--format", "json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"rank1": 0.5}
    assert shown.err == "extracting\n"
    assert main(["evaluate", str(tmp_path), "--format", "markdown"]) == 0
    assert capsys.readouterr().out == "| rank1 |\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [("evaluate", "none: no such run folder"), ("report", "none: no such folder; `drfm train` makes a run")],
)
def test_a_missing_run_is_told(recipes, command, message, capsys):
    assert main([command, "none"]) == 2
    assert message in capsys.readouterr().err


def test_report_and_demo_say_where_the_page_is(recipes, tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 0
    assert main(["demo", "--out", "d"]) == 0
    assert recipes.calls == [tmp_path, Path("d")]
    assert capsys.readouterr().out == f"report: {tmp_path}/report.html\ndrawing\nreport: d/report.html\n"


def test_config_show_can_be_given_back(tmp_path, capsys):
    assert main(["config", "show", "--preset", "cpu", "--labels.k1", "12", "--model.normalise=false"]) == 0
    text = capsys.readouterr().out
    assert yaml.safe_load(text)["labels"]["k1"] == 12
    assert "# command line" in text
    file = tmp_path / "complete.yaml"
    file.write_text(text)
    again = load_config(file=file)
    assert again.config == load_config("cpu", None, {"labels.k1": 12, "model.normalise": False}).config
    assert set(again.sources.values()) == {f"file {file}"}


def test_config_presets_and_docs(tmp_path, capsys):
    assert main(["config", "presets"]) == 0
    assert "# preset author_style" in capsys.readouterr().out
    assert main(["config", "docs", "--out", str(tmp_path / "c.md")]) == 0
    assert main(["config", "docs"]) == 0
    assert capsys.readouterr().out == (tmp_path / "c.md").read_text()


def test_version_names_parts_and_device(monkeypatch, capsys):
    monkeypatch.setattr(version, "_device", lambda: "cpu")
    monkeypatch.setattr(version, "EXTRAS", ("no-such-part",))
    assert main(["version"]) == 0
    out = capsys.readouterr().out
    assert "torch 2." in out
    assert "no-such-part not installed" in out
    assert "device cpu" in out


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").touch()
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    echo = "open(sys.argv[1], 'w').write(' '.join(sys.argv[2:]))"
    (folder / "echo.py").write_text(f'import sys\nif __name__ == "__main__":\n    {echo}\n')
    every = "open(sys.argv[2], 'w').write(' '.join([sys.argv[1], *sys.argv[3:]]))"
    (folder / "all.py").write_text(f'import sys\nif __name__ == "__main__":\n    {every}\n')
    (folder / "fail.py").write_text('if __name__ == "__main__":\n    raise SystemExit(3)\n')
    (folder / "shared.py").touch()
    monkeypatch.setattr(benchmark.drfm, "__file__", str(tmp_path / "src" / "drfm" / "__init__.py"))
    return tmp_path


def test_benchmark_lists_and_runs_scripts(checkout, capsys):
    assert main(["benchmark", "list"]) == 0
    assert capsys.readouterr().out == "all\necho\nfail\n"
    assert main(["benchmark", "echo", str(checkout / "out"), "--n", "3", "-x"]) == 0
    assert (checkout / "out").read_text() == "--n 3 -x"
    assert main(["benchmark", "--n", str(checkout / "all-out"), "3"]) == 0
    assert (checkout / "all-out").read_text() == "--n 3"


def test_benchmark_says_what_failed(checkout, capsys):
    assert main(["benchmark", "fail"]) == 2
    assert "ended with code 3" in capsys.readouterr().err
    assert main(["benchmark", "none"]) == 2
    assert "choose from list, all, echo, fail" in capsys.readouterr().err


def test_benchmark_needs_a_checkout(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(benchmark.drfm, "__file__", str(tmp_path / "a" / "b" / "drfm" / "__init__.py"))
    assert main(["benchmark", "labels"]) == 2
    assert "clone the repository" in capsys.readouterr().err
