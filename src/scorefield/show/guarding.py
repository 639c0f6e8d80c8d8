"""Who may speak to the page: only itself, on this machine, with the token of its address."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

__all__ = ["Guard"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", PAGE_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
)


class Guard:
    """Lets requests through that come from the page itself, and takes the token off their path.

    A request needs the token as the first part of its path; one `Host` out of `hosts`, so that no other name that leads here
    (DNS rebinding) is served; and no sign of another origin: `Origin` is absent or the page's own, and `Sec-Fetch-Site` is
    that of the page itself, of a typed address, or of a link that opens the page in a tab of its own.

    Arguments:
        app: The application behind it.
        token: The token, of characters that a path may have.
        hosts: Names with ports under which it is served: "127.0.0.1:8000".
    """

    def __init__(self, app: App, token: str, hosts: Sequence[str]) -> None:
        self.app = app
        self.token = token
        self.hosts = tuple(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or passes it on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif (refused := self._refused(scope)) is not None:
            await _refuse(send, *refused)
        else:
            path = f"/{scope['path'].lstrip('/').partition('/')[2]}"
            await self.app({**scope, "path": path, "raw_path": path.encode()}, receive, _with_headers(send))

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        """The status and the reason if a request is not from the page."""
        headers = [(name.lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        hosts = [value for name, value in headers if name == b"host"]
        origins = [value for name, value in headers if name == b"origin"]
        if len(hosts) != 1 or hosts[0] not in self.hosts:
            return 403, "this page is served on this machine alone: open the address that scorefield show printed"
        if any(origin != f"http://{hosts[0]}" for origin in origins) or not _from_here(scope["method"], dict(headers)):
            return 403, "this request comes from another page: open the address that scorefield show printed"
        first = scope["path"].lstrip("/").partition("/")[0]
        if not hmac.compare_digest(first.encode(), self.token.encode()):
            return 403, "the token is missing or wrong: open the whole address that scorefield show printed"
        return None


def _from_here(method: str, headers: dict[bytes, str]) -> bool:
    """Whether the browser says that a request is the page's own, or opens it; other programs say nothing."""
    site = headers.get(b"sec-fetch-site", "none")
    opens = headers.get(b"sec-fetch-mode") == "navigate" and headers.get(b"sec-fetch-dest") == "document"
    return site in ("same-origin", "none") or (method == "GET" and opens)


async def _refuse(send: Send, status: int, reason: str) -> None:
    body = f"{reason}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *_HEADERS]})
    await send({"type": "http.response.body", "body": body})


def _with_headers(send: Send) -> Send:
    """Adds the headers of the page to an answer, but those that it has."""

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            own = list(message.get("headers", ()))
            names = {name.lower() for name, _ in own}
            message = {**message, "headers": own + [pair for pair in _HEADERS if pair[0] not in names]}
        await send(message)

    return sending
