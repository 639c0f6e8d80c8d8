"""The server of the page: it computes what the model gives, and speaks to its page alone."""

from __future__ import annotations

import base64
import io
import json
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from served_pages import SIDE, stripes

from scorefield.measurement import Mask, Measurement
from scorefield.show import Limits
from scorefield.show.requests import Request
from scorefield.show.working import Job, JobStoppedError, Worker


def numbers(packed: dict) -> np.ndarray:
    kind = "<f8" if packed["dtype"] == "f8" else "<f4"
    return np.frombuffer(base64.b64decode(packed["data"]), kind).reshape(packed["shape"])


def inner(model, x) -> np.ndarray:
    return model.schema.unpack(x, torch.float64).numpy()


def npy(x: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, x)
    return file.getvalue()


def test_samples_are_those_of_the_model(images):
    *frames, last = images.events("draw", {"seed": 3, "count": 4, "sampler": "heun", "steps": 5, "process": "vp"})
    expected = images.model.sample(4, 3, sampler="heun", steps=5, process="vp", batch=4)
    assert np.array_equal(numbers(last["result"]["values"]), inner(images.model, expected))
    levels = [frame["level"] for frame in frames if "frame" in frame]
    assert len(levels) == 6 and levels == sorted(levels, reverse=True)
    assert (
        frames[0]["command"]
        == "scorefield sample stripes -n 4 --seed 3 --sampler heun --steps 5 --process vp -o new.npy"
    )


def test_frames_are_the_trajectory_of_the_model(images):
    frames = [e for e in images.events("draw", {"seed": 1, "count": 2, "steps": 4}) if "frame" in e]
    expected = list(images.model.trajectory(2, 1, steps=4))[:-1]
    assert [f["level"] for f in frames] == [level for level, _ in expected]
    for frame, (_, state) in zip(frames, expected):
        assert np.array_equal(numbers(frame["frame"]), state.float().numpy())


def test_long_trajectories_show_some_states(images):
    most = Limits().frames
    frames = [e for e in images.events("draw", {"count": 1, "steps": 100, "sampler": "ddim"}) if "frame" in e]
    assert len(frames) == most and frames[0]["step"] == 0 and frames[-1]["step"] == 100


def test_conditions_are_those_of_the_command_line(images):
    given = {"seed": 2, "count": 3, "steps": 4, "given": {"label": "1"}, "guidance": 1.5}
    found = images.events("draw", given)[-1]["result"]
    expected = images.model.condition(label=1, guidance=1.5).sample(3, 2, steps=4, batch=3)
    assert np.array_equal(numbers(found["values"]), inner(images.model, expected))
    assert images.events("draw", {"given": {"label": "7"}})[-1] == {"error": "label has no class 7: known are 0, 1"}
    assert "sharpens a context" in images.events("draw", {"guidance": 2})[-1]["error"]


def test_columns_of_a_table_are_given_by_their_names(table):
    asked = {"count": 5, "seed": 4, "steps": 4, "given": {"mode": "rail", "late": "True", "load (t)": "12.5"}}
    found = table.events("draw", asked)[-1]["result"]
    expected = table.model.condition({"mode": "rail", "late": True, "load (t)": 12.5}).sample(5, 4, steps=4, batch=5)
    assert np.array_equal(numbers(found["values"]), inner(table.model, expected))
    assert found["rows"] == [[str(v) for v in row] for row in expected.itertuples(index=False, name=None)]
    assert {row[0] for row in found["rows"]} == {"rail"}
    ticks = found["ticks"]
    assert ticks[0] is ticks[1] is ticks[3] is None and all(text.startswith("2024") for _, text in ticks[2])


