"""Options of dataclasses on the command line: their own names, words and defaults.

The classes here are made from the schema, so a new option is on the command line by
itself. Every value is taken as text and converted where the other layers are, so that a
wrong one reads the same wherever it comes from, and an option that is not given stays
out of the way of the preset and the file.
"""

from collections.abc import Mapping
from dataclasses import field, fields, make_dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from drfm.config.describe import Option, describe, options, sections, show
from drfm.config.schema import Size
from drfm.data.choices import BuildChoices
from drfm.resolution.choices import SRChoices

_METAVARS = {bool: "BOOL", int: "INT", float: "FLOAT", str: "TEXT", Size: "HxW"}


class Given:
    """Options as given on the command line; ``None`` where they were not."""

    def overrides(self) -> dict[str, object]:
        """Dotted names and text of the options that were given."""
        values = ((item.metadata["option"], getattr(self, item.name)) for item in fields(self))  # type: ignore[arg-type]
        return {name: value for name, value in values if value is not None}


def _parameter(option: Option, group: Group, short: bool) -> Any:
    leaf = option.name.rpartition(".")[2]
    words = " | ".join(show(choice) for choice in option.choices)
    return Parameter(
        name=f"--{leaf if short else option.name}",
        help=f"{option.doc} ({words})" if words else option.doc,
        group=group,
        metavar="CHOICE" if words else _METAVARS.get(option.hint, "N,N"),
        show_default=option.text(option.default) or False,
        negative=(),
        allow_leading_hyphen=True,
    )


def _generate(
    name: str, known: Mapping[str, Option], groups: Mapping[str, Group], *, short: bool = False
) -> type:
    """A frozen dataclass with one text field for each known option, under dotted or short names."""
    made = [
        (
            option.name.replace(".", "__"),
            Annotated[str | None, _parameter(option, groups[option.section], short)],
            field(default=None, metadata={"option": option.name}),
        )
        for option in known.values()
    ]
    # The parser takes a class of the module `types` for a built-in, so the module is named.
    return make_dataclass(name, made, bases=(Given,), frozen=True, namespace={"__module__": __name__})


if TYPE_CHECKING:

    class RunOptions(Given):
        """Every option of a run, under its dotted name."""

    class EvaluationOptions(Given):
        """The options of a test, under short names."""

    class BuildOptions(Given):
        """The choices that make a benchmark."""

    class SROptions(Given):
        """The choices of a super-resolution training."""

else:
    _groups = {
        key: Group(f"Options: {key or 'run'}", help=text, sort_key=100 + number)
        for number, (key, text) in enumerate(sections().items())
    }
    _test = {name: option for name, option in options().items() if option.section == "evaluation"}
    _choices = {"": Group("Choices", help="What makes the benchmark.", sort_key=100)}
    RunOptions = _generate("RunOptions", options(), _groups)
    EvaluationOptions = _generate("EvaluationOptions", _test, _groups, short=True)
    BuildOptions = _generate("BuildOptions", describe(BuildChoices), _choices)
    _training = {"": Group("Choices", help="How the network is trained.", sort_key=100)}
    SROptions = _generate("SROptions", describe(SRChoices), _training)
