"""Planted defects are found, and the exact score passes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scorefield.denoisers import Denoiser, Empirical, Gaussian, Mixture
from scorefield.diagnostics import Diagnosis, diagnose
from scorefield.diagnostics.states import noisy_states
from scorefield.diagnostics.stein import p_values, statistics
from scorefield.rng import Samples

D = torch.float64
LEVELS = torch.logspace(-1.5, 1.5, 10).tolist()


def two_modes() -> Mixture:
    """The mixture of two unequal modes, in standard units."""
    means = torch.tensor([[-1.1, -1.1], [0.55, 0.55]], dtype=D)
    return Mixture(means, torch.tensor([0.3, 0.3], dtype=D), torch.tensor([1 / 3, 2 / 3], dtype=D))


class Rotated(Denoiser):
    """The exact score, rotated by an angle."""

    def __init__(self, angle: float) -> None:
        super().__init__()
        self.exact = two_modes()
        c, s = math.cos(angle), math.sin(angle)
        self.register_buffer("matrix", torch.tensor([[c, s], [-s, c]], dtype=D))

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return x + (self.exact(x, level) - x) @ self.matrix


class DataDensity(Denoiser):
    """The exact score times a factor, at every level or around one."""

    def __init__(self, factor: float, around: float | None = None) -> None:
        super().__init__()
        self.exact = two_modes()
        self.factor = factor
        self.around = around

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        near = 1.0 if self.around is None else torch.exp(-((torch.log(level / self.around) / 0.3) ** 2) / 2)
        return x + (self.exact(x, level) - x) * (1 + (self.factor - 1) * near)


def data(seed: int, count: int) -> Tensor:
    return two_modes().sample(count, Samples(seed, count=count))


def found(denoiser: Denoiser, seed: int, steps: int = 20, **more) -> Diagnosis:
    return diagnose(
        denoiser, data(seed, 1000), LEVELS, two_modes().moments(), seed=seed, chains=100, steps=steps, **more
    )


def names(diagnosis: Diagnosis) -> set[str]:
    return {check.name for check in diagnosis.flagged}


SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 20))]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_exact_score_passes(seed):
    passed = found(two_modes(), seed, 200, train=data(1000 + seed, 1000), truth=two_modes())
    assert names(passed) == set()
    assert {check.name for check in passed.checks} == {
        *("error", "Stein tests", "excess loss", "memory", "curl", "heat equation", "mean weight")
    }
    assert passed["curl"].value < 1e-20 and passed["heat equation"].value < 1e-9 and passed["error"].value == 0
    assert passed.verdict.startswith("None of 7 checks distinguishes this score from an exact one, 1,000 rows.")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("defect", "flags"),
    [
        (lambda train: Rotated(0.15), {"curl", "Stein tests", "excess loss"}),
        (lambda train: DataDensity(1.15), {"Stein tests", "excess loss"}),
        (lambda train: DataDensity(0.85), {"Stein tests", "excess loss"}),
        (lambda train: DataDensity(1.5, around=0.3), {"Stein tests", "heat equation"}),
        (lambda train: Empirical(train), {"Stein tests", "memory"}),
    ],
    ids=["rotated", "too large", "too small", "one level", "overfitted"],
)
def test_planted_defects_are_flagged(defect, flags, seed):
    """Each by the checks that are meant for it; the exact score is not given."""
    train = data(1000 + seed, 1000)
    assert names(found(defect(train), seed, train=train)) >= flags


def test_what_a_defect_is_called():
    """The checks say where: at which level, and which identity."""
    diagnosis = found(DataDensity(1.5, around=0.3), 0, truth=two_modes())
    assert 0.2 < (diagnosis["heat equation"].level or 0) < 0.5
    assert diagnosis["error"].flagged and 0.2 < (diagnosis["error"].level or 0) < 0.5
    assert "scale" in diagnosis["Stein tests"].said or "sharpness" in diagnosis["Stein tests"].said
    assert "Stein tests" in diagnosis.verdict and "This score is not exact" in diagnosis.verdict
    with pytest.raises(KeyError, match="unknown check 'nothing': there are error, Stein tests"):
        diagnosis["nothing"]
    plain = diagnosis.plain()
    assert plain["levels"] == LEVELS and plain["checks"][0]["name"] == "error"


def test_p_values_of_stein_are_right_under_the_null():
    """Over 150 sets of 300 data, each test's p-value is below 5 % and 1 % about so often; all together no more often."""
    exact, count = two_modes(), 300
    each, together = [], []
    for seed in range(150):
        states = noisy_states(exact, data(seed, count), [0.1, 1.0, 10.0], seed)
        tables = [p_values(statistics(state, exact.moments().mean).values) for state in states]
        each.append(torch.tensor([p for table in tables for p in table]))
        together.append(float(each[-1].min()) * len(each[-1]))
    p = torch.stack(each)
    for bound in (0.05, 0.01):
        share = (p < bound).double().mean(0)
        error = math.sqrt(bound * (1 - bound) / 150)
        assert abs(float(share.mean()) - bound) < 0.015 * bound / 0.05 + 0.004
        assert float(share.max()) < bound + 5 * error
    assert sum(t < 0.05 for t in together) / 150 < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 150)
    assert abs(float(p.mean()) - 0.5) < 0.05


def test_a_skewed_mean_needs_its_correction():
    """Means of ten exponentials: p-values below 1 % come in 1 % of cases, where a plain t-test has three times as many."""
    from scipy.stats import t as student

    x = -torch.log(Samples(0, count=40).uniform((40, 20_000), D)) - 1
    plain = 2 * student.sf((x.mean(0) / x.std(0) * math.sqrt(40)).abs().numpy(), 39)
    found = p_values(x)
    assert (plain < 0.01).mean() > 0.02
    assert 0.006 < (found < 0.01).mean() < 0.02


def test_many_coordinates_and_grids():
    """Random directions and probes in the place of all pairs; no third derivatives, and the exact score passes still."""
    shape = (1, 10, 10)
    exact = Gaussian(torch.zeros(shape), torch.linspace(0.5, 1.5, 100).reshape(shape))
    x = exact.sample(400, Samples(0, count=400))
    passed = diagnose(exact, x, LEVELS, exact, exact.sample(400, Samples(1, count=400)))
    assert passed.flagged == ()
    assert "mean weight" not in {check.name for check in passed.checks}
    wrong = Gaussian(exact.mean, 1.2 * exact.covariance)
    assert "Stein tests" in names(diagnose(wrong, x, LEVELS, exact))


@pytest.mark.parametrize(
    ("count", "levels", "message"),
    [
        (10, LEVELS, "a diagnosis needs at least 30 held-out data, got 10: fit again with more held out"),
        (50, [1.0], r"levels must be positive and rise, two of them or more; got \[1.0\]"),
        (50, [1.0, 0.5], "levels must be positive and rise"),
    ],
)
def test_what_cannot_be_diagnosed(count, levels, message):
    with pytest.raises(ValueError, match=message):
        diagnose(two_modes(), data(0, count), levels, two_modes().moments())
