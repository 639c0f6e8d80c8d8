"""Networks that know the noise by other names, made exact: each must become the exact denoiser."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scorefield import processes, spec
from scorefield.denoisers import FlowPrediction, Gaussian, NoisePrediction, ScorePrediction, VPrediction
from scorefield.denoisers.pretrained import (
    FlowConditioning,
    IndexConditioning,
    LevelConditioning,
    PretrainedConditional,
    PretrainedDenoiser,
    TimeConditioning,
    TutorialConditioning,
)
from scorefield.nn import MLP

MEAN, VARIANCE = torch.tensor([0.3, -0.2, 0.5]).double(), torch.tensor([0.1, 0.5, 2.0]).double()
EXACT = Gaussian(MEAN, VARIANCE)
LADDER = np.geomspace(20.0, 0.02, 60).tolist()
DDPM = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)


class Known(nn.Module):
    """What a network would predict that had learned Gaussian data, in the words of whoever trained it."""

    def __init__(self, kernel, predicts: str) -> None:
        super().__init__()
        self.kernel = kernel
        self.predicts = predicts

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        alpha, sigma = (part[:, None] for part in self.kernel(c))
        mean = EXACT(x / alpha, sigma / alpha)
        noise = (x - alpha * mean) / sigma
        made = {"noise": noise, "score": -noise, "velocity": alpha * noise - sigma * mean, "flow": noise - mean}
        return made[self.predicts]


def on_clock(kind: type):
    """Labels are the time in 999ths."""

    def kernel(c: Tensor) -> tuple[Tensor, Tensor]:
        b = 0.1 * (c / 999) + 19.9 * (c / 999) ** 2 / 2
        sigma = -torch.expm1(-b) if kind is processes.SubVP else torch.sqrt(-torch.expm1(-b))
        return torch.exp(-b / 2), sigma

    return kernel


def on_ladder(c: Tensor) -> tuple[Tensor, Tensor]:
    at = torch.tensor(LADDER[0]).double() * (LADDER[1] / LADDER[0]) ** c
    return torch.ones_like(c), at


def on_table(c: Tensor) -> tuple[Tensor, Tensor]:
    alpha = DDPM[c.round().long()].sqrt()
    return alpha, torch.sqrt(1 - alpha**2)


def on_line(c: Tensor) -> tuple[Tensor, Tensor]:
    """Labels are the time of flow matching in 1000ths."""
    return 1 - c / 1000, c / 1000


def of_tutorial(c: Tensor) -> tuple[Tensor, Tensor]:
    """Labels are the time of the process with g(t) = 60^t: σ² = ∫ g²."""
    return torch.ones_like(c), torch.sqrt((60 ** (2 * c) - 1) / (2 * math.log(60)))


def levels_of_ddpm() -> Tensor:
    return torch.sqrt((1 - DDPM) / DDPM)


CASES = {
    "level": (LevelConditioning(0.01, 50.0), Known(lambda c: (torch.ones_like(c), c), "score"), ScorePrediction()),
    "time of VP": (TimeConditioning(), Known(on_clock(processes.VP), "noise"), NoisePrediction()),
    "velocity on VP": (TimeConditioning(), Known(on_clock(processes.VP), "velocity"), VPrediction()),
    "time of sub-VP": (TimeConditioning(sub=True), Known(on_clock(processes.SubVP), "noise"), NoisePrediction()),
    "time of a flow": (FlowConditioning(), Known(on_line, "flow"), FlowPrediction()),
    "time of the tutorial": (TutorialConditioning(60.0), Known(of_tutorial, "score"), ScorePrediction()),
    "index": (IndexConditioning(LADDER), Known(on_ladder, "score"), ScorePrediction()),
    "rising index": (IndexConditioning(LADDER[::-1]), Known(lambda c: on_ladder(59 - c), "score"), ScorePrediction()),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_exact_denoiser(name):
    labels, network, parametrization = CASES[name]
    denoiser = PretrainedDenoiser(network, labels, parametrization)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).double()
    for level in (torch.tensor(0.7).double(), torch.tensor([0.03, 0.1, 1.0, 5.0, 19.0])[:, None].double()):
        torch.testing.assert_close(denoiser(x * level, level), EXACT(x * level, level), rtol=1e-9, atol=1e-9)


def test_the_table_of_ddpm():
    """At the levels of its training, and in between close to them."""
    levels = levels_of_ddpm()
    labels = IndexConditioning(levels.tolist(), preserving=True)
    torch.testing.assert_close(labels.label(levels), torch.arange(1000).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(labels.alpha(levels), DDPM.sqrt())
    assert 10 < float(labels.label((levels[10] * levels[11]).sqrt())) < 11
    denoiser = PretrainedDenoiser(Known(on_table, "noise"), labels, NoisePrediction())
    x, level = torch.ones(1, 3).double(), levels[300]
    torch.testing.assert_close(denoiser(x, level), EXACT(x, level))


@pytest.mark.parametrize("kind", [processes.VP, processes.SubVP])
def test_times_are_those_of_the_process(kind):
    own, labels = kind(), TimeConditioning(sub=kind is processes.SubVP)
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    level = own.level(t)
    torch.testing.assert_close(labels.label(level), 999 * (own.start + (1 - own.start) * t))
    torch.testing.assert_close(labels.alpha(level), own.alpha(t))
    low, high = labels.range()
    assert low <= float(level[0])
    assert high == pytest.approx(float(level[-1]))


@pytest.mark.parametrize("name", CASES)
def test_beyond_the_levels_of_training(name):
    """Below, a denoiser hardly moves the state, and rightly so; above, it goes on to the mean of the data."""
    labels, network, parametrization = CASES[name]
    denoiser, (low, high) = PretrainedDenoiser(network, labels, parametrization), labels.range()
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).double()
    below = torch.tensor(low / 10).double()
    error = (denoiser(x, below) - EXACT(x, below)).abs().max()
    assert float(error) <= 0.01 * float((EXACT(x, below) - x).abs().max()) + 1e-12
    above = torch.tensor(4 * high).double()
    torch.testing.assert_close(denoiser(x * above, above), EXACT(x * above, above), rtol=0, atol=20 / high)


def test_types_and_companions():
    """The network computes in its own type, the state keeps its own; a sample ignores its companions."""
    denoiser = PretrainedDenoiser(MLP(3, 16, 1), TimeConditioning(), NoisePrediction())
    x, level = torch.ones(4, 3).double(), torch.tensor([[0.1], [1.0], [3.0], [200.0]]).double()
    nn.init.normal_(denoiser.network.output.weight)
    out = denoiser(x, level)
    assert out.dtype == torch.float64
    torch.testing.assert_close(denoiser(x[1:2], level[1:2]), out[1:2], rtol=1e-6, atol=1e-6)
    assert denoiser(x.float(), level.float()).dtype == torch.float32


@pytest.mark.parametrize(
    "labels",
    [
        LevelConditioning(0.1, 3.0),
        TimeConditioning(0.2, 10.0, True, 500.0, 1e-4),
        IndexConditioning([1.0, 0.5], True),
        FlowConditioning(100.0, 0.01, 50.0),
        TutorialConditioning(10.0, 1e-3),
    ],
)
def test_the_constructor_is_the_configuration(labels):
    denoiser = PretrainedDenoiser(MLP(3, 4, 1), labels, ScorePrediction(0.5))
    again = spec.build(json.loads(json.dumps(spec.describe(denoiser))))
    assert (again.labels, again.parametrization) == (labels, ScorePrediction(0.5))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LevelConditioning(1.0, 0.5), "LevelConditioning needs levels 0 < low < high, got low=1, high=0.5"),
        (
            lambda: LevelConditioning(0.5, math.inf),
            "LevelConditioning needs levels 0 < low < high, got low=0.5, high=inf",
        ),
        (lambda: FlowConditioning(0), "FlowConditioning needs last > 0, the label of the time 1, got last=0"),
        (lambda: FlowConditioning(low=2, high=1), "FlowConditioning needs levels 0 < low < high, got low=2, high=1"),
        (lambda: TutorialConditioning(1.0), "TutorialConditioning needs base > 1 and 0 < start < 1, got base=1"),
        (lambda: IndexConditioning([1.0]), "IndexConditioning needs two levels at least, got 1"),
        (lambda: IndexConditioning([1.0, 0.0]), "IndexConditioning needs levels 0 < low < high, got low=0, high=1"),
        (
            lambda: IndexConditioning([1.0, 3.0, 2.0]),
            "IndexConditioning needs levels that rise throughout or fall throughout: sort them",
        ),
        (
            lambda: IndexConditioning([1.0, 1.0, 2.0]),
            "IndexConditioning needs levels that rise throughout or fall throughout: sort them",
        ),
        (
            lambda: TimeConditioning(beta_min=30.0),
            "TimeConditioning needs 0 < beta_min < beta_max, last > 0 and 0 < start < 1, got beta_min=30, beta_max=20",
        ),
    ],
)
def test_labels_that_are_none(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value).startswith(message)


class Shifted(nn.Module):
    """What a network would predict that had learned Gaussian data with the mean moved by the first number of a context."""

    def forward(self, x: Tensor, c: Tensor, context: Tensor) -> Tensor:
        alpha, sigma = (part[:, None] for part in on_line(c))
        move = context[:, :1]
        mean = EXACT(x / alpha - move, sigma / alpha) + move
        return (x - alpha * mean) / sigma - mean


def test_a_conditional_one_is_the_exact_denoiser_of_each_context():
    conditional = PretrainedConditional(Shifted().double(), (2,), FlowConditioning(), FlowPrediction())
    contexts = torch.tensor([[0.0, 0.0], [1.5, 0.0], [-2.0, 0.0]]).double()
    x, level = torch.randn(3, 3, generator=torch.Generator().manual_seed(0)).double(), torch.tensor(0.7).double()
    expected = torch.cat([EXACT(x[i : i + 1] - m, level) + m for i, m in enumerate(contexts[:, 0])])
    denoiser = conditional.given(contexts)
    torch.testing.assert_close(denoiser(x, level), expected, rtol=1e-6, atol=1e-6)
    one = denoiser.samples(torch.tensor([1]))
    torch.testing.assert_close(one(x[1:2], level), expected[1:2], rtol=1e-6, atol=1e-6)
    with pytest.raises(ValueError):
        conditional.free()
