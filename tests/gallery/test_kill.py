"""kill -9 at any moment loses nothing that was acknowledged."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from drfm.gallery.embedded import Embedded, moved_to
from drfm.gallery.move import checksum, move
from drfm.gallery.opening import exists, open_store

sys.path.insert(0, str(Path(__file__).parent))
from made_gallery import items, unit
from writer import SIZE, TOTAL

WRITER = Path(__file__).with_name("writer.py")


@pytest.fixture
def killed():
    """A function that starts a writer, kills it after a delay, and gives what it had said."""
    command = [sys.executable, str(WRITER)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:

        def kill(delay, *words):
            server.stdin.write(json.dumps(words) + "\n")
            server.stdin.flush()
            ready, child = server.stdout.readline().split()
            assert ready == "ready"
            time.sleep(delay)
            with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
                os.kill(int(child), signal.SIGKILL)
            return [line.split() for line in iter(server.stdout.readline, "dead\n")]

        yield kill
        server.stdin.close()


def kill_changes(killed, folder, times):
    """Kill a writer again and again; after each, all that it acknowledged is there, and nothing torn."""
    Embedded.create(folder, SIZE).close()
    rows, known, at = unit(TOTAL, SIZE), items(TOTAL), 0
    place = {item.path: number for number, item in enumerate(known)}
    seed = random.Random(0)
    for _ in range(times):
        said = killed(seed.uniform(0, 0.12), "change", str(folder), at)
        store = Embedded(folder)
        ids, held, vectors = store.page(0, TOTAL)
        have = {place[item.path] for item in held}
        assert not store.damaged()
        assert ids == sorted(ids)
        for item, row in zip(held, vectors, strict=True):
            assert item == known[place[item.path]]
            assert np.array_equal(row, rows[place[item.path]])
        # An add is there in whole or not at all; without its acknowledgement both are right.
        for start in range(0, TOTAL, 3):
            assert {start + 1, start + 2} <= have or not {start, start + 1, start + 2} & have
        for word, start in said:
            assert {int(start) + 1, int(start) + 2} <= have
            assert word == "added" or int(start) not in have
        assert store.search(rows[max(have) :][:1], 1)[0][0].id == max(ids) if have else store.count() == 0
        store.close()
        at = 3 * (max(have) // 3 + 1) if have else 0
        assert at < TOTAL


def kill_moves(killed, folder, times):
    """Kill a move again and again; the images are in one place or the other, and the move can go on."""
    first, second = folder / "first", folder / "second"
    store = Embedded.create(first, SIZE)
    store.add(items(1500), unit(1500, SIZE))
    truth = checksum(store)
    store.close()
    seed = random.Random(1)
    for _ in range(times):
        killed(seed.uniform(0, 0.3), "move", str(first), str(second))
        if exists(str(first)) and not moved_to(first):
            with_all = open_store(str(first))
        else:
            with_all = open_store(str(second))
        assert checksum(with_all) == truth
        with_all.close()
        if not exists(str(first)):
            first, second = second, first
    if exists(str(first)):
        assert move(str(first), str(second)) == truth
        assert not first.exists()


def test_five_kills_lose_nothing(killed, tmp_path):
    kill_changes(killed, tmp_path / "gallery", 3)
    kill_moves(killed, tmp_path, 2)


@pytest.mark.slow
def test_fifty_kills_lose_nothing(killed, tmp_path):
    kill_changes(killed, tmp_path / "gallery", 25)
    kill_moves(killed, tmp_path, 25)