def test_painted_values_are_a_measurement(images):
    x = stripes()[0][0]
    values = [float(v) if i < SIDE * SIDE // 2 else None for i, v in enumerate(x.ravel())]
    found = images.events("complete", {"count": 2, "seed": 5, "steps": 6, "values": values, "noise": 0.2})[-1]["result"]
    keep = np.arange(SIDE * SIDE).reshape(SIDE, SIDE) < SIDE * SIDE // 2
    observed = images.model.observe(Measurement(Mask(keep), x[keep].astype(float), 0.2))
    expected = observed.sample(2, 5, steps=6, batch=2)
    assert np.array_equal(numbers(found["values"]), inner(images.model, expected))
    hidden = images.events("complete", {"values": [None] * SIDE * SIDE, "noise": 0.2})[-1]
    assert hidden == {"error": "Mask keeps nothing: at least one component must be measured"}


def test_a_mask_needs_a_grid(table):
    assert "give values of columns" in table.events("complete", {"values": [1.0, None], "noise": 1})[-1]["error"]


def test_interpolations_are_those_of_the_model(images):
    model, asked = images.model, {"seed": 1, "other": 2, "frames": 3, "steps": 4}
    found = images.events("interpolate", {**asked, "sampler": "heun", "through": "latents"})[-1]["result"]
    ends = (model.sample(1, seed, sampler="heun", steps=4) for seed in (1, 2))
    expected = model.interpolate(*ends, 3, "heun(steps=4)")
    assert np.array_equal(numbers(found["values"]), np.concatenate([inner(model, x) for x in expected]))
    found = images.events("interpolate", {**asked, "through": "noise"})[-1]["result"]
    expected = model.interpolate_seeds(1, (1, 2), 3, model.sampling.replace(steps=4))
    assert np.array_equal(numbers(found["values"]), np.concatenate([inner(model, x) for x in expected]))
    assert "through latents or noise" in images.events("interpolate", {"through": "walls"})[-1]["error"]


def test_log_densities_are_those_of_the_model(images):
    x = stripes()[0][:5]
    last = images.density(npy(x), name="some.npy", rows=3, probes=2, tolerance=0.01, seed=6)["result"]
    expected = images.model.log_prob(x[:3], 2, 0.01, 6)
    assert np.array_equal(numbers(last["value"]), expected.value.numpy())
    assert np.array_equal(numbers(last["error"]), expected.error.numpy())
    assert (last["rows_of_file"], last["size"]) == (5, SIDE * SIDE)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.npy", b"", "a.npy is empty (0 bytes)"),
        ("a.npy", b"\x93NUMPY\x01\x00 truncated", "a.npy is not an array of numpy, or damaged"),
        ("a.pkl", b"\x80\x04K\x01.", "a.pkl is of an unknown kind"),
        ("a.npy", b"\x80\x04K\x01.", "a.npy is a pickle, which is never read"),
        ("../../etc/passwd", b"root", "passwd is of an unknown kind"),
        ("..\\..\\a.npy", npy(np.zeros((3, 2, 2))), "like the training data, got (3, 2, 2)"),
        ("", b"1", "file is of an unknown kind"),
    ],
)
def test_files_that_cannot_be_used_are_refused_in_one_line(images, name, content, said):
    error = images.density(content, name=name)["error"]
    assert said in error and "\n" not in error and "/tmp" not in error and "defect" not in error


