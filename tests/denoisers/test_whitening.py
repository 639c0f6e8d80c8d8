"""Networks whose coefficients follow the principal directions of the data."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import scorefield
from component_properties import trainable
from scorefield.data.variables import ABSENT, FREE, GIVEN, Variables
from scorefield.denoisers import (
    ConditionalMixed,
    ConditionalPreconditioned,
    EDMPrediction,
    EnergyDenoiser,
    FlowPrediction,
    Gaussian,
    MixedDenoiser,
    Preconditioned,
    Whitening,
)
from scorefield.fitting import Options, plan, prepare
from scorefield.fitting.directions import find_whitening
from scorefield.fitting.learning import trainer_of
from scorefield.nn import MLP, Potential
from scorefield.noise_levels import choose_noise_levels
from scorefield.objectives import DenoisingScoreMatching, LogNormal
from scorefield.rng import Samples, Steps
from scorefield.runs import fit
from scorefield.settings import Training
from scorefield.training.prepared import prepared_losses

pandas = pytest.importorskip("pandas")

LEVELS = torch.logspace(-3, 2, 11, dtype=torch.float64)[:, None]


class Zero(nn.Module):
    """A network that answers 0."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor, c: Tensor, context: Tensor | None = None) -> Tensor:
        return x.new_zeros(len(x), self.size)


def thin(deviations: tuple[float, ...], seed: int = 0) -> tuple[Tensor, Tensor]:
    """A mean, and a covariance with these standard deviations along random directions."""
    rng = torch.Generator().manual_seed(seed)
    n = len(deviations)
    vectors = torch.linalg.qr(torch.randn(n, n, generator=rng, dtype=torch.float64)).Q
    covariance = vectors @ torch.diag(torch.tensor(deviations, dtype=torch.float64) ** 2) @ vectors.T
    return torch.randn(n, generator=rng, dtype=torch.float64), (covariance + covariance.T) / 2


def test_where_the_network_answers_zero_data_are_gaussian():
    mean, covariance = thin((0.01, 0.05, 1.0))
    denoiser = Preconditioned(Zero(3), EDMPrediction(), whitening=Whitening(mean, covariance))
    x = mean + Samples(0, count=11).normal((11, 3), torch.float64) * (1 + LEVELS)
    torch.testing.assert_close(denoiser(x, LEVELS), Gaussian(mean, covariance)(x, LEVELS), rtol=1e-9, atol=1e-9)
    trend = torch.randn(2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    given = ConditionalPreconditioned(Zero(3), (2,), trend=trend, whitening=Whitening(mean, covariance)).given(
        torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    )
    moved = Gaussian(mean + 2 * trend[0], covariance)(x, LEVELS)
    torch.testing.assert_close(given(x, LEVELS), moved, rtol=1e-9, atol=1e-9)


def conditional(mean: Tensor, covariance: Tensor, row: Tensor, status: Tensor) -> Gaussian:
    """The Gaussian distribution of what is free given what is given, by the textbook."""
    f, g = status == FREE, status == GIVEN
    if not bool(g.any()):
        return Gaussian(mean[f], covariance[f][:, f])
    gain = covariance[f][:, g] @ torch.linalg.inv(covariance[g][:, g])
    return Gaussian(mean[f] + gain @ (row[g] - mean[g]), covariance[f][:, f] - gain @ covariance[g][:, f])


@pytest.mark.parametrize("status", [*itertools.product((FREE, GIVEN, ABSENT), repeat=3)])
def test_given_some_values_the_others_have_their_gaussian_conditional_distribution(status):
    """All standard deviations are below a quarter, so that all directions have their own, whatever is given."""
    if FREE not in status:
        return
    mean, covariance = thin((0.01, 0.04, 0.2))
    mixed = MixedDenoiser(Zero(3), Variables(3), whitening=Whitening(mean, covariance))
    question, row = torch.tensor([status]), mean + torch.tensor([[0.02, -0.03, 0.05]], dtype=torch.float64)
    x = mean + Samples(0, count=11).normal((11, 3), torch.float64) * (0.1 + LEVELS)
    free = question[0] == FREE
    expected = conditional(mean, covariance, row[0], question[0])(x[:, free], LEVELS)
    found = mixed.given_variables(row, question)(x, LEVELS)[:, free]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=2e-4)  # given values have a ridge


