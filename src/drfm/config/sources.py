"""What a layer is read from: a preset of the package, or a YAML file of the user."""

from collections.abc import Hashable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from drfm.config.values import suggest
from drfm.errors import DrfmError


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
            f"preset = {name}: no such preset; choose from {known}{suggest(name, preset_names())}"
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
    return parse_yaml(text, str(file))


class _Loader(yaml.SafeLoader):
    """The safe loader, except that a key named twice is an error and not a silent choice of the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build the mapping after a look for doubled keys."""
        names = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for number, key in enumerate(names):
            if key.value in (earlier.value for earlier in names[:number]):
                problem = f"{key.value} is named twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str, where: str) -> Mapping[str, object]:
    """Read YAML text as options; ``where`` names it in an error.

    Raises:
        DrfmError: it is not YAML, not a mapping, or names a key twice.
    """
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
