"""What is chosen for tables with categories: the network, the budget, the levels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import scorefield
from scorefield.fitting import prepare
from scorefield.fitting.options import Options
from scorefield.fitting.planning import plan
from scorefield.settings import Training

pd = pytest.importorskip("pandas")


def table(count: int) -> object:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"x": rng.normal(size=count), "y": rng.normal(size=count), "c": rng.choice(list("abc"), count)})


@pytest.mark.parametrize(("count", "batch", "rate"), [(400, 256, 2e-3), (4000, 512, 4e-3)])
def test_sizes_follow_from_the_number_of_rows(count, batch, rate):
    found = plan(prepare(table(count)))
    rows = len(found.prepared.split.train)
    assert (found.training.batch, found.training.learning_rate) == (batch, rate)
    assert found.training.steps == {400: int(rows**1.5 / 2), 4000: 10_000}[count]
    assert found.network.numbers == 2 and found.network.features == 5 and found.network.extra == 6
    assert found.choice("sampling").value == "DPM(eta=1, steps=64)"
    assert f"{rows:,} rows" in found.choice("steps").reason


def test_what_is_asked_for_stays():
    asked = plan(prepare(table(4000)), Options(training=Training(minutes=1.0, batch=64, learning_rate=1e-3)))
    assert asked.training.minutes == 1.0 and asked.training.steps is None
    assert (asked.training.batch, asked.training.learning_rate) == (64, 1e-3)


def test_first_answers_are_frequencies():
    """After one step, probabilities are the frequencies of the data: rare levels would take long to become rare."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=3000), "c": rng.choice(list("abc"), 3000, p=[0.9, 0.099, 0.001])})
    denoiser = scorefield.fit(frame, steps=1).denoiser
    with torch.no_grad():
        answer = denoiser(torch.zeros(1, 4), torch.tensor(40.0))
    assert answer[0, 1:].tolist() == pytest.approx([(frame["c"] == c).mean() for c in "abc"], abs=0.01)
