"""Options of a method itself: text in the configuration, a frozen dataclass in the method's file."""

from typing import Any, TypeVar

from drfm.config import Config
from drfm.config.describe import describe
from drfm.config.values import convert, suggest
from drfm.errors import DrfmError

T = TypeVar("T")


def own_options(config: Config, kind: type[T]) -> T:
    """The options of ``config.options`` (``"default"`` or ``"gap=0.02,camera=true"``) as a ``kind``.

    Raises:
        DrfmError: an option that the method does not have, or a value of a wrong type or out of range.
    """
    known = describe(kind)
    given: dict[str, Any] = {}
    for part in config.options.split(",") if config.options != "default" else ():
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in known:
            mend = f"choose from {', '.join(known) or 'none'}{suggest(name, known)}"
            raise DrfmError(f"options = {config.options}: {config.method} has no option {name!r}; {mend}")
        given[name] = convert(known[name], value, f"options of {config.method}")
    return kind(**given)
