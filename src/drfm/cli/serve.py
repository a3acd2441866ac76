"""`drfm serve`: a search page for a gallery."""

import time
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from drfm.cli.output import say


def serve(
    gallery: str,
    /,
    *,
    bundle: Path,
    engine: Literal["torch", "onnx"] | None = None,
    host: str = "127.0.0.1",
    port: int = 8620,
    records: Path | None = None,
    keep_queries: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Open a search page for a gallery, in the browser of this machine.

    Args:
        gallery: Where the gallery lies.
        bundle: Folder that `drfm bundle` made, or a file that `drfm export` wrote.
        engine: `torch`, or `onnx`, which has no explanation maps and takes model.onnx in the bundle's folder;
            by default `onnx` for a file and `torch` for a folder.
        host: Address to listen on. There is no password: any other than the default lets others search.
        port: Port to listen on; 0 takes any that is free.
        records: Folder for the log of searches and for marks; by default GALLERY.records.
        keep_queries: Keep the images that were searched for in that folder, too.
    """
    from drfm.serving.start import make_service
    from drfm.serving.start import serve as listen

    begin = time.perf_counter()
    service = make_service(gallery, bundle, engine, records, keep_queries=keep_queries)
    say(f"{service.store.location}: {service.store.count()} images, bundle {service.encoder.id}, "
        f"ready after {time.perf_counter() - begin:.1f} s")  # fmt: skip
    listen(service, host, port, say)
