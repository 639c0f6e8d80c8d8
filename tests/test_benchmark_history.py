"""The history of speeds: what is kept, and that the check finds planted slowdowns and is quiet where nothing changed."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import history
import suite
from history import Figure, Record, append, fell, load, warnings
from suite import Case


def figure(ratios: list[float], peer: str = "loop") -> Figure:
    return Figure("a step", peer, (1.0,) * len(ratios), tuple(ratios))


def record(machine: str, **figures: Figure) -> Record:
    return Record("0123456789ab", "2026-01-01T00:00:00+00:00", machine, {"torch": "2.13"}, figures)


def test_records_come_back_and_each_kind_of_machine_has_its_own(tmp_path: Path) -> None:
    first, second, other = (record(m, a=figure([1.0, r])) for m, r in (("one", 2.0), ("one", 3.0), ("two", 4.0)))
    for each in (first, other, second):
        append(tmp_path / "new", each)
    assert load(tmp_path / "new", "one") == [first, second] and load(tmp_path / "new", "two") == [other]
    assert load(tmp_path / "new", "three") == []
    path = history.file_of(tmp_path / "new", "one")
    path.write_text(path.read_text()[:-20])  # a run that was killed while it wrote
    assert load(tmp_path / "new", "one") == [first]
    append(tmp_path / "new", second)


def test_a_new_record_says_what_ran_where() -> None:
    found = Record.of({"a": figure([2.0])})
    assert found.machine == history.machine() and "cores" in found.machine
    assert set(found.versions) == {"torch", "numpy", "scipy", "python"} and found.commit
    assert "| a | 1000 | a step | loop: 2000 | 2.00 | 2.00 to 2.00 |" in history.table(found.figures)


def noisy(rng: np.random.Generator, speed: float, rounds: int = 5) -> list[float]:
    """Ratios of a machine whose speed varies by a factor from round to round, and by a fifth between two runs."""
    return list(speed * np.exp(0.12 * rng.standard_normal(rounds)))


@pytest.mark.parametrize(
    ("speed", "low", "high"), [(1.0, 0.0, 0.03), (1.15, 0.0, 0.01), (0.75, 0.85, 1.0), (0.5, 0.99, 1.0)]
)
def test_planted_slowdowns_are_found_and_noise_is_not(speed: float, low: float, high: float) -> None:
    """A warning needs two measurements in a row; ratios vary by 12 % from round to round."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(600):
        past = [noisy(rng, 2.0) for _ in range(6)]
        found.append(all(fell(noisy(rng, 2.0 * speed), past) is not None for _ in range(2)))
    assert low <= np.mean(found) <= high


def test_only_figures_with_the_same_peer_are_compared() -> None:
    past = [record("one", a=figure([2.0] * 5), b=figure([2.0] * 5))]
    new = {"a": figure([1.5] * 5), "b": figure([1.5] * 5, "another"), "c": figure([0.1] * 5)}
    assert warnings(new, past) == {"a": 0.75}
    assert warnings(new, []) == {}


def _busy(seconds: float) -> float:
    begin = time.process_time()
    while time.process_time() - begin < seconds:
        pass
    return time.process_time() - begin


@pytest.mark.parametrize(("seconds", "status"), [(0.004, 0), (0.008, 1)])
def test_the_suite_warns_of_a_slowdown(
    seconds: float, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A first run at 4 ms, a peer at 4 ms; then the same, or a run at 8 ms. What has no peer installed is left out."""

    def run(cost: float) -> int:
        pair = (lambda: _busy(cost)), (lambda: _busy(0.004))
        cases = {"work": Case("once", "peer", lambda: pair), "other": Case("once", "none", lambda: None)}
        monkeypatch.setattr(suite, "CASES", cases)
        monkeypatch.setattr(sys, "argv", ["suite.py", "--history", str(tmp_path)])
        return suite.main()

    assert run(0.004) == 0
    assert run(seconds) == status
    shown = capsys.readouterr().out
    assert ("WARNING: work is at 0." in shown) == (status == 1) and "other" not in shown
    assert len(load(tmp_path, history.machine())) == 2


def test_every_case_has_a_peer_and_a_unit() -> None:
    assert all(case.unit and case.peer for case in suite.CASES.values())
