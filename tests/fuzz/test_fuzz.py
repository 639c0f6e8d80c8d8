"""A fixed part of `make fuzz`, and that it would find what it looks for."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from kinds import KINDS

from fuzz import fuzz, kind_originals, outcome
from scorefield.cli.entry import _is_defect
from scorefield.data import read


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_damaged_input_is_accepted_or_refused_in_one_line(kind, tmp_path):
    originals = kind_originals(kind, tmp_path)
    found = [outcome(kind, originals, tmp_path / "case", 1, case) for case in range(6)]
    assert not [(case, o.kind, o.said) for case, o in enumerate(found) if o.kind not in ("accepted", "one line")]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_valid_input_is_accepted(kind, tmp_path):
    """Else the fuzzer would damage what is refused anyway."""
    if kind.name in ("toml", "flags", "images"):
        return
    assert sum(_accepts(kind, path) for path in kind_originals(kind, tmp_path / "a" / "b")) > 0


def _accepts(kind, path):
    try:
        kind.use(path)
    except ValueError:
        return False
    return True


@pytest.mark.slow
def test_the_fuzzer_finds_planted_failures():
    """A reader that slips, stalls, dies, or eats memory is anything else; one that refuses is not."""
    npy = next(kind for kind in KINDS if kind.name == "npy")

    def planted(use):
        return fuzz(replace(npy, use=use), cases=2)

    assert planted(lambda path: None + 1).counts["else"] == 2
    assert planted(lambda path: __import__("os")._exit(3)).counts["else"] == 2
    assert planted(lambda path: bytearray(8 << 30)).counts["one line"] == 2  # the system refuses, in one line
    assert planted(lambda path: read("/none")).counts["one line"] == 2


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(codec="utf-8"), max_size=80))
def test_any_text_is_a_table_or_refused(text, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(text, "utf-8")
    try:
        read(path)
    except Exception as error:
        assert not _is_defect(error), error
