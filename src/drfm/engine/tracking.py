"""The journal's numbers as TensorBoard curves, for those who ask for them."""

from collections.abc import Iterator
from pathlib import Path

from drfm.engine.journal import Entry
from drfm.errors import DrfmError


def numbers(entry: Entry, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every number in a journal line with its path, such as ``("loss/cc", 4.9)``; the epoch is left out."""
    for name, value in entry.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict):
            yield from numbers(value, f"{path}/")
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and path != "epoch":
            yield path, float(value)


def write_curves(folder: Path, entries: list[Entry]) -> None:
    """Write all of ``entries`` as one TensorBoard event file in ``folder``, replacing earlier ones.

    The whole journal is written each time, so a resumed run has no doubled points.

    Raises:
        DrfmError: the extra ``track`` is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise DrfmError(
            'train.tensorboard = true: needs the extra "track" (pip install "drfm[track]"); '
            "journal.jsonl has the same numbers"
        ) from None
    for old in folder.glob("events.out.tfevents.*"):
        old.unlink()
    with SummaryWriter(str(folder)) as writer:
        for entry in entries:
            for name, value in numbers(entry):
                writer.add_scalar(name, value, entry["epoch"])
