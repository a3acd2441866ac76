"""The service on the web: one page, and the same for programs (extra ``serve``).

Nothing is loaded from elsewhere, and no other site's page may use it: foreign hosts and origins are refused.
"""

import base64
import io
import ipaddress
from importlib import resources
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Body, FastAPI, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from PIL import Image
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from drfm import __version__
from drfm.data.imagefile import decode_image
from drfm.errors import DrfmError
from drfm.gallery.items import Filter, fields_of, parse_time
from drfm.gallery.search import Search
from drfm.serving.answers import NOTICE, Mark, Pixels, as_csv
from drfm.serving.service import LARGEST_K, Service, Unknown

MAX_UPLOAD = 32 << 20
"""Bytes of an uploaded crop, before :mod:`drfm.data.imagefile` looks at its pixels."""
TALLEST = 512
"""Rows of an image of the gallery as it is sent."""
PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
_LOCAL = ("localhost", "127.0.0.1", "::1")


def make_app(service: Service, host: str = "127.0.0.1") -> FastAPI:
    """The web application of a service.

    Args:
        service: what is served.
        host: the address it listens on; where that is not this machine's own, any name of it is accepted.
    """
    app = FastAPI(
        title="drfm",
        version=__version__,
        summary="Search a gallery for images that look like a crop. Similar clothing is no identity.",
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        root_path_in_servers=False,
    )
    _add_page(app)
    _add_search(app, service)
    _add_images(app, service)
    _add_health(app, service)

    @app.exception_handler(DrfmError)
    async def refuse(_: Request, error: DrfmError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 404 if isinstance(error, Unknown) else 400)

    app.add_middleware(_Guard, service=service, open_to_all=not is_local(host))
    return app


