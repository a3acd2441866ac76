"""A process that draws: jobs come as JSON on its input, and a line goes to its output for each file.

The line is 0, or the error number where a file could not be written. Started by
:mod:`drfm.data.drawn.folder`; a plain process, unlike one of :mod:`multiprocessing`, neither
imports the caller's main module again nor inherits the locks of its threads.
"""

import json
import signal
import sys

from drfm.data.drawn.folder import Job, draw_file


def main() -> None:
    """Draw every job of the input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller stops its workers itself
    jobs: list[Job] = [tuple(job) for job in json.load(sys.stdin)]
    for job in jobs:
        try:
            draw_file(job)
            number = 0
        except OSError as error:
            number = error.errno or 5
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
