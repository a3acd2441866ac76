"""Values of options: from text, YAML or Python to the type that the schema asks for, and back to YAML."""

import difflib
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

import yaml

from drfm.config.describe import Option, show
from drfm.config.schema import Size
from drfm.errors import DrfmError


def convert(option: Option, value: object, source: str) -> object:
    """``value`` as the option's type; text is read as the command line gives it.

    Whole numbers serve as numbers; nothing else changes its type, so that ``k1: 1.5``,
    ``k1: true`` and ``backbone: 50`` are refused.

    Raises:
        DrfmError: the value is of another type, not finite, or not among the choices.
    """
    converted, mend = _typed(option, value)
    if mend:
        raise DrfmError(f"{option.name} = {show(value) or repr(value)} ({source}): {mend}")
    return converted


def _typed(option: Option, value: object) -> tuple[object, str]:
    """The converted value, and what to give instead (empty if it was right)."""
    if option.choices:
        for choice in option.choices:
            if show(choice) == show(value) and isinstance(value, (str, type(choice))):
                return choice, ""
        close = suggest(show(value), [show(choice) for choice in option.choices])
        return None, f"choose from {option.kind}{close}"
    return _READERS[option.hint](value)


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


def _whole_numbers(value: object) -> tuple[object, str]:
    parts = value.split(",") if isinstance(value, str) else value
    read = [_int(part) for part in parts] if isinstance(parts, (list, tuple)) else []
    good = read and not any(mend for _, mend in read)
    return tuple(part for part, _ in read), "" if good else "give whole numbers with commas, such as 2,3,4"


_READERS: dict[Any, Callable[[object], tuple[object, str]]] = {
    bool: _bool,
    int: _int,
    float: _float,
    str: _str,
    Size: _size,
    tuple[int, ...]: _whole_numbers,
}


def suggest(name: str, known: Iterable[str]) -> str:
    """A question behind a refusal: `` Did you mean k1?``, or nothing if no known word is near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f". Did you mean {close[0]}?" if close else ""


def scalar(value: object) -> str:
    """A value as one YAML scalar that reads back as itself."""
    if isinstance(value, (tuple, list)):
        return show(value)
    text = yaml.safe_dump([value], default_flow_style=True, width=math.inf, allow_unicode=True)
    return text.strip()[1:-1]