def is_local(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _add_page(app: FastAPI) -> None:
    folder = resources.files("drfm.serving") / "page"
    for address, (name, kind) in PAGE.items():

        def page(text: bytes = (folder / name).read_bytes(), kind: str = kind) -> Response:
            return Response(text, media_type=kind)

        app.add_api_route(address, lambda page=page: page(), include_in_schema=False)


_Words = Annotated[list[str], Query(max_length=50)]


def _add_search(app: FastAPI, service: Service) -> None:
    binary = {"image/*": {"schema": {"type": "string", "format": "binary"}}}

    @app.post(
        "/api/search", openapi_extra={"requestBody": {"required": False, "content": binary}}, tags=["search"]
    )
    async def search(
        request: Request,
        k: Annotated[int, Query(ge=1, le=LARGEST_K, description="Images in the answer.")] = 20,
        camera: _Words = [],  # noqa: B006 - FastAPI copies it
        person: _Words = [],  # noqa: B006
        track: _Words = [],  # noqa: B006
        since: Annotated[str, Query(description="ISO 8601, or seconds since 1970.")] = "",
        until: str = "",
        field: Annotated[list[str], Query(description="Free fields as NAME=VALUE.")] = [],  # noqa: B006
        one_per_track: bool = False,
        query: Annotated[str, Query(description="A search made before, instead of an image.")] = "",
    ) -> dict[str, Any]:
        """Rank the gallery for a crop, which is the body of the request: an image file, as it is."""
        begin, end = (parse_time(text) if text else None for text in (since, until))
        where = Filter(tuple(camera), tuple(person), tuple(track), (), begin, end, fields_of(field))
        how = Search(k=k, where=where, one_per_track=one_per_track)
        body = await _body(request)
        if bool(body) == bool(query):
            raise DrfmError("search: give an image as the body, or the query of a search made before")

        def run() -> dict[str, Any]:
            crop = service.asked(query).crop if query else decode_image(body, _UPLOAD)
            return service.told(service.search(crop, how))

        return await run_in_threadpool(run)

    @app.get("/api/queries/{query}", tags=["search"])
    def again(query: str) -> dict[str, Any]:
        """A search made before, with the marks of now."""
        return service.told(service.asked(query))

    @app.post("/api/queries/{query}/marks", tags=["search"])
    def mark(query: str, image: Annotated[int, Body()], mark: Annotated[Mark, Body()]) -> dict[str, Any]:
        """Mark an answer right or wrong, or take that back with none."""
        service.mark(query, image, mark)
        return {"image": image, "mark": mark}

    @app.get("/api/queries/{query}/export.{kind}", tags=["search"])
    def export(query: str, kind: str) -> Response:
        """The search as a file: json or csv."""
        told = service.told(service.asked(query))
        if kind not in ("json", "csv"):
            raise Unknown(f"export as {kind}: give json or csv")
        head = {"Content-Disposition": f'attachment; filename="search-{told["query"][:8]}.{kind}"'}
        if kind == "csv":
            return Response("\ufeff" + as_csv(told), headers=head, media_type="text/csv; charset=utf-8")
        return JSONResponse({**told, "bundle": service.encoder.id, "notice": NOTICE}, headers=head)


def _add_images(app: FastAPI, service: Service) -> None:
    @app.get("/api/about", tags=["about"])
    def about() -> dict[str, Any]:
        """What is searched, and by what."""
        return {**service.about(), "version": __version__, "notice": NOTICE}

    @app.get("/api/images/{image}", tags=["images"], response_class=Response)
    def image(image: int) -> Response:
        """An image of the gallery, at most 512 rows of it."""
        return _jpeg(service.image(image))

    @app.get("/api/queries/{query}/image", tags=["images"], response_class=Response)
    def crop(query: str) -> Response:
        """The crop that was searched for."""
        return _png(service.asked(query).crop)

    @app.get("/api/queries/{query}/twin", tags=["images"], response_class=Response)
    def twin(query: str) -> Response:
        """Its twin. That of a blurry crop is enlarged by guessing: detail in it is invented."""
        return _png(service.twin(query))

    @app.get("/api/queries/{query}/why/{image}", tags=["images"])
    def why(query: str, image: int) -> dict[str, Any]:
        """Maps of what made the two similar: PNG files in base64, for the query and for the match.

        What is ``made`` is a twin and was not captured; detail in an enlarged one is invented.
        """
        sides = service.why(query, image)
        return {
            name: [
                {"space": view, "made": made, "image": _text(plain), "map": _text(lit)}
                for view, (plain, lit, made) in side.items()
            ]
            for name, side in zip(("query", "match"), sides, strict=True)
        }


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get("/health", tags=["about"])
    def health() -> dict[str, Any]:
        """Whether the gallery answers."""
        return {"status": "ok", "images": service.store.count()}

    @app.get("/metrics", tags=["about"], response_class=PlainTextResponse)
    def metrics() -> str:
        """Counts and times, for Prometheus."""
        return service.metrics.text(service.store.count())


class _Guard:
    """Refuses foreign hosts and origins, adds headers, counts answers."""

    def __init__(self, app: ASGIApp, service: Service, open_to_all: bool) -> None:
        self.app, self.service, self.open_to_all = app, service, open_to_all

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.service.metrics.answered(scope["method"], message["status"])
                given = {name for name, _ in message["headers"]}
                more = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *(pair for pair in more if pair[0] not in given)]
            await send(message)

        reason = self._refusal(Request(scope).headers)
        app = JSONResponse({"error": reason}, 403) if reason else self.app
        await app(scope, receive, answer)

    def _refusal(self, headers: Any) -> str:
        host = headers.get("host", "")
        if not self.open_to_all and urlsplit(f"//{host}").hostname not in _LOCAL:
            # A foreign name that leads to this machine would make its pages count as this one's.
            return f"host {host}: this service answers to localhost alone"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return f"origin {origin}: pages of other sites may not use this service"
        return ""


class _Upload:
    """Stands for the file's name in messages about an uploaded image."""

    def __str__(self) -> str:
        return "the uploaded file"


_UPLOAD: Any = _Upload()


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_UPLOAD:
            raise DrfmError(f"the uploaded file: above the limit of {MAX_UPLOAD >> 20} MiB; give one crop")
        parts.append(part)
    return b"".join(parts)


def _png(image: Pixels) -> Response:
    return Response(_png_bytes(image), media_type="image/png")


def _text(image: Pixels) -> str:
    return base64.b64encode(_png_bytes(image)).decode()


def _png_bytes(image: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def _jpeg(image: Pixels) -> Response:
    """At most ``TALLEST`` rows, made smaller where there are more, never larger."""
    picture = Image.fromarray(image)
    picture.thumbnail((TALLEST, TALLEST))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=92)
    return Response(
        file.getvalue(), media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"}
    )
