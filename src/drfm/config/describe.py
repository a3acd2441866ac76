"""What every option is: its type, default and one sentence, read from the schema itself."""

import ast
import inspect
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from drfm.config.schema import Config, Size

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Option:
    """One option: a field of a frozen dataclass.

    Attributes:
        name: dotted name, such as ``labels.k1``.
        section: name of its section, empty for the options of a whole run.
        hint: the type as the dataclass annotates it.
        default: value in the default configuration.
        doc: the sentence below the field.
    """

    name: str
    section: str
    hint: Any
    default: object
    doc: str

    @property
    def choices(self) -> tuple[object, ...]:
        """The allowed values of a closed choice, else nothing."""
        return get_args(self.hint) if get_origin(self.hint) is Literal else ()

    @property
    def kind(self) -> str:
        """What may be given, for people: the choices, or the type in a word."""
        if self.choices:
            return ", ".join(show(choice) for choice in self.choices)
        words = {int: "whole number", float: "number", bool: "true, false", str: "text", Size: "HEIGHTxWIDTH"}
        return words.get(self.hint, "whole numbers with commas")

    def text(self, value: object) -> str:
        """A value of this option as YAML and the command line take it."""
        return show(value).replace("x", ",") if self.hint == tuple[int, ...] else show(value)


def show(value: object) -> str:
    """A value as YAML and the command line take it: ``true``, ``0.00035``, ``256x128``, ``bicubic``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (tuple, list)):
        return "x".join(str(part) for part in value)
    return str(value)


@cache
def options() -> MappingProxyType[str, Option]:
    """Every option of a run by dotted name, in the order of the schema."""
    return MappingProxyType(describe(Config))


@cache
def sections() -> MappingProxyType[str, str]:
    """Every section's name and the first line of its description; the empty name is the whole run."""
    found = {"": _summary(Config)}
    for name, hint in get_type_hints(Config).items():
        if is_dataclass(hint):
            found[name] = _summary(hint)
    return MappingProxyType(found)


def _summary(kind: Any) -> str:
    return (inspect.getdoc(kind) or "").split("\n", 1)[0]


def describe(kind: Any, section: str = "") -> dict[str, Option]:
    """The fields of a dataclass and of the dataclasses in it, by dotted name."""
    found: dict[str, Option] = {}
    hints, docs = get_type_hints(kind), _field_docs(kind)
    for item in fields(kind):
        hint = hints[item.name]
        if is_dataclass(hint):
            found |= describe(hint, item.name)
            continue
        name = f"{section}.{item.name}" if section else item.name
        default = item.default if item.default is not MISSING else None
        found[name] = Option(name, section, hint, default, docs.get(item.name, ""))
    return found


def _field_docs(kind: Any) -> dict[str, str]:
    """The string below each field of a dataclass, on one line; Python keeps it in the source alone."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    docs = {}
    for statement, following in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            docs[statement.target.id] = " ".join(str(following.value.value).split())
    return docs


def reference(own: Mapping[str, Any] = _NOTHING) -> str:
    """The configuration reference as Markdown: every option with its default and what it may be.

    Args:
        own: names of methods with the dataclasses of the options that are their own.
    """
    lines = [
        "# Configuration",
        "",
        "<!-- Written by `drfm config docs`; change src/drfm/config/schema.py instead. -->",
        "",
        "Each value comes from the last of four layers that names it: the default, the preset",
        "(`--preset`), a YAML file (`--config`), the command line (`--labels.k1 10`). `drfm config show`",
        "takes the same options and prints the complete configuration with the source of each value; what",
        "it prints is itself a file for `--config`. Codes in brackets, such as C2, name the entries of the",
        "list of ambiguities in [the method](method.md).",
        "",
        "A file names only what it changes:",
        "",
        "```yaml",
        "labels:",
        "  k1: 10",
        "  k2: 3",
        "images:",
        "  lr_size: 128x64",
        "```",
        "",
        *_presets(),
    ]
    for section, summary in sections().items():
        lines += [f"## {section or 'The whole run'}", "", summary, ""]
        lines += _table(option for option in options().values() if option.section == section)
    for method, kind in own.items():
        found = describe(kind)
        if found:
            text = f"Given together, as `options: NAME=VALUE,NAME=VALUE` with `method: {method}`."
            lines += [f"## Options of {method}", "", text, "", *_table(found.values())]
    return "\n".join(lines).rstrip() + "\n"


def _table(rows: Iterable[Option]) -> list[str]:
    lines = ["| option | default | may be | meaning |", "|---|---|---|---|"]
    for option in rows:
        cells = (f"`{option.name}`", f"`{option.text(option.default)}`", option.kind, option.doc)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return [*lines, ""]


def _presets() -> list[str]:
    from drfm.config.sources import preset_names, preset_text

    lines = [
        "## Presets",
        "",
        "Each is a small difference to the defaults.",
        "",
    ]
    for name in preset_names():
        lines += [f"### {name}", "", "```yaml", preset_text(name).strip(), "```", ""]
    return lines
