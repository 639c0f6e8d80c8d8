"""The check of posteriors finds failures that are planted in exact draws, and those of methods that are known to fail."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from scorefield.data import Schema
from scorefield.denoisers import Gaussian, Mixture
from scorefield.inverse import PosteriorCheck, check_posterior, rank_test
from scorefield.inverse.simulating import _against_the_exact, _Simulated
from scorefield.measurement import Function, Linear, Measurement
from scorefield.model import Model
from scorefield.posterior import DPS, MomentMatching, Posterior
from scorefield.processes import EDM, VP
from scorefield.samplers import ExponentialAdams, Sampling
from scorefield.schedules import UniformTime
from scorefield.units import Standardize

D = torch.float64


@pytest.fixture(scope="module")
def checks():
    path = Path(__file__).parents[1] / "benchmarks" / "posterior_checks.py"
    spec = importlib.util.spec_from_file_location("posterior_checks", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def found(checks, problem: str, count: int, seed: int) -> dict[str, bool]:
    simulated = checks.problems()[problem](count, seed)
    planted = {failure: checks.planted(failure, simulated) for failure in checks.FAILURES}
    kept = {failure: draws for failure, draws in planted.items() if draws is not None}
    return {failure: not checks.tested(simulated, draws, seed).passed() for failure, draws in kept.items()}


@pytest.mark.parametrize("problem", ["10-D linear, noise 0.03", "3-D mixture"])
def test_planted_failures_are_found(checks, problem):
    for failure, rejected in found(checks, problem, 200, 0).items():
        assert rejected == (failure != "right"), failure


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    "problem",
    ["2-D, abs(x)", "2-D, x₁x₂", "10-D linear, noise 0.3", "10-D linear, noise 0.03", "3-D mixture", "16 x 16, blur"],
)
def test_planted_failures_are_found_in_nineteen_of_twenty_seeds(checks, problem):
    each = [found(checks, problem, 200, seed) for seed in range(20)]
    for failure in each[0]:
        count = sum(one[failure] for one in each)
        assert count <= 2 if failure == "right" else count >= 19, (failure, count)


def test_the_level_is_that_of_the_test():
    """Exchangeable points are rejected as often as the level says: 10 % of 60, in all dimensions."""
    rejected = 0
    for seed in range(60):
        x = torch.from_numpy(np.random.default_rng(seed).standard_t(3, size=(40, 9, 1 + seed % 3)))
        rejected += rank_test(x, x[..., :1], x.square().sum(2), randomizations=99, seed=seed).p_value <= 0.1
    assert 1 <= rejected <= 14


def test_ranks_name_what_is_wrong():
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(200, 21, 2)))
    high = torch.cat([x[:, :1], x[:, 1:] + 0.7 * torch.tensor([1.0, 0.0])], 1)
    found = rank_test(high, x[..., 1:], x.square().sum(2))
    assert "coordinate 0 (draws too high)" in found.verdict and found.shift[0] < -5
    with pytest.raises(ValueError, match="ranks need at least 8 simulations"):
        rank_test(x[:5], x[:5], x[:5, :, 0])
    with pytest.raises(ValueError, match="the draws hold NaN or infinite values"):
        rank_test(x.log(), x, x[:, :, 0])


def model(prior: Gaussian | Mixture, process=EDM(0.002, 80.0)) -> Model:  # noqa: B008  # a frozen value
    moments = prior if isinstance(prior, Gaussian) else prior.moments()
    n = moments.mean.numel()
    sampling = Sampling(ExponentialAdams(3), 32, process=process)
    return Model(Schema.of(np.zeros((3, n)) + np.arange(3)[:, None]), Standardize((n,)), prior, moments, sampling)


PLANE = Mixture(
    torch.tensor([[1.0, 3.0], [0.0, -0.6], [-1.5, 1.0]], dtype=D),
    torch.tensor([0.6, 0.6, 0.5], dtype=D),
    torch.tensor([0.45, 0.25, 0.3], dtype=D),
)
NORMAL = Gaussian(torch.zeros(10, dtype=D), torch.eye(10, dtype=D))
LENGTH = Measurement(Function(lambda x: x.square().sum(1, keepdim=True).sqrt()), [2.0], 0.1)
PRODUCT = Measurement(Function(lambda x: x[:, :1] * x[:, 1:]), [1.0], 0.1)
SUMS = torch.randn(3, 10, generator=torch.Generator().manual_seed(0), dtype=D)


@pytest.mark.parametrize(
    ("prior", "seen", "method"),
    [
        (PLANE, LENGTH, DPS()),
        (PLANE, PRODUCT, DPS()),
        (PLANE, LENGTH, MomentMatching()),
        (NORMAL, Measurement(Linear(SUMS), [0.5, 1.0, -1.0], 0.3), DPS()),
    ],
    ids=["DPS, length", "DPS, product", "moment matching, length", "DPS, linear"],
)
def test_draws_that_contradict_the_measurement_are_not_trusted(prior, seen, method):
    found = check_posterior(model(prior).observe(seen, method), simulations=100, draws=24)
    assert not found.trusted and not found.own.passed()
    assert "Do not trust these draws" in " ".join(found.verdict)


@pytest.mark.slow
def test_draws_too_narrow_along_the_data_are_not_trusted():
    """On the uniform grid of VP the deviation of A(x) is .4 of the exact one, and the width averaged over coordinates 1."""
    given = model(NORMAL, VP()).observe(Measurement(Linear(SUMS[:1]), [0.5], 0.03), MomentMatching())
    assert check_posterior(given, simulations=100, draws=24, own=0).trusted
    uniform = Sampling(steps=32, schedule=UniformTime(), process=VP())
    found = check_posterior(given, simulations=100, draws=24, sampling=uniform, own=0)
    assert not found.trusted and found.width < 0.5


@pytest.mark.slow
def test_the_default_is_trusted_where_moment_matching_is_not():
    found = check_posterior(model(PLANE).observe(LENGTH), simulations=60, draws=16)
    assert found.trusted and found.own.passed()


@pytest.mark.slow
def test_the_mean_of_few_exact_draws_is_near_enough():
    """Of 40 checks of 40 simulations with 16 exact draws, a limit of 0.1 rejected about six; half a deviation is found."""
    prior = Gaussian(torch.zeros(2, dtype=D), torch.eye(2, dtype=D))
    seen = Measurement(Linear([[1.0, 0.0]]), [0.3], 0.3)
    posterior = Posterior(prior, seen, MomentMatching(), moments=prior)
    variance, gain = torch.tensor([0.09 / 1.09, 1.0], dtype=D), 1 / 1.09
    right, wrong, strict = 0, 0, 0
    for seed in range(40):
        g = torch.Generator().manual_seed(seed)
        truth, z = (torch.randn(*size, generator=g, dtype=D) for size in ((40, 2), (40, 16, 2)))
        y = truth[:, :1] + 0.3 * torch.randn(40, 1, generator=g, dtype=D)
        mean = torch.cat([gain * y, torch.zeros_like(y)], 1)
        for bias in (0.0, 0.5):
            drawn = mean[:, None] + variance.sqrt() * (z + bias)
            _, known = _against_the_exact(posterior, prior, _Simulated(truth, y, drawn), seed)
            check = PosteriorCheck(
                None, known.width, known.shift, None, "", 0.0, None, None, known.error, None, known.shift_error
            )
            right, wrong = right + (check.near and not bias), wrong + (not check.near and bool(bias))
            strict += not bias and known.shift >= 0.1
    assert right >= 39 and wrong >= 38 and strict >= 3, (right, wrong, strict)
