"""The run's journal: one JSON line an epoch."""

import json
import os
from pathlib import Path
from typing import Any

from drfm.errors import DrfmError
from drfm.files import write_atomic, write_error

Entry = dict[str, Any]


class Journal:
    """Append-only list of epoch records in ``journal.jsonl``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[Entry]:
        """All complete lines; a last line that a crash cut short is left out.

        Raises:
            DrfmError: a line before the last is not JSON.
        """
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines()
        entries: list[Entry] = []
        for number, line in enumerate(lines, start=1):
            try:
                entries.append(json.loads(line))
            except ValueError:
                if number == len(lines):
                    break
                raise DrfmError(f"{self.path}: line {number} is not JSON; remove that line") from None
        return entries

    def append(self, entry: Entry) -> None:
        """Add one line and flush it to disk."""
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry, sort_keys=True, allow_nan=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise write_error(self.path, error) from error

    def cut(self, epoch: int) -> None:
        """Drop the lines of ``epoch`` and later: a resumed run writes them again."""
        entries = self.read()
        kept = [entry for entry in entries if entry["epoch"] < epoch]
        if len(kept) < len(entries) or self.path.exists():
            text = "".join(json.dumps(entry, sort_keys=True, allow_nan=False) + "\n" for entry in kept)
            write_atomic(self.path, text)


def epoch_line(entry: Entry, epochs: int) -> str:
    """One plain line that says how an epoch went."""
    parts = " ".join(f"{k} {v:.3f}" for k, v in entry["loss"].items() if k != "total")
    text = (
        f"epoch {entry['epoch'] + 1}/{epochs}  loss {entry['loss'].get('total', 0.0):.3f} ({parts})  "
        f"clusters {entry['clusters']}  labelled {entry['coverage']:.0%}"
    )
    if "quality" in entry:
        quality = entry["quality"]
        text += f"  label F {quality['f']:.3f} (cross-resolution {quality['cross_f']:.3f})"
    if "evaluation" in entry:
        text += f"  Rank-1 {entry['evaluation']['rank1']:.1%}"
    steps = entry["seconds"].get("steps")
    if steps and entry.get("images"):
        text += f"  {entry['images'] / steps:.0f} images/s"
    text += f"  {sum(entry['seconds'].values()):.0f} s"
    fallback = entry["labels"].get("fallback")
    return f"{text}\n  warning: {fallback}" if fallback else text
