"""The command line: one thin module per command; torch is imported inside a command, never before."""

import os
import sys
from collections.abc import Sequence

from cyclopts import App
from cyclopts.exceptions import CycloptsError, UnknownOptionError

from drfm import __version__
from drfm.cli import (
    benchmark,
    bundle,
    calibrate,
    config,
    crops,
    data,
    evaluate,
    export,
    gallery,
    report,
    serve,
    sr,
    study,
    train,
    version,
)
from drfm.config.load import nearest
from drfm.errors import DrfmError

USAGE, INTERRUPTED = 2, 130
"""Exit codes: bad input; Ctrl-C."""

app = App(
    name="drfm",
    help="Find a person seen in a blurry crop among sharp gallery images, trained without identity labels.",
    version=__version__,
    result_action="return_none",
    suppress_keyboard_interrupt=False,
    help_format="markdown",
)
app.command(data.app)
app.command(crops.crops)
app.command(train.train)
app.command(evaluate.evaluate)
app.command(report.report)
app.command(report.demo)
app.command(bundle.bundle)
app.command(calibrate.calibrate)
app.command(export.export)
app.command(gallery.app)
app.command(serve.serve)
app.command(study.app)
app.command(sr.app)
app.command(config.app)
app.command(benchmark.benchmark)
app.command(version.version)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code.

    Bad input ends in one line on stderr and code 2, Ctrl-C in one line and code 130.
    Anything else is a fault of this program and keeps its traceback.

    Args:
        arguments: the words behind ``drfm``; ``None`` takes those of this process.
    """
    try:
        app(arguments, exit_on_error=False, print_error=False)
    except DrfmError as error:
        return _refuse(str(error))
    except CycloptsError as error:
        return _refuse(_explain(error))
    except KeyboardInterrupt as stop:
        sys.stderr.write(f"drfm: {str(stop) or 'stopped; run the same command again to go on'}\n")
        return INTERRUPTED
    except ModuleNotFoundError as error:
        # A machine that only searches, with an exported model, may do without it.
        if error.name != "torch":
            raise
        return _refuse("this needs PyTorch, which is not installed here: pip install torch")
    except BrokenPipeError:
        # The reader, such as `head`, has enough. Python must not flush into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _refuse(message: str) -> int:
    line = " ".join(message.split())
    sys.stderr.write(f"drfm: error: {line}\n")
    return USAGE


def _explain(error: CycloptsError) -> str:
    """One line for a command line that could not be read; a refused value speaks for itself."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, DrfmError):
            return str(cause)
        cause = cause.__cause__
    command = " ".join(["drfm", *(error.command_chain or ())])
    message = str(error).rstrip(".")
    if isinstance(error, UnknownOptionError) and "Did you mean" not in message:
        close = nearest((error.token.keyword or error.token.value).lstrip("-").partition("=")[0])
        message += f". Did you mean --{close}?" if close else ""
    return f"{message}{'' if message.endswith('?') else '.'} See `{command} --help`"
