"""A budget ends: infinity is none. And a fit takes no more memory the longer it lasts."""

from __future__ import annotations

import gc
import math

import numpy as np
import pytest

from scorefield import fit
from scorefield.cli import main
from scorefield.runs import log
from scorefield.settings import Network, Training

NO_BUDGETS = [math.inf, -math.inf, math.nan, 0, -1, 1e300]


@pytest.mark.parametrize("name", ["minutes", "steps", "epochs"])
@pytest.mark.parametrize("value", NO_BUDGETS)
def test_what_is_no_budget_is_refused_in_one_line(tmp_path, capsys, name, value):
    with pytest.raises(ValueError, match=f"{name} above 0 and at most 1e.12, got {name}=.*: give a number, such as"):
        fit(np.zeros((9, 2)), tmp_path / "run", **{name: value})
    with pytest.raises(ValueError, match=f"{name} above 0"):
        Training(**{name: value})
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(40, 2)))
    words = ["fit", str(tmp_path / "x.npy"), "-o", str(tmp_path / "run"), f"--{name}={value}"]
    assert main(words) != 0
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "run").exists()


@pytest.mark.parametrize("value", ["5", True, 1j, [5]])
def test_what_is_no_number_is_refused_in_one_line(value):
    with pytest.raises(TypeError, match=r"minutes must be a number, got .*: give a number, such as minutes=10"):
        Training(minutes=value)


def test_steps_are_whole_and_numbers_of_numpy_will_do():
    with pytest.raises(ValueError, match=r"steps are whole, got steps=2\.5"):
        Training(steps=2.5)
    with pytest.raises(ValueError, match="at most"):
        Training(steps=10**400)
    assert Training(steps=np.int64(3)).steps == 3 and Training(minutes=np.float32(0.5)).minutes == 0.5
    for name in ("learning_rate", "muon_learning_rate"):
        for value in (math.inf, math.nan, -1.0):
            with pytest.raises(ValueError, match=name):
                Training(**{name: value})


def growth(folder, first: int, last: int) -> int:
    """How many more objects there are after some steps of a fit, with no row of the log between them."""
    counts = {}

    def watch(progress):
        if progress.step in (first, last):
            gc.collect()
            counts[progress.step] = len(gc.get_objects())

    training = Training(steps=last + 1, batch=4, evaluations=1, averages=())
    x = np.random.default_rng(0).normal(size=(40, 1))
    fit(x, folder, network=Network(widths=(4,), depth=1), training=training, device="cpu", watch=watch)
    return counts[last] - counts[first]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_steps_between_two_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(log, "_FRACTION", 2.0)
    assert growth(tmp_path / "a", 600, 1624) < 100  # 88 losses wait at both, on the device
    monkeypatch.setattr(log, "_PENDING", 10**9)  # as the log once was
    assert growth(tmp_path / "b", 600, 1624) >= 1024
