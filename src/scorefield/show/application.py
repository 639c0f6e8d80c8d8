"""The page as an application of starlette: a description, computations that stream what they find, files, the report."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from ..data import FORMATS
from ..data.optional import need
from ..model import Model
from .computing import complete, density, draw, interpolate
from .describing import about
from .guarding import App, Guard
from .limits import Limits
from .requests import Request
from .working import Job, Worker, explained

__all__ = ["create_app"]

_STATIC = Path(__file__).parent / "static"
_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
}  # not those of the system, which may be wrong
_REPORT_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox; frame-ancestors 'self'"
_NO_REPORT = "There is no report of this run yet: scorefield report {run} writes one."
_LARGEST_REPORT = 64 << 20  # bytes
_QUIET = 0.5  # seconds without news, after which a heartbeat shows whether anyone still listens

Answer = dict[str, Any]


def create_app(
    model: Model, name: str, token: str, hosts: Sequence[str], report: Path | None = None, limits: Limits | None = None
) -> App:
    """The page for a model as an ASGI application.

    Arguments:
        model: The model.
        name: What it is called: the folder of its run.
        token: What the path of every request begins with.
        hosts: Names with ports under which it is served, "127.0.0.1:8000"; all others are refused.
        report: The report of the run, which need not exist.
        limits: How much one request may take.

    Raises:
        ImportError: If starlette is missing; it says how to install it.
    """
    model.schema.require_one_length("the page", "draw with model.sample and model.impute")
    applications = need("starlette.applications", "the local page", "show")
    routing = need("starlette.routing", "the local page", "show")
    limits = limits or Limits()
    worker = Worker(limits.seconds)
    page = _Page(model, name, limits, worker, report)
    computed = {"draw": draw, "complete": complete, "interpolate": interpolate}
    routes = [
        routing.Route("/api/about", page.about),
        routing.Route("/api/stop", page.stop, methods=["POST"]),
        routing.Route("/api/density", page.density, methods=["POST"]),
        *(routing.Route(f"/api/{n}", page.computing(f), methods=["POST"]) for n, f in computed.items()),
        routing.Route("/report", page.report),
        routing.Route("/", page.file("index.html")),
        *(routing.Route(f"/{path.name}", page.file(path.name)) for path in _STATIC.iterdir() if path.suffix in _TYPES),
    ]
    return Guard(applications.Starlette(routes=routes), token, hosts)


class _Page:
    """What the routes answer."""

    def __init__(self, model: Model, name: str, limits: Limits, worker: Worker, report: Path | None) -> None:
        self.model = model
        self.name = name
        self.limits = limits
        self.worker = worker
        self.report_file = report
        self.responses = need("starlette.responses", "the local page", "show")

    async def about(self, request: Any) -> Any:
        """What the page must know of the model."""
        found = about(self.model, self.name, self.limits)
        return self.responses.JSONResponse(found | {"report": self._has_report()})

    def file(self, name: str) -> Callable[[Any], Any]:
        """The answer that is a file of the page."""
        content, kind = (_STATIC / name).read_bytes(), _TYPES[Path(name).suffix]

        async def answer(request: Any) -> Any:
            return self.responses.Response(content, media_type=kind)

        return answer

    def _has_report(self) -> bool:
        return self.report_file is not None and self.report_file.is_file()

    async def report(self, request: Any) -> Any:
        """The report of the run, as a document that can do nothing."""
        path = self.report_file
        if path is None or not path.is_file() or path.stat().st_size > _LARGEST_REPORT:
            return self.responses.PlainTextResponse(_NO_REPORT.format(run=self.name), 404)
        headers = {"content-security-policy": _REPORT_POLICY, "x-frame-options": "SAMEORIGIN"}
        return self.responses.HTMLResponse(path.read_bytes(), headers=headers)

    async def stop(self, request: Any) -> Any:
        """Stops what is computed."""
        self.worker.stop()
        return self.responses.JSONResponse({})

    def computing(self, compute: Callable[..., Answer]) -> Callable[[Any], Any]:
        """The answer to requests in JSON."""

        async def answer(request: Any) -> Any:
            try:
                if request.headers.get("content-type", "").partition(";")[0] != "application/json":
                    raise ValueError("a request is sent as application/json")
                asked = Request.of(_parsed(await _body(request, self.limits.body)), self.limits)
                work = functools.partial(compute, self.model, asked, self.limits)
                command = asked.sample_command(self.name, f"new{self._suffix()}") if compute is draw else None
                return await self._streamed(work, {"command": command})
            except ValueError as error:
                return self._refused(error)

        return answer

    async def density(self, request: Any) -> Any:
        """The log-densities of a file, which is the body of the request; the rest of it is a header in JSON."""
        try:
            asked = Request.of(_parsed(request.headers.get("x-request", "{}").encode("latin-1")), self.limits)
            content = await _body(request, self.limits.upload)
            work = functools.partial(density, self.model, asked, self.limits, content=content)
            return await self._streamed(work, {"command": asked.density_command(self.name)})
        except ValueError as error:
            return self._refused(error)

    def _suffix(self) -> str:
        """That of files that hold such samples without loss."""
        schema = self.model.schema
        fit = (form for form in FORMATS if form.suffixes and form.cannot_hold(schema) is None)
        return next((form.suffixes[0] for form in fit if form.loses(schema) is None), ".npy")

    def _refused(self, error: Exception) -> Any:
        status = 413 if isinstance(error, _TooLargeError) else 400
        return self.responses.JSONResponse({"error": explained(error)}, status)

    async def _streamed(self, work: Callable[[Job], Answer], facts: Answer) -> Any:
        """What a computation says, a line of JSON for each; if nobody listens any more, it is stopped."""
        loop, news = asyncio.get_running_loop(), asyncio.Queue[Answer]()

        def emit(event: Answer) -> None:
            with contextlib.suppress(RuntimeError):  # the server has ended
                loop.call_soon_threadsafe(news.put_nowait, event)

        job = await asyncio.to_thread(self.worker.begin, work, emit)

        async def lines() -> AsyncIterator[bytes]:
            try:
                yield _line({"begun": True, **facts})
                while True:
                    try:
                        event = await asyncio.wait_for(news.get(), _QUIET)
                    except TimeoutError:
                        event = {"waiting": 1 + job.evaluations}
                    yield _line(event)
                    if "result" in event or "error" in event:
                        return
            finally:
                job.stopped.set()

        return self.responses.StreamingResponse(lines(), media_type="application/x-ndjson")


class _TooLargeError(ValueError):
    """A body that is too large."""


def _line(event: Answer) -> bytes:
    return json.dumps(event, allow_nan=False).encode() + b"\n"


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError("a request is JSON, and this cannot be read: send an object") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


async def _body(request: Any, most: int) -> bytes:
    """The body of a request, of at most so many bytes, whatever it says of itself."""
    too_large = _TooLargeError(f"a request of this kind has up to {most:,} bytes: send less, or use the command line")
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > most:
        raise too_large
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise too_large
        parts.append(part)
    return b"".join(parts)
