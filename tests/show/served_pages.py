"""Pages of small models, served as users get them: by uvicorn on a port of this machine."""

from __future__ import annotations

import http.client
import json
import threading
from dataclasses import dataclass

import numpy as np
import pytest

from scorefield.model import Model
from scorefield.settings import Data, Network, Training

SIDE = 6
REPORT = "<!doctype html><title>report</title><script>parent.hacked = 1</script><p>What to conclude</p>"


@dataclass(frozen=True)
class Served:
    """A page that is served."""

    model: Model
    address: str

    @property
    def host(self) -> str:
        return self.address.split("/")[2]

    @property
    def token(self) -> str:
        return self.address.split("/")[3]

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict | None = None, token: str | None = None
    ):
        """The status, the headers and the body of the answer to one request."""
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            connection.request(method, f"/{self.token if token is None else token}{path}", body, headers or {})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def events(self, name: str, request: object, headers: dict | None = None) -> list[dict]:
        """What a computation says, in order; what is refused at once is one event."""
        kind = {"content-type": "application/json"}
        _, _, body = self.ask("POST", f"/api/{name}", json.dumps(request).encode(), {**kind, **(headers or {})})
        return [json.loads(line) for line in body.splitlines()]

    def density(self, content: bytes, **request: object) -> dict:
        """The last event of the log-densities of a file."""
        headers = {"x-request": json.dumps(request)}
        _, _, body = self.ask("POST", "/api/density", content, headers)
        return json.loads(body.splitlines()[-1])


def served(model: Model, name: str, report=None) -> Served:
    pytest.importorskip("uvicorn")
    pytest.importorskip("starlette")
    from scorefield.show import serve

    ready, address = threading.Event(), []

    def begin(found: str) -> None:
        address.append(found)
        ready.set()

    threading.Thread(target=serve, args=(model, name, 0, report, begin), daemon=True).start()
    assert ready.wait(20)
    return Served(model, address[0])


def stripes(count: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Images whose rows or columns are bright, and which of both."""
    rng = np.random.default_rng(0)
    label, at = rng.integers(0, 2, count), rng.integers(0, SIDE, count)
    x = rng.normal(0, 0.1, (count, SIDE, SIDE))
    for i in range(count):
        x[i, at[i] if label[i] else slice(None), slice(None) if label[i] else at[i]] += 1
    return x.astype(np.float32), label


TINY = {"network": Network(widths=(8,), depth=1), "training": Training(steps=30, batch=16), "data": Data(held_out=0.1)}
