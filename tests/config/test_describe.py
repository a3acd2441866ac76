from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from drfm.config.describe import describe, options, reference, sections, show
from drfm.config.schema import Size
from drfm.config.values import convert
from drfm.errors import DrfmError
from drfm.methods import METHODS


@dataclass(frozen=True)
class Small:
    """A small one."""

    size: Size = (8, 4)
    """Two
    lines."""
    rates: tuple[int, ...] = (2, 3)
    kind: Literal["a", "b"] = "a"
    """A letter."""


def test_every_option_has_a_sentence_and_a_default():
    for name, option in options().items():
        assert option.name == name
        assert option.doc.endswith((".", ")")), name
        assert "\n" not in option.doc
        assert option.default is not None
        assert option.section in sections()


def test_a_description_reads_names_types_and_sentences():
    found = describe(Small)
    assert list(found) == ["size", "rates", "kind"]
    assert [option.kind for option in found.values()] == ["HEIGHTxWIDTH", "whole numbers with commas", "a, b"]
    assert found["size"].doc == "Two lines."
    assert found["rates"].doc == ""
    assert found["rates"].text((2, 3)) == "2,3"
    assert found["size"].text((8, 4)) == "8x4"


@pytest.mark.parametrize(("text", "value"), [("2,3,4", (2, 3, 4)), ("4", (4,)), ([2, 3], (2, 3))])
def test_lists_of_whole_numbers(text, value):
    assert convert(describe(Small)["rates"], text, "command line") == value


@pytest.mark.parametrize("text", ["", "2,x", "2;3", 3, [2.5], []])
def test_bad_lists_of_whole_numbers(text):
    with pytest.raises(DrfmError, match="give whole numbers with commas"):
        convert(describe(Small)["rates"], text, "command line")


def test_show_writes_what_the_command_line_reads():
    assert [show(value) for value in (True, False, 3, 0.5, "a", (1, 2), [1, 2])] == [
        "true", "false", "3", "0.5", "a", "1x2", "1x2",
    ]  # fmt: skip


def test_the_reference_names_every_option():
    text = reference()
    for name in options():
        assert f"| `{name}` |" in text


def test_the_reference_lists_what_methods_have_of_their_own():
    @dataclass(frozen=True)
    class Own:
        gap: float = 0.02
        """A gap."""

    assert "## Options of some\n" in reference({"some": Own})
    assert "| `gap` | `0.02` | number | A gap. |" in reference({"some": Own})


def test_the_reference_in_docs_is_up_to_date():
    written = Path(__file__).parents[2] / "docs" / "configuration.md"
    own = {name: kind.Options for name, kind in METHODS.items() if hasattr(kind, "Options")}
    assert written.read_text(encoding="utf-8") == reference(own), (
        "run `drfm config docs --out docs/configuration.md`"
    )
