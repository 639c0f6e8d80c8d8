"""Posteriors of simulators by mixtures, their choice and their check, against exact ones; and the calls of `sbi`."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from torch.distributions import Independent, LogNormal, MultivariateNormal, Uniform

from scorefield import checkpoint, fit
from scorefield.interop import NLE, NPE, SBI, JointInference
from scorefield.interop.joint import JointPosterior
from scorefield.settings import Training

NOISE = 0.3
WIDE = MultivariateNormal(torch.zeros(2), torch.eye(2))


def pairs(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """θ ~ N(0, I₂), x ~ N(θ, 0.3² I₂), and a third number that is always 1: the posterior is N(x/(1 + 0.09), 0.09/1.09)."""
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=(count, 2))
    return theta, np.concatenate([theta + NOISE * rng.normal(size=theta.shape), np.ones((count, 1))], 1)


def exact(theta: torch.Tensor, x: list[float]) -> torch.Tensor:
    variance = NOISE**2 / (1 + NOISE**2)
    return (
        torch.distributions.Normal(torch.tensor(x[:2]).double() / (1 + NOISE**2), variance**0.5).log_prob(theta).sum(1)
    )


@pytest.fixture(scope="module")
def inference() -> SBI:
    return SBI(WIDE).append_simulations(*pairs(1500)).train(max_num_epochs=40)


@pytest.mark.parametrize("method", [pytest.param("nle", marks=pytest.mark.slow), "npe", "sbi"])
def test_the_posterior_of_a_gaussian_simulator(inference, method):
    """Mean, width and density, for two observations, one where chains are needed; what 1,500 simulations leave."""
    made = {"nle": inference.nle, "npe": inference.npe, "sbi": inference}[method]
    posterior, near = made.build_posterior(), torch.tensor([[0.2, -0.1], [-0.3, 0.2]]).double()
    for x in ([0.5, -1.0, 1.0], [1.5, 0.2, 1.0])[: 1 if method == "nle" else 2]:
        drawn = posterior.sample((1500,), x=x, seed=1).double()
        assert float((drawn.mean(0) - torch.tensor(x[:2]) / (1 + NOISE**2)).abs().max()) < 0.06
        assert float((drawn.std(0) / (NOISE**2 / (1 + NOISE**2)) ** 0.5 - 1).abs().max()) < 0.1
        at = near + torch.tensor(x[:2]) / (1 + NOISE**2)
        assert float((posterior.log_prob(at, x=x) - exact(at, x)).abs().max()) < 0.4
        assert float((posterior.map(x=x) - torch.tensor(x[:2]) / (1 + NOISE**2)).abs().max()) < 0.08


def test_the_calls_of_sbi(inference):
    posterior = inference.build_posterior()
    one = posterior.log_prob(torch.tensor([0.2, -0.1]), x=[0.5, -1.0, 1.0])
    assert torch.equal(one, posterior.log_prob(torch.tensor([[0.2, -0.1]]), x=[0.5, -1.0, 1.0]))
    with pytest.raises(
        ValueError, match=r"^a posterior is one given data: pass x=…, what was observed, or set_default_x"
    ):
        posterior.sample((3,))
    assert posterior.set_default_x([0.5, -1.0, 1.0]) is posterior
    assert torch.equal(posterior.sample((2, 3), show_progress_bars=False), posterior.sample((2, 3), x=[0.5, -1.0, 1.0]))
    each = torch.tensor([[0.5, -1.0, 1.0], [1.5, 0.2, 1.0]])
    drawn = posterior.sample_batched((7,), x=each)
    assert drawn.shape == (7, 2, 2)
    torch.testing.assert_close(drawn[:, 1], posterior.sample((7,), x=each[1]))
    values = posterior.log_prob_batched(drawn, x=each)
    torch.testing.assert_close(values[:, 1], posterior.log_prob(drawn[:, 1], x=each[1]))
    with pytest.raises(ValueError, match=r"^log_prob_batched takes parameters \(N, B, P\) and B observations, got"):
        posterior.log_prob_batched(drawn[:, :1], x=each)
    again = pickle.loads(pickle.dumps(posterior))
    assert torch.equal(again.sample((5,)), posterior.sample((5,)))
    with pytest.warns(DeprecationWarning, match="shape= is now sample_shape="):
        posterior.sample(shape=(2,))


@pytest.mark.slow
def test_observations_have_the_form_of_simulations(inference):
    for made in (inference, inference.nle, inference.npe):
        posterior = made.build_posterior()
        with pytest.raises(
            ValueError, match=r"^an observation has 3 numbers, got shape \(2,\): pass \(Q,\) or \(m, Q\)$"
        ):
            posterior.sample((3,), x=[0.5, -1.0])
        with pytest.raises(ValueError, match=r"^a number of the observation is missing \(NaN\): JointInference"):
            posterior.sample((3,), x=[0.5, np.nan, 1.0])
        with pytest.raises(ValueError, match=r"^log_prob takes parameters \(N, 2\), got \(1, 3\): reshape them$"):
            posterior.log_prob([[0.1, 0.2, 0.3]], x=[0.5, -1.0, 1.0])
    with pytest.raises(
        ValueError, match=r"^training needs a whole training_batch_size >= 1 and max_num_epochs > 0, got 0 and None"
    ):
        NPE().append_simulations(*pairs(50)).train(training_batch_size=0)
    with pytest.raises(ValueError, match=r"whole training_batch_size >= 1 .* got 2\.5"):
        NPE().append_simulations(*pairs(50)).train(training_batch_size=2.5)
    with pytest.raises(ValueError, match=r"^an observation has 3 numbers, got shape \(2,\)"):
        inference.check([0.5, -1.0])


@pytest.mark.parametrize("count", [0, 1, 5])
def test_few_simulations_are_refused_as_few(count):
    theta, x = pairs(5)
    with pytest.raises(ValueError, match=f"^{count} simulations are too few to learn from: append 10 or more"):
        NPE().append_simulations(theta[:count], x[:count]).train()


def test_what_was_learned_is_saved(inference, tmp_path):
    for part in (inference.nle.likelihood, inference.npe.estimator):
        checkpoint.save(part, tmp_path / "part.safetensors")
        again = checkpoint.load(tmp_path / "part.safetensors")
        theta, x = (torch.from_numpy(each[:5]) for each in pairs(5, 3))
        x = x[:, :2]
        if part is inference.npe.estimator:
            assert torch.equal(again.log_prob(theta, x), part.log_prob(theta, x))
        else:
            assert torch.equal(again.log_prob(theta, x[0]), part.log_prob(theta, x[0]))


@pytest.mark.slow
def test_a_right_posterior_is_trusted_and_observations_unlike_simulations_are_not(inference):
    found = inference.check([0.5, -1.0, 1.0], simulations=60)
    assert found.passed and found.verdict.startswith("Trust it: intervals of 50 and 90 % hold the truth in ")
    assert str(found) == found.verdict and found.density > -0.4
    far = inference.check([9.0, -9.0, 1.0], simulations=20)
    assert far.ranks.passed() and not far.passed
    assert far.verdict.startswith("Do not trust it here: 0.0 % of the simulations are as far out as this observation")
    assert inference.check(pairs(1, 9)[1][0], simulations=20).typical > 0.01


@pytest.mark.parametrize("fault", ["wide", "narrow", "shifted"])
def test_wrong_posteriors_are_found(inference, fault, monkeypatch):
    """Each of three planted failures, a quarter of a width or a shift of half a width, by 200 held-out simulations."""
    direct = inference.npe.build_posterior()
    monkeypatch.setattr(inference, "by_likelihood", False)
    change = {"wide": 1.3, "narrow": 0.75, "shifted": 1.0}[fault]
    draw = type(direct).draw

    def wrong(self, count, x, seed, **how):
        found = draw(self, count, x, seed, **how)
        shift = 0.5 * found.std(0) if fault == "shifted" else 0.0
        return found.mean(0) + change * (found - found.mean(0)) + shift

    monkeypatch.setattr(type(direct), "draw", wrong)
    found = inference.check(simulations=200)
    assert not found.passed and found.verdict.startswith("Do not trust it: The truth does not rank evenly")


def test_independent_observations_are_for_the_likelihood(inference):
    """Nine of them: N(Σx/(9 + 0.09), 0.09/9.09)."""
    x = np.concatenate([np.random.default_rng(5).normal([0.4, -0.3], NOISE, (9, 2)), np.ones((9, 1))], 1)
    drawn = inference.build_posterior().sample((1000,), x=x).double()
    want, width = x[:, :2].sum(0) / (9 + NOISE**2), NOISE / (9 + NOISE**2) ** 0.5
    assert np.abs(drawn.mean(0).numpy() - want).max() < 0.04
    assert float((drawn.std(0) / width - 1).abs().max()) < 0.2
    with pytest.raises(ValueError, match=r"^NPE knows one observation, got 9: use NLE for several"):
        inference.npe.build_posterior().sample((3,), x=x)


@pytest.mark.slow
def test_whole_numbers_are_probabilities_of_their_cells():
    """Counts of a binomial distribution, of which most are 0 for small p: against the exact posterior on a grid."""
    prior = Independent(LogNormal(torch.tensor([-3.0]), torch.tensor([1.0])), 1)
    theta = prior.sample((3000,)).double().numpy()
    x = np.random.default_rng(0).binomial(20, 1 - np.exp(-theta), size=(3000, 1)).astype(float)
    inference = NLE(prior).append_simulations(theta, x)
    inference.train(max_num_epochs=50)
    at = np.array([[0.01], [0.1], [0.4]])
    for seen in (0.0, 3.0):
        p = 1 - np.exp(-at[:, 0])
        truth = (
            math.lgamma(21)
            - math.lgamma(seen + 1)
            - math.lgamma(21 - seen)
            + seen * np.log(p)
            + (20 - seen) * np.log1p(-p)
        )
        close = truth > -6  # elsewhere there are no simulations
        assert np.abs(inference.likelihood.log_prob(at, [seen]).numpy() - truth)[close].max() < 0.35
    drawn = inference.likelihood.sample(np.full((500, 1), 0.1))
    assert bool((drawn == drawn.round()).all()) and float(drawn.min()) == 0


@pytest.mark.slow
def test_bounds_hold_and_sets_are_refused_by_npe():
    rng = np.random.default_rng(0)
    theta = rng.uniform(0, 1, size=(600, 1))
    inference = NPE((0.0, 1.0)).append_simulations(theta, theta + 0.5 * rng.normal(size=theta.shape))
    inference.train(max_num_epochs=60)
    drawn = inference.build_posterior().sample((500,), x=[1.3])
    assert float(drawn.min()) > 0 and float(drawn.max()) < 1
    grid = torch.linspace(0, 1, 2001).double()[1:-1, None]
    density = inference.build_posterior().log_prob(grid, x=[1.3]).exp()
    assert abs(float(torch.trapezoid(density, grid[:, 0])) - 1) < 0.02
    assert inference.build_posterior().log_prob([[1.5]], x=[1.3]).item() == -math.inf
    with pytest.raises(ValueError, match=r"^NPE takes observations \(N, Q\): of sets of exchangeable ones"):
        NPE().append_simulations(np.zeros((3, 1)), np.zeros((3, 2, 1)))
    with pytest.raises(ValueError, match=r"^there is no posterior before training: train\(\) first$"):
        SBI((0.0, 1.0)).build_posterior()


def test_wide_observations_are_not_for_the_likelihood():
    rng = np.random.default_rng(0)
    theta = rng.uniform(0, 1, size=(300, 1))
    inference = SBI(Independent(Uniform(torch.zeros(1), torch.ones(1)), 1))
    inference.append_simulations(theta, theta + 0.5 * rng.normal(size=(300, 201))).train(max_num_epochs=20)
    assert inference.why.startswith("the posterior itself was learned") and inference.nle.likelihood is None
    assert inference.build_posterior().sample((5,), x=np.full(201, 0.5)).shape == (5, 1)


@pytest.mark.slow
def test_simulations_of_a_second_round_make_it_sharper():
    """A curve that 300 simulations of the prior describe badly near the observation, and 300 more of the posterior well."""
    rng = np.random.default_rng(0)

    def simulate(theta: np.ndarray) -> np.ndarray:
        return np.sin(6 * theta) + theta + 0.02 * rng.normal(size=theta.shape)

    theta, x = rng.uniform(-2, 2, size=(300, 1)), np.array([0.9])
    inference = NLE((-2.0, 2.0)).append_simulations(theta, simulate(theta))
    inference.train(max_num_epochs=200)
    grid = np.linspace(-2, 2, 4001)
    truth = np.exp(-(((x - np.sin(6 * grid) - grid) / 0.02) ** 2) / 2)
    cumulative = np.cumsum(truth) / truth.sum()

    def distance() -> float:
        drawn = np.sort(inference.build_posterior().sample((2000,), x=x)[:, 0].double().numpy())
        return float(np.abs(np.searchsorted(drawn, grid) / len(drawn) - cumulative).max())

    first, near = distance(), inference.build_posterior().sample((300,), x=x).double().numpy()
    inference.append_simulations(near, simulate(near)).train(max_num_epochs=200)
    assert distance() < max(0.12, 0.8 * first)


@pytest.mark.slow
@pytest.mark.parametrize("gaps", [False, True], ids=["complete simulations", "with gaps"])
def test_a_joint_model_with_missing_numbers(gaps):
    """θ ~ U(-1, 1), x = θ + N(0, 0.3²) twice, of which any may be missing where it is observed: exact by quadrature."""
    rng = np.random.default_rng(0)
    theta = rng.uniform(-1, 1, size=(1500, 1))
    x = theta + NOISE * rng.normal(size=(1500, 2))
    x[::5, 1] = np.nan if gaps else x[::5, 1]
    inference = JointInference((-1.0, 1.0)).append_simulations(theta, x)
    inference.train(training=Training(steps=5000))
    posterior, grid = inference.build_posterior(), np.linspace(-1, 1, 401)
    for seen in ([0.3, 0.1], [0.3, np.nan], [np.nan, -0.4], [np.nan, np.nan]):
        weight = np.exp(-sum(((grid - v) ** 2 for v in seen if not math.isnan(v)), 0 * grid) / (2 * NOISE**2))
        mean = weight @ grid / weight.sum()
        std = (weight @ (grid - mean) ** 2 / weight.sum()) ** 0.5
        drawn = posterior.sample((1000,), x=seen).double()
        assert float(drawn.abs().max()) < 1 and abs(float(drawn.mean()) - mean) < 0.08
        assert abs(float(drawn.std()) / std - 1) < 0.25  # what 5,000 steps leave
    inside = posterior.log_prob([[0.2], [1.2]], x=[0.3, 0.1])
    assert math.isfinite(inside[0]) and inside[1] == -math.inf
    other = inference.model.condition(theta_0=0.5).sample(300)
    assert abs(float(other["x_0"].mean()) - 0.5) < 0.15
    with pytest.raises(ValueError, match=r"^an observation has 2 numbers, got shape \(1,\)"):
        posterior.sample((1,), x=[0.3])


def test_what_a_joint_model_is_asked_of():
    """Draws and densities take the same observations: what follows from others is filled, what cannot be is refused."""
    rng = torch.Generator().manual_seed(0)
    theta = torch.rand(300, 2, generator=rng) * 2 - 1
    noisy = theta + 0.3 * torch.randn(300, 2, generator=rng)
    counts = torch.poisson(theta.exp(), generator=rng)[:, :1]
    with pytest.raises(ValueError, match=r"^x_0 = theta_0 \+ theta_1 in every simulation, without noise"):
        JointInference((-1.0, 1.0)).append_simulations(theta, torch.cat([theta.sum(1, True), noisy], 1)).train()
    x = torch.cat([noisy, noisy.sum(1, True), counts], 1)
    inference = JointInference((-1.0, 1.0)).append_simulations(theta, x)
    inference.train(training=Training(steps=5))
    posterior, some = inference.build_posterior(), torch.zeros(1, 2)
    whole, part = [0.1, 0.2, 0.1 + 0.2, 1.0], [math.nan, 0.2, 0.1 + 0.2, 1.0]
    assert torch.equal(posterior.sample(5, x=whole), posterior.sample(5, x=part))
    assert float(posterior.log_prob(some, x=whole)) == pytest.approx(float(posterior.log_prob(some, x=part)), abs=1e-6)
    for strange, said in (
        ([0.1, 0.2, 0.9, 1.0], r"^the values that are given contradict x_2 = x_0 \+ x_1"),
        ([0.1, 0.2, 0.1 + 0.2, 0.5], "^column 'x_3' takes whole numbers"),
        ([0.1, 0.2], r"^an observation has 4 numbers, got"),
    ):
        for ask in (posterior.sample, lambda _, x: posterior.log_prob(some, x=x)):
            with pytest.raises(ValueError, match=said):
                ask(2, x=strange)
    with pytest.warns(UserWarning, match=r"^x_3=200 lies outside of the data"):
        posterior.log_prob(some, x=[0.1, 0.2, 0.1 + 0.2, 200.0])


@pytest.mark.slow
def test_the_posterior_of_a_table_that_learned_no_conditionals():
    """Particles draw it: θ ~ N(0, 1), x = θ + N(0, 0.3²) twice, of which one is missing."""
    rng = np.random.default_rng(0)
    theta = rng.normal(size=(1000, 1))
    table = pd.DataFrame(
        np.hstack([theta, theta + 0.3 * rng.normal(size=(1000, 2))]), columns=["theta_0", "x_0", "x_1"]
    )
    drawn = JointPosterior(fit(table, training=Training(steps=400))).sample((400,), x=[1.0, math.nan]).double()
    assert abs(float(drawn.mean()) - 1 / 1.09) < 0.15 and abs(float(drawn.std()) / (0.09 / 1.09) ** 0.5 - 1) < 0.3


def test_observations_that_no_simulation_is_like_are_refused(inference):
    """The last number is 1 in every simulation; and what is no observation at all."""
    posterior = inference.build_posterior()
    assert posterior.sample(3, x=[0.5, -1.0, 1.0]).shape == (3, 2)
    for x, said in (
        ([0.5, -1.0, 2.0], "number 2 of an observation is 1 in every simulation, and not in this one: "),
        ([0.5, np.inf, 1.0], "a number of the observation is infinite"),
        ("abc", "observations must be numbers, got .abc.: pass an array of numbers"),
    ):
        with pytest.raises(ValueError, match=f"^{said}"):
            posterior.sample((3,), x=x)
    with pytest.raises(ValueError, match=r"^ask for one draw or more, got sample_shape=\(0,\)"):
        posterior.sample((0,), x=[0.5, -1.0, 1.0])
    with pytest.raises(ValueError, match=r"^a check needs 8 simulations and draws or more, got 0 and 100"):
        inference.check(simulations=0)


def test_what_does_not_belong_together_is_refused():
    two = torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))
    with pytest.raises(ValueError, match=r"^the prior has 2 parameters, and the simulations 1: pass their prior"):
        SBI(two).append_simulations(np.zeros((20, 1)), np.zeros((20, 1)))
    with pytest.raises(
        ValueError, match=r"^every simulation needs its parameters, got 20 parameters and 10 simulations"
    ):
        SBI(WIDE).append_simulations(np.zeros((20, 2)), np.zeros((10, 1)))
    with pytest.raises(ValueError, match=r"^4 simulations are too few to learn from: append 10 or more"):
        SBI(WIDE).append_simulations(*pairs(4)).train()
