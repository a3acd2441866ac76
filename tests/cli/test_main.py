import subprocess
import sys

import pytest
from cyclopts import App

import drfm
from drfm import cli
from drfm.cli import main
from drfm.config.describe import describe, options
from drfm.data.choices import BuildChoices
from drfm.errors import DrfmError


def run(capsys, *words):
    code = main(words)
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def refused(capsys, *words):
    code, _, err = run(capsys, *words)
    assert code == 2
    assert err.startswith("drfm: error: ")
    assert err.count("\n") == 1
    return err.removeprefix("drfm: error: ").rstrip("\n")


def test_help_names_the_commands(capsys):
    code, out, err = run(capsys, "--help")
    assert (code, err) == (0, "")
    for command in ("data", "train", "evaluate", "report", "demo", "config", "benchmark", "version"):
        assert f" {command} " in out


@pytest.mark.parametrize("words", [("train",), ("config", "show")])
def test_help_lists_every_option_with_its_words_and_default(capsys, words):
    _, out, _ = run(capsys, *words, "--help")
    text = " ".join(out.replace("│", " ").split())
    for name, option in options().items():
        assert f"--{name} " in text
        assert f"[default: {option.text(option.default)}]" in text
    assert "Neighbours averaged in the query expansion; 1 switches it off." in text


def test_help_of_build_lists_every_choice(capsys):
    _, out, _ = run(capsys, "data", "build", "--help")
    for name in describe(BuildChoices):
        assert f"--{name} " in out


def test_help_of_evaluate_lists_its_options_alone(capsys):
    _, out, _ = run(capsys, "evaluate", "--help")
    assert "--draws " in out
    assert "--k1" not in out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trian"], 'Unknown command "trian". Did you mean "train"?'),
        (["train"], "BENCHMARK requires an argument. See `drfm train --help`"),
        (["train", "b"], "--run requires an argument. See `drfm train --help`"),
        (["train", "b", "c", "--run", "r"], "['c']"),
        (["config", "show", "--labels.k11", "3"], "--labels.k11. Did you mean --labels.k1? See"),
        (["config", "show", "--k1", "3"], "--k1. Did you mean --labels.k1? See"),
        (["config", "show", "--zzzz"], "Unknown option: --zzzz. See `drfm config show --help`"),
        (["config", "show", "--labels.k1"], "--labels.k1 requires an argument"),
        (["config", "show", "--labels.k1", "3", "--labels.k1", "4"], "--labels.k1 specified multiple times"),
        (["evaluate", ".", "--format", "jsn"], 'Did you mean "json"? See `drfm evaluate --help`'),
        (["train", "b", "--run", "r", "--split", "x"], "--split"),
    ],
)
def test_a_command_line_that_cannot_be_read_is_one_line(capsys, words, expected):
    assert expected in refused(capsys, *words)


def raising(monkeypatch, error):
    app = App(name="drfm", result_action="return_none", suppress_keyboard_interrupt=False)

    @app.command
    def fail():
        raise error

    monkeypatch.setattr(cli, "app", app)


def test_bad_input_is_one_line_and_code_2(capsys, monkeypatch):
    raising(monkeypatch, DrfmError("a.png: is empty;\n  replace it"))
    assert refused(capsys, "fail") == "a.png: is empty; replace it"


@pytest.mark.parametrize(
    ("said", "shown"), [("", "run the same command again"), ("saved; go on", "saved; go on")]
)
def test_control_c_is_one_line_and_code_130(capsys, monkeypatch, said, shown):
    raising(monkeypatch, KeyboardInterrupt(said))
    code, _, err = run(capsys, "fail")
    assert code == 130
    assert shown in err
    assert err.count("\n") == 1


def test_a_machine_without_torch_is_one_line(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    code, out, err = run(capsys, "version")
    assert (code, err) == (0, "")
    assert "device none" in out
    raising(monkeypatch, ModuleNotFoundError("No module named 'torch'", name="torch"))
    assert "needs PyTorch, which is not installed" in refused(capsys, "fail")
    raising(monkeypatch, ModuleNotFoundError("No module named 'else'", name="else"))
    with pytest.raises(ModuleNotFoundError, match="else"):
        main(["fail"])


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch):
    raising(monkeypatch, ZeroDivisionError("a fault"))
    with pytest.raises(ZeroDivisionError, match="a fault"):
        main(["fail"])


def script(*words):
    code = "import sys, drfm.cli; sys.exit(drfm.cli.main())"
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)


def test_as_a_process_errors_have_no_traceback():
    ran = script("config", "show", "--labels.k1", "0")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "drfm: error: labels.k1 = 0 (command line): give 1 to 1000\n"


def test_a_reader_that_stops_early_is_no_error():
    code = "import sys, drfm.cli; sys.exit(drfm.cli.main())"
    command = f'"{sys.executable}" -c "{code}" config docs | true'
    ran = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert ran.stderr == ""


def test_version(capsys):
    assert run(capsys, "--version")[1].strip() == drfm.__version__
