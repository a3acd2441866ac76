"""Layers of a configuration: the default, a preset, a YAML file, the command line.

Each layer names only what it changes. Every value is checked against the schema's
type and range, and remembers the layer that it came from.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints

from drfm.config.describe import options, sections, show
from drfm.config.schema import Config
from drfm.config.sources import parse_yaml, preset_names, preset_text, read_yaml
from drfm.config.values import convert, scalar
from drfm.errors import DrfmError

__all__ = [
    "Resolved",
    "differences",
    "flat",
    "from_dict",
    "load_config",
    "nearest",
    "preset_names",
    "to_dict",
    "to_yaml",
    "with_overrides",
]

_NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True)
class Resolved:
    """A complete configuration and where each value came from.

    Attributes:
        config: the checked configuration.
        sources: dotted name of every option to ``"default"``, ``"preset cpu"``, ``"file my.yaml"``
            or ``"command line"``.
    """

    config: Config
    sources: dict[str, str]


def load_config(
    preset: str = "paper", file: Path | None = None, overrides: Mapping[str, object] = _NOTHING
) -> Resolved:
    """Put the layers together: default, then preset, then file, then ``overrides``.

    Args:
        preset: one of :func:`preset_names`, or several joined by ``+``, of which the last one wins:
            ``spcl+cpu``.
        file: YAML with sections or dotted names, or ``None``.
        overrides: dotted names (or sections) to values; text is read as the command line would.

    Raises:
        DrfmError: unknown preset or option, a value of a wrong type or out of range, an unreadable file.
    """
    layers: list[tuple[str, Mapping[str, object]]] = []
    for name in preset.split("+"):
        layers.append((f"preset {name}", parse_yaml(preset_text(name), f"preset {name}")))
    if file is not None:
        layers.append((f"file {file}", read_yaml(Path(file))))
    layers.append(("command line", overrides))

    values = {name: option.default for name, option in options().items()}
    sources = dict.fromkeys(values, "default")
    for source, layer in layers:
        for name, value in _flatten(layer, source):
            values[name] = convert(options()[name], value, source)
            sources[name] = source
    return Resolved(_build(values, sources), sources)


def from_dict(record: Mapping[str, object], source: str = "record") -> Config:
    """The configuration that :func:`to_dict` wrote; options that it does not name keep their defaults.

    Raises:
        DrfmError: an unknown option, or a value that the schema refuses.
    """
    values = {name: option.default for name, option in options().items()}
    for name, value in _flatten(record, source):
        values[name] = convert(options()[name], value, source)
    return _build(values, dict.fromkeys(values, source))


def with_overrides(config: Config, overrides: Mapping[str, object], source: str = "command line") -> Config:
    """``config`` with other values for the options that ``overrides`` names.

    Raises:
        DrfmError: an unknown option, or a value that the schema refuses.
    """
    values = flat(config)
    sources = dict.fromkeys(values, "the configuration")
    for name, value in _flatten(overrides, source):
        values[name] = convert(options()[name], value, source)
        sources[name] = source
    return _build(values, sources)


def to_dict(config: Config) -> dict[str, Any]:
    """The complete configuration as nested dictionaries that JSON and YAML can hold; sizes are lists."""
    record = asdict(config)
    for section in record.values():
        if isinstance(section, dict):
            section.update({name: list(value) for name, value in section.items() if isinstance(value, tuple)})
    return record


def to_yaml(config: Config, sources: Mapping[str, str] = MappingProxyType({})) -> str:
    """The complete configuration as YAML that ``load_config`` reads; ``sources`` become comments."""
    lines: list[str] = []
    section = ""
    for name, value in flat(config).items():
        option = options()[name]
        if option.section != section:
            section = option.section
            lines.append(f"{section}:")
        indent = "  " if section else ""
        line = f"{indent}{name.rpartition('.')[2]}: {scalar(value)}"
        lines.append(f"{line:<44}  # {sources[name]}" if name in sources else line)
    return "\n".join(lines) + "\n"


def flat(config: Config) -> dict[str, object]:
    """Every option's value by dotted name, in the order of the schema."""
    return {
        name: getattr(getattr(config, option.section) if option.section else config, name.rpartition(".")[2])
        for name, option in options().items()
    }


def differences(old: Config, new: Config) -> dict[str, tuple[object, object]]:
    """Options whose values differ: dotted name to (old, new)."""
    before, after = flat(old), flat(new)
    return {name: (before[name], after[name]) for name in before if before[name] != after[name]}


def _flatten(layer: Mapping[str, object], source: str, section: str = "") -> Iterator[tuple[str, object]]:
    """Dotted names and values of a layer; refuses what the schema does not know."""
    seen: set[str] = set()
    for key, value in layer.items():
        name = f"{section}.{key}" if section else str(key)
        found: list[tuple[str, object]]
        if not section and name in sections() and name:
            if value is not None and not isinstance(value, Mapping):
                raise DrfmError(
                    f"{name} = {value} ({source}): a section; name its options, such as {_example(name)}"
                )
            found = list(_flatten(value or {}, source, name))
        elif name in options():
            found = [(name, value)]
        else:
            close = nearest(name)
            mend = f"did you mean {close}?" if close else "`drfm config show` lists them all"
            raise DrfmError(f"{name}: no such option ({source}); {mend}")
        for pair in found:
            if pair[0] in seen:
                raise DrfmError(f"{pair[0]}: given twice ({source}); keep one")
            seen.add(pair[0])
            yield pair


def _example(section: str) -> str:
    return next(name for name, option in options().items() if option.section == section)


def nearest(name: str) -> str | None:
    """The option that ``name`` may have meant: a bare ``k1`` finds ``labels.k1``, or ``None``."""
    leaf = name.rpartition(".")[2]
    same = [known for known in options() if known.rpartition(".")[2] == leaf]
    close = same if len(same) == 1 else difflib.get_close_matches(name, list(options()), n=1, cutoff=0.5)
    return close[0] if close else None


def _build(values: Mapping[str, object], sources: Mapping[str, str]) -> Config:
    """The dataclasses from flat values; a refused range is told with the layer that set the value."""
    grouped: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        section, _, leaf = name.rpartition(".")
        grouped.setdefault(section, {})[leaf] = value
    hints = get_type_hints(Config)
    try:
        built = {section: hints[section](**given) for section, given in grouped.items() if section}
        return Config(**grouped.get("", {}), **built)
    except DrfmError as error:
        name, _, rest = str(error).partition(" = ")
        if name not in sources:
            raise
        value, _, mend = rest.partition(": ")
        raise DrfmError(f"{name} = {show(values[name])} ({sources[name]}): {mend}") from None