def test_rows_with_different_questions_are_those_one_by_one():
    mean, covariance = thin((0.01, 0.3, 1.5))
    network = trainable(MLP(3, 8, 1, extra=6))
    mixed = MixedDenoiser(network, Variables(3), whitening=Whitening(mean, covariance))
    status = torch.tensor([[0, 0, 0], [1, 0, 0], [2, 0, 1], [0, 1, 2], [1, 0, 0]])
    x = mean + Samples(0, count=5).normal((5, 3), torch.float64)
    level = torch.full((5, 1), 0.2, dtype=torch.float64)
    whole = mixed.mean(x, level, status)
    alone = torch.cat([mixed.mean(x[i : i + 1], level[:1], status[i : i + 1]) for i in range(5)])
    free = status == FREE
    torch.testing.assert_close(whole[free], alone[free], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("context", [False, True])
def test_losses_and_gradients_of_batches_are_those_of_the_objective(context):
    mean, covariance = thin((0.01, 0.3, 1.5))
    whitening, objective = Whitening(mean, covariance), DenoisingScoreMatching(LogNormal(-0.5, 1.0))
    network = trainable(MLP(3, 8, 1, context=2 if context else 0)).requires_grad_(True)
    x0 = Samples(0, count=20).normal((20, 3), torch.float64)
    c = torch.ones(20, 2, dtype=torch.float64) if context else None
    if context:
        denoiser = ConditionalPreconditioned(network, (2,), trend=torch.ones(2, 3).double(), whitening=whitening)
    else:
        denoiser = Preconditioned(network, whitening=whitening)
    plain = objective(denoiser.conditioned_on(c), x0, Steps(3).at(5)).mean()
    expected = torch.autograd.grad(plain, [*network.parameters()])
    for own in (False, True):
        for p in network.parameters():
            p.grad = torch.zeros_like(p) if own else None
        (prepared,) = prepared_losses(objective, denoiser, x0, 1, Steps(3).at(5), context=c)
        torch.testing.assert_close(prepared(), plain.detach(), rtol=1e-9, atol=1e-12)
        for p, gradient in zip(network.parameters(), expected):
            torch.testing.assert_close(p.grad, gradient, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("scale", [0.1, 0.7, 1.0, 3.3])
def test_thin_directions_are_counted_in_any_precision(scale):
    for part, count in ((1.0, 0), (0.2499999, 1), (0.25000001, 0), (1e-5, 1)):
        covariance = scale**2 * torch.diag(torch.tensor([1.0, part**2], dtype=torch.float64))
        for kind in (torch.float32, torch.float64):
            whitening = Whitening(torch.zeros(2, dtype=kind), covariance, scale)
            assert whitening.count == whitening.double().count == whitening.float().count == count


def test_loaded_covariances_have_their_own_directions():
    (mean, first), (_, second) = thin((0.01, 0.3, 1.5)), thin((0.1, 0.02, 1.0), seed=1)
    whitening, status = Whitening(mean, first), torch.tensor([[GIVEN, FREE, FREE]])
    whitening.maps_given(mean[None], status)  # whose directions are kept
    whitening.load_state_dict(Whitening(mean, second).state_dict())
    expected = Whitening(mean, second)
    for found, same in (
        (whitening.maps(mean[None]), expected.maps(mean[None])),
        (whitening.maps_given(mean[None], status), expected.maps_given(mean[None], status)),
    ):
        assert all(torch.equal(getattr(found, name), getattr(same, name)) for name in ("vectors", "deviations"))


@pytest.mark.parametrize("status", [FREE, GIVEN])
def test_no_rows_have_maps(status):
    mean, covariance = thin((0.01, 0.3, 1.5))
    mixed = MixedDenoiser(Zero(3), Variables(3), whitening=Whitening(mean, covariance))
    x = torch.zeros(0, 3, dtype=torch.float64)
    assert mixed.mean(x, torch.zeros(0, 1, dtype=torch.float64), torch.full((0, 3), status)).shape == (0, 3)


def test_the_smallest_level_of_directions_that_were_widened_does_not_depend_on_rounding():
    """All directions thinner than 0.001 count as so wide, and single precision says 0.001 - 5e-11."""
    x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    levels = [choose_noise_levels(x, thin=1e-3 * (1 + part)) for part in (-1e-7, 0, 1e-7)]
    assert [(each.sigma_min, each.tail) for each in levels] == [(1e-3, levels[1].tail)] * 3 and levels[1].tail > 0
    assert choose_noise_levels(x, thin=0.9e-3).sigma_min > 2e-3  # as one that is not looked at


def nearly_equal(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """Independent normal columns, but for the second one, which is the first one with a noise of 0.01."""
    x = np.random.default_rng(seed).normal(size=(rows, columns))
    x[:, 1] = x[:, 0] + 0.01 * x[:, 1]
    return x


def test_nearly_equal_columns_of_wide_tables_are_nearly_equal_in_samples():
    """A hundred steps are enough; without coefficients of their own differences were six times too large."""
    x = nearly_equal(1000, 24)
    y = scorefield.fit(x, steps=100, seed=0).sample(2000, seed=1)
    ratio = float(np.std(y[:, 1] - y[:, 0]) / np.std(x[:, 1] - x[:, 0]))
    assert abs(ratio - 1) < 0.12  # its standard error is 1 / √2000 = .022, and the network's own is larger


def test_thin_directions_are_found_where_there_are_any():
    def found(x: np.ndarray, **options: object) -> int:
        prepared = prepare(torch.from_numpy(x), options := Options(**options))  # type: ignore[arg-type]
        whitening = find_whitening(prepared, options, EDMPrediction(prepared.scale))[0]
        return 0 if whitening is None else whitening.count

    assert found(nearly_equal(400, 4)) == 1
    assert found(nearly_equal(400, 4), whitening=False) == 0  # a run that began without
    assert found(np.random.default_rng(0).normal(size=(400, 4))) == 0
    assert found(nearly_equal(80, 24)) == 0  # too few rows to know


@pytest.mark.parametrize("context", [False, True])
def test_networks_of_mixed_states_see_thin_directions(context):
    frame = {f"x{i}": column for i, column in enumerate(nearly_equal(300, 3).T)}
    table = pandas.DataFrame({**frame, "kind": np.resize(["a", "b", "c"], 300)})
    options = Options()
    planned = plan(prepare(table, options, np.arange(300) % 2 if context else None), options)
    denoiser = trainer_of(planned).denoiser
    assert type(denoiser) is (ConditionalMixed if context else MixedDenoiser)
    assert planned.whitening is not None and planned.whitening.count == 1
    assert torch.equal(denoiser.whitening.covariance, planned.whitening.covariance)


def test_values_are_spread_over_their_cells_before_thin_directions_are_looked_for():
    """Of two columns of whole numbers that differ by 1 in some rows, each has a variance of 1/12 within its cells.

    Along their difference the variance is that of the numbers and 1/12, of which the 1/12 are three quarters here.
    """
    rng = np.random.default_rng(0)
    x = np.rint(rng.normal(0, 30, (1000, 3)))
    x[:, 1] = x[:, 0] + rng.choice([-1, 0, 1], 1000, p=[0.03, 0.94, 0.03])
    options = Options()
    found = plan(prepare(x.astype(int), options), options).whitening
    exact = torch.from_numpy(np.cov(x.T) + np.eye(3) / 12)
    ratios = [float(values[0] / values[2]) for values in map(torch.linalg.eigvalsh, (found.covariance, exact))]
    assert ratios[0] == pytest.approx(ratios[1], rel=0.1)  # columns are divided by deviations that are not quite equal


@pytest.mark.parametrize("looked", [False, True])
def test_a_run_that_began_without_looking_for_thin_directions_goes_on_so(tmp_path, looked):
    x, how, found = nearly_equal(200, 3), {"training": Training(steps=2, evaluations=1), "device": "cpu"}, []

    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(x, tmp_path / "run", **how, watch=stop)
    file = tmp_path / "run" / "run.json"
    record = json.loads(file.read_text())
    assert record["whitening"] is True
    if not looked:
        del record["whitening"]  # as versions wrote that did not
        file.write_text(json.dumps(record))
        (tmp_path / "run" / "training.safetensors").unlink(missing_ok=True)
    fit(x, tmp_path / "run", **how, begin=lambda planned: found.append(planned.whitening))
    assert (found[0] is not None) is looked


def test_the_smallest_level_resolves_the_thinnest_direction():
    options = Options()
    planned = plan(prepare(torch.from_numpy(nearly_equal(1000, 24)), options), options)
    assert planned.noise_levels.sigma_min == pytest.approx(0.25 * 0.01 / 2**0.5, rel=0.1)
    assert "thinnest direction" in planned.noise_levels.reasons[0]
    assert planned.choice("thin directions").value == "1 of 24"


def test_a_model_with_thin_directions_can_be_saved(tmp_path):
    model = scorefield.fit(nearly_equal(200, 3), steps=20, seed=0)
    model.save(tmp_path / "model.safetensors")
    again = scorefield.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(model.sample(10, seed=0), again.sample(10, seed=0))


def test_what_does_not_fit_is_refused():
    mean, covariance = thin((0.1, 1.0))
    whitening = Whitening(mean, covariance)
    with pytest.raises(ValueError, match="EDMPrediction"):
        Preconditioned(MLP(2, 8, 1), FlowPrediction(), whitening=whitening)
    with pytest.raises(ValueError, match="baseline"):
        Preconditioned(MLP(2, 8, 1, extra=2), baseline=Gaussian(mean, covariance), whitening=whitening)
    with pytest.raises(TypeError, match="leave whitening out"):
        EnergyDenoiser(Preconditioned(Potential(MLP(2, 8, 1)), whitening=whitening))
    with pytest.raises(ValueError, match=r"covariance \(n, n\)"):
        Whitening(mean, covariance[:1])
