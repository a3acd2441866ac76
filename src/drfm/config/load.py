"""Layers of a configuration: the default, a preset, a YAML file, the command line.

Each layer names only what it changes. Every value is checked against the schema's
type and range, and remembers the layer that it came from.
"""

import difflib
import math
import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints

import yaml

from drfm.config.describe import Option, options, sections, show
from drfm.config.schema import Config
from drfm.errors import DrfmError

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
        preset: one of :func:`preset_names`.
        file: YAML with sections or dotted names, or ``None``.
        overrides: dotted names (or sections) to values; text is read as the command line would.

    Raises:
        DrfmError: unknown preset or option, a value of a wrong type or out of range, an unreadable file.
    """
    layers: list[tuple[str, Mapping[str, object]]] = []
    layers.append((f"preset {preset}", _parse(preset_text(preset), f"preset {preset}")))
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
        line = f"{indent}{name.rpartition('.')[2]}: {_scalar(value)}"
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


def preset_names() -> list[str]:
    """Names of the presets: ``paper`` first, the others in alphabetical order."""
    found = (Path(entry.name) for entry in files("drfm.config").joinpath("presets").iterdir())
    return sorted(
        (path.stem for path in found if path.suffix == ".yaml"), key=lambda name: (name != "paper", name)
    )


def preset_text(name: str) -> str:
    """The YAML text of a preset, comments included.

    Raises:
        DrfmError: there is no such preset.
    """
    if name not in preset_names():
        known = ", ".join(preset_names())
        raise DrfmError(
            f"preset = {name}: no such preset; choose from {known}{_suggest(name, preset_names())}"
        )
    return files("drfm.config").joinpath("presets", f"{name}.yaml").read_text(encoding="utf-8")


def read_yaml(file: Path) -> Mapping[str, object]:
    """Read a configuration file.

    Raises:
        DrfmError: it is missing, unreadable, not YAML, not a mapping, or names a key twice.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DrfmError(f"{file}: no such file; `drfm config show` writes one") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise DrfmError(f"{file}: cannot be read ({reason}); give a YAML file") from None
    return _parse(text, str(file))


class _Loader(yaml.SafeLoader):
    """The safe loader, except that a key named twice is an error and not a silent choice of the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build the mapping after a look for doubled keys."""
        seen: set[object] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value} is named twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _parse(text: str, where: str) -> Mapping[str, object]:
    try:
        loaded = yaml.load(text, _Loader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise DrfmError(f"{where}{line}: not valid YAML ({error.problem}); mend that line") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise DrfmError(f"{where}: not valid YAML ({reason}); mend the file") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise DrfmError(f"{where}: holds no options; write lines such as `labels: {{k1: 10}}`")
    return loaded


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
            raise DrfmError(f"{name}: no such option ({source}); {_hint(name)}")
        for pair in found:
            if pair[0] in seen:
                raise DrfmError(f"{pair[0]}: given twice ({source}); keep one")
            seen.add(pair[0])
            yield pair


def _example(section: str) -> str:
    return next(name for name, option in options().items() if option.section == section)


def _suggest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f". Did you mean {close[0]}?" if close else ""


def _hint(name: str) -> str:
    """The nearest option: a bare name such as ``k1`` finds ``labels.k1``."""
    leaf = name.rpartition(".")[2]
    same = [known for known in options() if known.rpartition(".")[2] == leaf]
    close = (
        same[:1] if len(same) == 1 else difflib.get_close_matches(name, [*options(), *same], n=1, cutoff=0.5)
    )
    return f"did you mean {close[0]}?" if close else "`drfm config show` lists them all"


def convert(option: Option, value: object, source: str) -> object:
    """``value`` as the option's type; text is read as the command line gives it.

    Whole numbers serve as numbers; nothing else changes its type, so that ``k1: 1.5``,
    ``k1: true`` and ``backbone: 50`` are refused.

    Raises:
        DrfmError: the value is of another type, not finite, or not among the choices.
    """
    converted, mend = _typed(option, value)
    if mend:
        raise DrfmError(f"{option.name} = {show(value)} ({source}): {mend}")
    return converted


def _typed(option: Option, value: object) -> tuple[object, str]:
    """The converted value, and what to give instead (empty if it was right)."""
    if option.choices:
        for choice in option.choices:
            if show(choice) == show(value) and isinstance(value, (str, type(choice))):
                return choice, ""
        close = _suggest(show(value), [show(choice) for choice in option.choices])
        return None, f"choose from {option.kind}{close}"
    reader = {bool: _bool, int: _int, float: _float, str: _str}.get(option.hint, _size)
    return reader(value)


def _bool(value: object) -> tuple[object, str]:
    known = {"true": True, "false": False}
    answer = value if isinstance(value, bool) else known.get(str(value).lower())
    return answer, "" if answer is not None else "give true or false"


def _int(value: object) -> tuple[object, str]:
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", value.strip()):
        value = int(value)
    good = isinstance(value, int) and not isinstance(value, bool)
    return value, "" if good else "give a whole number"


def _float(value: object) -> tuple[object, str]:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None, "give a number"
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None, "give a number"
    return number, "" if math.isfinite(number) else "give a finite number"


def _str(value: object) -> tuple[object, str]:
    if not isinstance(value, str):
        return None, "give text; in YAML, put it in quotes"
    good = value.strip() == value and value and value.isprintable()
    return value, "" if good else "give text on one line, without spaces around it"


def _size(value: object) -> tuple[object, str]:
    mend = "give HEIGHTxWIDTH in pixels, such as 256x128"
    if isinstance(value, str):
        match = re.fullmatch(r"([0-9]{1,6})\s*[x,]\s*([0-9]{1,6})", value.strip())
        return ((int(match[1]), int(match[2])), "") if match else (None, mend)
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(type(part) is int for part in value):
        return tuple(value), ""
    return None, mend


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


def _scalar(value: object) -> str:
    """A value as one YAML scalar that reads back as itself."""
    if isinstance(value, (tuple, list)):
        return show(value)
    text = yaml.safe_dump([value], default_flow_style=True, width=math.inf, allow_unicode=True)
    return text.strip()[1:-1]
