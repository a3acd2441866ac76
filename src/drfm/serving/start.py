"""From a gallery and a bundle to a service that listens."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from drfm.errors import DrfmError
from drfm.gallery.encoder import Encoder
from drfm.gallery.opening import SERVER, open_store
from drfm.serving.records import Records
from drfm.serving.service import Service

ONNX = "model.onnx"
Engine = Literal["torch", "onnx"]


def make_service(
    gallery: str, bundle: Path, engine: Engine | None, records: Path | None, *, keep_queries: bool = False
) -> Service:
    """A service whose parts are there and work together.

    Args:
        gallery: where the gallery lies.
        bundle: folder of a bundle, or a file that was exported from one.
        engine: ``torch`` or ``onnx``; by default onnx for a file and torch for a folder.
        records: where searches and marks are written; by default beside the gallery.
        keep_queries: keep the query images there, too.

    Raises:
        DrfmError: a part is missing or does not fit the others.
    """
    encoder = open_encoder(bundle, engine)
    place = records or Path(f"{'drfm' if gallery.startswith(SERVER) else gallery.rstrip('/')}.records")
    service = Service(open_store(gallery), encoder, Records(place, keep_queries=keep_queries))
    service.try_out()
    return service


def open_encoder(bundle: Path, engine: Engine | None = None) -> Encoder:
    """The encoder of a bundle; for onnx from a file, or from ``model.onnx`` in the bundle's folder.

    With a folder its calibration is used, which may be newer than that of the file.

    Raises:
        DrfmError: there is no such bundle, or the file was exported from another one.
    """
    if not bundle.exists():
        raise DrfmError(f"{bundle}: no such bundle; `drfm bundle` makes one")
    if bundle.is_file():
        if engine == "torch":
            raise DrfmError(f"--engine torch: {bundle} is an exported file; give the folder of the bundle")
        from drfm.gallery.onnx import OnnxEncoder

        return OnnxEncoder(bundle)
    if engine != "onnx":
        import drfm

        try:
            return drfm.load(bundle)
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            raise DrfmError(
                f"{bundle}: needs PyTorch, which is not installed; give a file that `drfm export` wrote"
            ) from None
    from drfm.gallery.bundle import read_bundle
    from drfm.gallery.onnx import OnnxEncoder

    if not (bundle / ONNX).is_file():
        raise DrfmError(
            f"{bundle / ONNX}: no such file; `drfm export {bundle} --onnx {bundle / ONNX}` writes it"
        )
    record, encoder = read_bundle(bundle).record, OnnxEncoder(bundle / ONNX)
    if encoder.id != record["id"]:
        raise DrfmError(f"{bundle / ONNX}: was exported from bundle {encoder.id}, not from {record['id']}")
    encoder.record = record
    return encoder


def serve(service: Service, host: str, port: int, say: Callable[[str], None]) -> None:
    """Listen until the process is stopped.

    Args:
        service: what is served.
        host: address to listen on.
        port: its port, 0 for any that is free.
        say: told the address once it listens.

    Raises:
        DrfmError: the extra is not installed, or the address cannot be had.
    """
    try:
        import uvicorn

        from drfm.serving.web import is_local, make_app
    except ImportError:
        raise DrfmError("the search page needs fastapi and uvicorn: pip install 'drfm[serve]'") from None
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise DrfmError(
            f"--host {host} --port {port}: cannot be had ({getattr(error, 'strerror', error)}); give another"
        ) from None
    shown = f"[{host}]" if ":" in host else host
    say(f"http://{shown}:{listening.getsockname()[1]}/ - stop with Ctrl-C")
    if not is_local(host):
        say("warning: there is no password; whoever reaches this address can search the gallery")
    say(f"searches and marks are written to {service.records.folder}")
    config = uvicorn.Config(make_app(service, host), log_level="warning", access_log=False)
    service.warm_up()
    uvicorn.Server(config).run(sockets=[listening])
