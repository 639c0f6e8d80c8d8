from __future__ import annotations

import math

import pytest
import torch

import properties
from properties import STEPS, table_error
from scorefield.diffusion import Diffusion
from scorefield.processes import EDM, Process
from scorefield.rng import Samples
from scorefield.samplers import Churn, Heun, Sampling, sample

D = torch.float64
PROCESSES = properties.instances(Process, "scorefield.processes")
every = pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)


def test_errors_in_the_spread_have_their_printed_digits():
    """Those of the published settings for ImageNet: noise between the levels 0.05 and 50, 1.003 times too wide."""
    for steps, printed in zip(STEPS, ("0.64", "0.16", "0.054", "0.024", "0.011", "5e-3")):
        digits = len(printed.split("e")[0].lstrip("0."))
        assert float(f"{table_error(Churn(noise=1.003), steps):.{digits - 1}e}") == float(printed)


def test_second_order_and_a_bias_that_stays():
    coarse, fine, biased = (table_error(Churn(noise=noise), n) for noise, n in ((1, 128), (1, 256), (1.003, 256)))
    assert math.log2(coarse / fine) == pytest.approx(2, abs=0.1)
    assert biased - fine == pytest.approx(0.003, abs=1e-4)


@every
def test_without_churn_it_is_heun(process, mixture):
    diffusion, rng = Diffusion(process, mixture, mixture.moments()), properties.Noises()
    expected = sample(diffusion, (5, 2), Sampling(Heun(), 8), Samples(0, count=5))
    for sampler in (Churn(0.0), Churn(low=1e9, high=1e9)):
        found = sample(diffusion, (5, 2), Sampling(sampler, 8), Samples(0, count=5))
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
        for _ in sampler.trajectory(diffusion, expected, torch.tensor([0.8, 0.5], dtype=D), rng):
            pass
    assert rng.calls == 0


@every
@pytest.mark.parametrize("churn", [0.6, 40.0])
def test_it_is_algorithm_2_of_karras(process, churn, mixture):
    """In u = x/α, with the level in the place of their t, and 3 levels above 0."""
    diffusion, x = Diffusion(process, mixture), Samples(0, count=3).normal((3, 2), D)
    times = torch.tensor([0.8, 0.5, 0.3], dtype=D)
    states = list(Churn(churn, 0.0, math.inf, 1.1).trajectory(diffusion, x, times, Samples(1, count=3)))
    rng = Samples(1, count=3)
    u, levels = x / process.alpha(times[0]), process.level(times).tolist()
    for t, now, after, state in zip(times[1:], levels, levels[1:], states[1:]):
        gamma = min(churn / 3, math.sqrt(2) - 1)
        raised = now + gamma * now
        u = u + math.sqrt(raised**2 - now**2) * 1.1 * rng.normal((3, 2), D)
        slope = (u - mixture(u, torch.tensor(raised, dtype=D))) / raised
        guess = u + (after - raised) * slope
        later = (guess - mixture(guess, torch.tensor(after, dtype=D))) / after
        u = u + (after - raised) * (slope / 2 + later / 2)
        torch.testing.assert_close(state, process.alpha(t) * u, rtol=1e-11, atol=1e-12)


def test_noise_is_added_between_its_two_levels(mixture):
    diffusion, rng = Diffusion(EDM(), mixture, mixture.moments()), properties.Noises()
    times = torch.linspace(1, 0, 10, dtype=D)
    inside = [0.1 <= float(level) <= 5 for level in EDM().level(times[:-1])]
    for _ in Churn(low=0.1, high=5.0).trajectory(diffusion, torch.ones(1, 2, dtype=D), times, rng):
        pass
    assert rng.calls == sum(inside) and 0 < sum(inside) < 9


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"churn": -1.0}, "Churn needs 0 <= churn < inf, got churn=-1"),
        ({"churn": math.inf}, "Churn needs 0 <= churn < inf, got churn=inf"),
        ({"low": 2.0, "high": 1.0}, "Churn needs 0 <= low <= high, got low=2, high=1"),
        ({"low": -1.0}, "Churn needs 0 <= low <= high, got low=-1, high=50"),
        ({"noise": 0.0}, "Churn needs 0 < noise < inf, got noise=0"),
        ({"noise": math.nan}, "Churn needs 0 < noise < inf, got noise=nan"),
    ],
    ids=repr,
)
def test_values_that_are_none(values, message):
    with pytest.raises(ValueError, match=message):
        Churn(**values)
