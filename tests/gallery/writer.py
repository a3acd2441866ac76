"""A process that forks writers to be killed: they add, remove or move, and tell what was acknowledged.

It imports and compiles once, so that killing fifty writers takes seconds. A command is a line of JSON.
"""

import json
import os
import sys

from made_gallery import items, unit

from drfm.gallery.codes import encode
from drfm.gallery.items import Filter
from drfm.gallery.move import move
from drfm.gallery.opening import open_store

SIZE, TOTAL = 16, 4000
ROWS, KNOWN = unit(TOTAL, SIZE), items(TOTAL)


def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def change(folder, at):
    """Add images by threes and remove the first of each three, beginning with image ``at``."""
    store = open_store(folder)
    say("ready", os.getpid())
    for start in range(at, TOTAL, 3):
        store.add(KNOWN[start : start + 3], ROWS[start : start + 3])
        say("added", start)
        store.remove(Filter(path=(KNOWN[start].path,)))
        say("removed", start)
        if start % 30 == 0:
            store.compact()


def carry(source, target):
    say("ready", os.getpid())
    move(source, target)


if __name__ == "__main__":
    encode(ROWS[:2])
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        child = os.fork()
        if not child:
            try:
                {"change": change, "move": carry}[name](*arguments)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        say("dead")