def test_files_leave_nothing_behind(images, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert "result" in images.density(npy(stripes()[0][:1]), name="a.npy", probes=2, tolerance=0.1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ([], "a request is an object of JSON, got list"),
        ({"path": "/etc/passwd"}, "a request has no 'path'"),
        ({"seed": -1}, "seed is a whole number"),
        ({"seed": True}, "seed is a whole number"),
        ({"count": 0}, "this page draws 1 to 1,000 samples"),
        ({"count": 10**9}, "this page draws 1 to 1,000 samples"),
        ({"steps": 10**7}, "this page takes up to 1,000 steps"),
        ({"sampler": "heun(steps=5000)"}, "this page takes up to 1,000 steps"),
        ({"sampler": "restart(repeats=100000)"}, "this page makes up to 10,000 evaluations for a sample"),
        ({"sampler": "annealedlangevin(moves=1000000)"}, "this page makes up to 10,000 evaluations for a sample"),
        ({"sampler": "nothing"}, "unknown sampler 'nothing'"),
        ({"sampler": "__import__('os').system('id')"}, "is not a name or a call"),
        ({"sampler": "(" * 200}, "cannot read the sampler"),
        ({"sampler": "a" * 400}, "sampler is a text of up to 300 characters"),
        ({"sampler": "heun(steps=5)", "steps": 6, "process": "ether"}, "unknown process 'ether'"),
        ({"given": {"width": "3"}}, "width"),
        ({"given": {"label": 3}}, "label is a text"),
        ({"guidance": "much"}, "guidance is a number"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(images, request_, said):
    error = images.events("draw", request_)[-1]["error"]
    assert said in error and "\n" not in error and "defect" not in error


def test_bodies_have_limits(images):
    kind = {"content-type": "application/json"}
    status, _, body = images.ask("POST", "/api/draw", b"[" * 100_000, kind)
    assert status == 400 and b"cannot be read" in body
    status, _, body = images.ask("POST", "/api/draw", b" " * (Limits().body + 1), kind)
    assert status == 413 and b"up to 8,388,608 bytes" in body
    status, _, _ = images.ask("POST", "/api/density", b"", {"content-length": str(10**12)})
    assert status == 413
    status, _, body = images.ask("POST", "/api/draw", b'{"guidance": NaN}', kind)
    assert status == 400
    status, _, body = images.ask("POST", "/api/draw", b'{"seed": 1}', {"content-type": "text/plain"})
    assert status == 400 and b"application/json" in body


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({}, "wrong"),
        ({}, ""),
        ({"host": "evil.example"}, None),
        ({"host": "127.0.0.1:1"}, None),
        ({"origin": "http://evil.example"}, None),
        ({"origin": "null"}, None),
        ({"sec-fetch-site": "cross-site"}, None),
        ({"sec-fetch-site": "same-site"}, None),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}, None),
    ],
)
@pytest.mark.parametrize("path", ["/", "/main.js", "/api/about", "/report"])
def test_others_get_nothing(images, headers, token, path):
    status, found, body = images.ask("GET", path, None, headers, token)
    assert status == 403 and b"scorefield show printed" in body
    assert "access-control-allow-origin" not in {name.lower() for name in found}


