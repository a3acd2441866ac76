"""`drfm benchmark`: measure the library's parts on this machine."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import drfm
from drfm.cli.output import say
from drfm.errors import DrfmError

_MAIN = 'if __name__ == "__main__":'
"""What tells a script from a module that scripts share."""


EVERY = "all"
"""The script that runs labels, ranking, re-ranking and search."""


def benchmark(
    name: Annotated[str, Parameter(allow_leading_hyphen=True)] = EVERY,
    /,
    *arguments: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
) -> None:
    """Measure labels, ranking, re-ranking and search on this machine; --quick takes a minute.

    Each stands beside the dense matrices of the usual code. The scripts lie in benchmarks/ of a checkout.

    Args:
        name: One script alone, such as labels, ranking or rerank, or `list` to name them. The words behind it
            are handed to it; without a name they go to the script that runs all parts.
        arguments: Options of the script; `--help` behind a name explains them.
    """
    if name.startswith("-"):
        name, arguments = EVERY, (name, *arguments)
    folder = find_scripts()
    known = sorted(path.stem for path in folder.glob("*.py") if _MAIN in path.read_text(encoding="utf-8"))
    if name == "list":
        say("\n".join(known))
        return
    if name not in known:
        raise DrfmError(f"benchmark {name}: no such script; choose from list, {', '.join(known)}")
    command = [sys.executable, str(folder / f"{name}.py"), *arguments]
    code = subprocess.run(command, check=False).returncode  # noqa: S603 - a script of this checkout
    if code:
        raise DrfmError(f"benchmark {name}: ended with code {code}; its own message is above")


def find_scripts() -> Path:
    """The folder benchmarks/ of the checkout that this package runs from.

    Raises:
        DrfmError: the package was installed without its checkout.
    """
    root = Path(drfm.__file__).resolve().parents[2]
    if not (root / "pyproject.toml").is_file() or not (root / "benchmarks").is_dir():
        raise DrfmError(
            "benchmark: the scripts are not part of the installed package; "
            "clone the repository and install it with `pip install -e .`"
        )
    return root / "benchmarks"
