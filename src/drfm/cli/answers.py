"""What `drfm gallery search` prints: images, similarities, and what these say."""

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drfm.cli.output import note, say

if TYPE_CHECKING:
    from drfm.gallery.store import Hit


def verdicts(answers: "dict[str, list[Hit]]", calibration: Any) -> dict[str, list[str]]:
    """What each similarity says at the height of its query; where that is nothing, a note says why."""
    from drfm.data.imagefile import image_size
    from drfm.gallery.calibration import verdict, warning

    if calibration is None:
        note(f"note: {warning(0, None)} `drfm calibrate` finds which ones do")
        return {}
    heights = {name: image_size(Path(name))[0] for name in answers}
    for name, height in heights.items():
        if reason := warning(height, calibration):
            note(f"note: {name}: {reason}")
    return {
        name: [verdict(float(hit.similarity), heights[name], calibration) for hit in hits]
        for name, hits in answers.items()
    }


def show(answers: "dict[str, list[Hit]]", said: dict[str, list[str]], format: str) -> None:
    """Print answers as ``table``, ``json`` or ``csv``, with the verdict of each image where it has one."""
    lines = [
        {
            "query": name, "rank": rank, "similarity": hit.similarity,
            "verdict": said[name][rank - 1] if name in said else None,
            "id": hit.id, **hit.item.to_dict(),
        }
        for name, hits in answers.items()
        for rank, hit in enumerate(hits, 1)
    ]  # fmt: skip
    columns = [
        "query", "rank", "similarity", "verdict", "id", "path", "camera", "time", "person", "track", "fields",
    ]  # fmt: skip
    if format == "json":
        say(json.dumps(lines, indent=1, ensure_ascii=False))
    elif format == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows({**line, "fields": json.dumps(line["fields"], ensure_ascii=False)} for line in lines)
        say(text.getvalue())
    else:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        shown = [name for name in columns[:-1] if name != "id" and any(line[name] for line in lines)]
        table = Table(*(shown or columns[:3]))
        for line in lines:
            values = {**line, "similarity": f"{line['similarity']:.3f}"}
            table.add_row(*(escape("" if values[name] is None else str(values[name])) for name in shown))
        Console().print(table)
