"""The crash tester finds what it is for, and a few of its kills."""

from __future__ import annotations

import signal

import pytest
from crash import VERBS, Crasher, Verb

OUTPUT = "new.csv"


@pytest.fixture
def crasher(tmp_path, monkeypatch):
    """A tester that has not begun, for a command that writes one file."""
    monkeypatch.setattr(Crasher, "__post_init__", lambda self: None)
    found = Crasher(tmp_path, verbs={"sample": Verb("sample", (OUTPUT,), True)})
    found.whole = {"sample": {OUTPUT: b"new"}}
    monkeypatch.setattr(Crasher, "_results", lambda self, name, place: {OUTPUT: _read(place / OUTPUT)})
    return found


def _read(path):
    content = path.read_bytes()
    return content.decode() if content.startswith(b"old ") else content


@pytest.mark.parametrize("content, faults", [("old new.csv", 0), ("new", 0), ("ne", 1), ("", 1), ("old", 1)])
def test_a_lost_output_is_a_fault(crasher, content, faults):
    place = crasher._place("sample", "killed")
    (place / OUTPUT).write_text(content)
    crasher._check("sample", place, "planted", 0)
    assert len(crasher.faults) == faults


@pytest.mark.parametrize("name, faults", [(".a-1-2.part.new.csv", 1), (".run.json.7.part", 1), ("new.csv", 0)])
def test_a_leftover_is_a_fault(crasher, name, faults):
    place = crasher._place("sample", "killed")
    (place / name).write_text("half")
    crasher._check_leftovers("planted", place)
    assert len(crasher.faults) == faults


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_few_kills_of_every_command(tmp_path, number):
    crasher = Crasher(tmp_path, seed=1, number=number)
    for name in VERBS:
        crasher.run(name, 3)
    assert crasher.faults == [] and set(crasher.kills.values()) == {3}
