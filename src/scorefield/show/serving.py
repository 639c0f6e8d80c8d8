"""Serving the page on this machine, until the user stops it."""

from __future__ import annotations

import contextlib
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..data.optional import need
from ..model import Model
from .application import create_app
from .limits import Limits

__all__ = ["serve"]

_LOOPBACK = "127.0.0.1"
_TOKEN_BYTES = 24


def serve(
    model: Model,
    name: str,
    port: int = 0,
    report: Path | None = None,
    begin: Callable[[str], None] | None = None,
    limits: Limits | None = None,
) -> None:
    """Serves the page for a model on 127.0.0.1 until Ctrl-C or SIGTERM.

    Arguments:
        model: The model.
        name: What it is called: the folder of its run.
        port: The port; 0 takes a free one.
        report: The report of the run, which need not exist.
        begin: Takes the address, with its token, as soon as the page can be opened.
        limits: How much one request may take.

    Raises:
        ImportError: If starlette or uvicorn is missing; it says how to install them.
        OSError: If the port is in use.
        ValueError: If it is not the number of a port.
    """
    uvicorn = need("uvicorn", "the local page", "show")
    need("starlette", "the local page", "show")
    if not 0 <= port < 65536:
        raise ValueError(f"a port is a number from 0 to 65535, got {port}: 0 takes a free one")
    with _listening(port) as listener:
        port, token = listener.getsockname()[1], secrets.token_urlsafe(_TOKEN_BYTES)
        hosts = (f"{_LOOPBACK}:{port}", f"localhost:{port}")
        app = create_app(model, name, token, hosts, report, limits)
        settings: dict[str, Any] = {"access_log": False, "log_level": "error", "lifespan": "off", "ws": "none"}
        settings |= {"server_header": False, "proxy_headers": False, "limit_concurrency": 32}
        config = uvicorn.Config(app, timeout_graceful_shutdown=1, **settings)
        if begin is not None:
            begin(f"http://{_LOOPBACK}:{port}/{token}/")
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how it ends
            uvicorn.Server(config).run(sockets=[listener])


@contextlib.contextmanager
def _listening(port: int) -> Any:
    """A socket that other machines cannot reach."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((_LOOPBACK, port))
        except OSError as error:
            what = f"port {port} cannot be used ({error.strerror})"
            raise OSError(error.errno, f"{what}: choose another with --port, or leave it out") from error
        listener.listen(128)  # from now on the address can be opened: requests wait until the server runs
        yield listener
