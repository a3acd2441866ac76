"""What README and docs say can be followed: links lead somewhere, commands and options exist."""

import ast
import importlib
import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest

from drfm.cli import app
from drfm.config.describe import options, sections
from drfm.data.choices import PRESETS, BuildChoices
from drfm.data.readers import READERS

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "drfm"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
TEXT = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
NO_OPTIONS = {"labels.fallback", "labels.svg", "labels.json", "model.safetensors", "model.json", "model.onnx"}
"""Words that look like options: an entry of the journal, files of a run and of a bundle."""


def blocks(text: str) -> list[str]:
    return re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    found = []
    for page in PAGES:
        for block in blocks(page.read_text(encoding="utf-8")):
            lines = block.replace("\\\n", " ").splitlines()
            found += [line.strip() for line in lines if line.strip().startswith("drfm ")]
    return sorted(set(found))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("command", commands())
def test_a_documented_command_can_be_read(command):
    words = shlex.split(command, comments=True)[1:]
    if "--help" not in words:
        app.parse_args(words, exit_on_error=False, print_error=False)


def test_every_page_of_docs_is_linked_from_the_readme():
    for name in TEXT:
        assert name == "README.md" or f"({name})" in TEXT["README.md"], name


@pytest.mark.parametrize("name", TEXT)
def test_modules_and_options_that_a_page_names_exist(name):
    words = re.findall(r"`([^`\n]+)`", TEXT[name])
    for word in words:
        if re.fullmatch(r"[a-z_/]+/[a-z0-9_]+\.py|(src|tests)/[a-z0-9_/]+/", word):
            assert (SOURCE / word).exists() or (ROOT / word).exists(), word
        if re.fullmatch(r"drfm(\.[A-Za-z_]+)+", word):
            assert resolves(word), word
        section, _, leaf = word.removeprefix("--").partition(":")[0].partition(".")
        if section in sections() and section and re.fullmatch(r"[a-z0-9_]+", leaf):
            assert f"{section}.{leaf}" in options() or word in NO_OPTIONS, word


def resolves(name: str) -> bool:
    module, _, leaf = name.rpartition(".")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        owner, _, attribute = module.rpartition(".")
        if attribute[:1].isupper():
            return hasattr(getattr(importlib.import_module(owner), attribute), leaf)
        return hasattr(importlib.import_module(module), leaf)
    return True


def test_python_in_the_pages_imports_what_exists():
    found = re.findall(r"^```python\n(.*?)^```", "".join(TEXT.values()), flags=re.MULTILINE | re.DOTALL)
    assert found
    for node in (node for block in found for node in ast.parse(block).body):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name) or importlib.import_module(f"{node.module}.{alias.name}")


def test_the_functions_of_the_method_are_where_its_page_says():
    rows = re.findall(
        r"^\| [0-9, ato]+(?:together)? \| (.+) \| (.+) \|$", TEXT["docs/method.md"], flags=re.MULTILINE
    )
    assert len(rows) == 15
    for functions, modules in rows:
        text = "".join(
            (SOURCE / path).read_text(encoding="utf-8") for path in re.findall(r"`(.+?)`", modules)
        )
        for function in re.findall(r"`(.+?)`", functions):
            assert re.search(rf"(def|class) {function.rpartition('.')[2]}\b", text), function


def test_every_ambiguity_that_the_schema_names_is_on_the_page_of_the_method():
    schema = (SOURCE / "config" / "schema.py").read_text(encoding="utf-8")
    codes = set(re.findall(r"\(([A-G]\d+)\)", schema))
    listed = set(re.findall(r"^\| ([A-G]\d+) \|", TEXT["docs/method.md"], flags=re.MULTILINE))
    assert codes <= listed


def test_the_page_of_benchmarks_names_every_reader_choice_and_preset():
    rows = re.findall(
        r"^\| `([a-z][^`]+)` \| (?:([^|]*) \|)?", TEXT["docs/benchmarks.md"], flags=re.MULTILINE
    )
    named = {name for name, _ in rows}
    assert {*READERS, *PRESETS, *(choice.name for choice in fields(BuildChoices))} == named
    for choice in fields(BuildChoices):
        default = next(text for name, text in rows if name == choice.name).strip().strip("`")
        value = getattr(BuildChoices(), choice.name)
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        assert default == (text.lower() if isinstance(value, bool) else text), choice.name


def test_the_licence_is_complete():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
