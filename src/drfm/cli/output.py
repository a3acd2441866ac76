"""Where a command's words go."""

import sys


def say(text: str) -> None:
    """Write a line to standard output at once, so that a log follows a long run."""
    sys.stdout.write(text.rstrip("\n") + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Write a line to standard error, beside an answer that a program may read."""
    sys.stderr.write(text.rstrip("\n") + "\n")
    sys.stderr.flush()