def test_two_hosts_are_none(images):
    host, port = images.host.split(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        lines = [
            f"GET /{images.token}/api/about HTTP/1.1",
            f"Host: {images.host}",
            "Host: evil.example",
            "Connection: close",
        ]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        assert connection.recv(64).split()[1] in (b"400", b"403")


def test_the_page_comes_with_its_policy(images):
    opened = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    for headers in ({}, {"origin": f"http://{images.host}", "sec-fetch-site": "same-origin"}, opened):
        status, found, body = images.ask("GET", "/", None, headers)
        assert status == 200 and b"<!doctype html>" in body
        policy = found["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
        assert (found["referrer-policy"], found["x-content-type-options"]) == ("no-referrer", "nosniff")
    assert images.ask("GET", "/../working.py")[0] == 404
    assert images.ask("GET", "/main.js")[1]["content-type"].startswith("text/javascript")


def test_the_report_can_do_nothing(images, table):
    status, found, body = images.ask("GET", "/report")
    assert status == 200 and b"What to conclude" in body
    assert "sandbox" in found["content-security-policy"] and "script-src" not in found["content-security-policy"]
    status, _, body = table.ask("GET", "/report")
    assert status == 404 and b"scorefield report freight writes one" in body


def test_the_page_asks_nothing_from_outside():
    static = Path(__file__).parents[2] / "src" / "scorefield" / "show" / "static"
    for path in static.iterdir():
        text = path.read_text()
        assert "http:" not in text and "https:" not in text and "//cdn" not in text, path
        assert " style=" not in text and "onclick=" not in text and "innerHTML" not in text, path
    assert (static / "index.html").read_text().count("<script") == 1


def test_the_description_has_names_and_units():
    xarray = pytest.importorskip("xarray")
    from scorefield.data import Schema
    from scorefield.show.describing import _axes, _label

    coords = {"time": ("time", np.arange(8.0), {"units": "h"})}
    x = xarray.DataArray(np.random.default_rng(0).normal(size=(5, 8)), coords, ("run", "time"), "t2m", {"units": "K"})
    schema = Schema.of(x, "grid")
    assert _axes(schema) == [{"name": "time", "unit": "h", "values": list(range(8))}]
    assert _label(schema) == {"name": "t2m", "unit": "K"}


def test_the_description_says_what_can_be_given(images, table):
    found = json.loads(images.ask("GET", "/api/about")[2])
    assert found["context"]["columns"] == [{"name": "label", "levels": ["0", "1"]}] and found["kind"] == "images"
    assert {"heun", "ddim"} <= set(found["names"]["sampler"]) and found["report"] is True
    for name in (*found["names"]["sampler"], *found["names"]["schedule"]):
        field = "sampler" if name in found["names"]["sampler"] else "schedule"
        Request.of({field: name}, Limits()).sampling()  # each that is offered can be read
    columns = json.loads(table.ask("GET", "/api/about")[2])["columns"]
    assert [(c["name"], c["levels"]) for c in columns][:2] == [("mode", ["rail", "road"]), ("load (t)", [])]


def test_one_computation_at_a_time():
    worker, release, events = Worker(60.0), threading.Event(), []

    def work(job: Job) -> dict:
        release.wait(20)
        job.check()
        return {}

    worker.begin(work, events.append)
    with pytest.raises(ValueError, match="another computation runs"):
        worker.begin(work, events.append)
    worker.stop()
    threading.Timer(0.2, release.set).start()
    worker.begin(lambda job: {"next": 1}, events.append)  # waits until the one that was stopped has noticed it
    for _ in range(100):
        if len(events) == 2:
            break
        time.sleep(0.05)
    assert events[0] == {"error": "stopped"} and events[1]["result"] == {"next": 1}


def test_a_computation_that_takes_too_long_ends(images):
    job = Job(lambda event: None, 0.0)
    with pytest.raises(JobStoppedError, match="up to 0 seconds"), job.watched():
        images.model.sample(1)
    images.model.sample(1, steps=2)  # and nothing is watched any more


def test_what_nobody_waits_for_is_stopped(images):
    host, port = images.host.split(":")
    body = json.dumps({"count": 500, "steps": 1000, "sampler": "ddim"}).encode()
    head = f"POST /{images.token}/api/draw HTTP/1.1\r\nHost: {images.host}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert connection.recv(64)
    begun = time.monotonic()
    while "error" in (last := images.events("draw", {"count": 1, "steps": 2})[-1]):
        assert last == {"error": "another computation runs: wait until it ends, or stop it"}
        assert time.monotonic() - begun < 20
        time.sleep(0.1)
    assert "result" in last


def test_without_the_extra_the_error_names_it(images, monkeypatch):
    from scorefield.show import serve

    monkeypatch.setitem(__import__("sys").modules, "uvicorn", None)
    with pytest.raises(ImportError, match=r'the local page needs uvicorn: pip install "scorefield\[show\]"'):
        serve(images.model, "run")
    monkeypatch.undo()
    with pytest.raises(ValueError, match="a port is a number from 0 to 65535"):
        serve(images.model, "run", 70000)
    taken = int(images.host.split(":")[1])
    with pytest.raises(OSError, match=f"port {taken} cannot be used .*: choose another with --port"):
        serve(images.model, "run", taken)
