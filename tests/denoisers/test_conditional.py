"""Conditional denoisers, guidance, and what every wrapper inherits: parts of a batch, full precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from scorefield.denoisers import (
    AnalyticDensity,
    ClassifierGuided,
    ComposedDenoiser,
    ConditionalPreconditioned,
    Conditioned,
    Denoiser,
    EDMPrediction,
    Empirical,
    EnergyDenoiser,
    Gaussian,
    Guided,
    Mixture,
    NoisyClassifier,
    Preconditioned,
    WithUncertainty,
)
from scorefield.measurement import Mask, Measurement
from scorefield.nn import MLP, ClassifierNetwork, UNet
from scorefield.nn.potential import Potential
from scorefield.posterior import Posterior

X, LEVEL = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor(0.7)
ROWS = torch.arange(6.0).reshape(3, 2)


def perturbed(network: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=generator))
    return network


def conditional(precision: str = "float32", unconditional: bool = True) -> ConditionalPreconditioned:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = perturbed(MLP(3, 16, 2, context=2))
        return ConditionalPreconditioned(network, (2,), unconditional, EDMPrediction(), precision)


class Scaled(Denoiser):
    """A wrapper of a user, who knows nothing of contexts or precision."""

    def __init__(self, parts: list[Denoiser], factor: float = 0.5) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.factor = factor

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return self.factor * sum(part(x, level) for part in self.parts)


def test_each_state_has_its_own_context():
    rows = torch.tensor([[0.0, 1.0], [2.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    given = conditional().given
    whole = given(rows)(X, LEVEL)
    single = [given(rows[i : i + 1])(X[i : i + 1], LEVEL) for i in range(4)]
    torch.testing.assert_close(whole, torch.cat(single))
    assert float((whole - given(rows[:1])(X, LEVEL)).detach().abs().max()) > 0.01
    assert torch.equal(given(rows[:1])(X, LEVEL), given(rows[:1].expand(4, 2))(X, LEVEL))
    with pytest.raises(ValueError, match=r"^4 states take one context, or one for each, got 2: use samples\(index\)"):
        given(rows[:2])(X, LEVEL)
    with pytest.raises(ValueError, match=r"^the network takes contexts of shape \(M, 2\), got \(1, 3\)$"):
        given(torch.zeros(1, 3))


@pytest.mark.parametrize(("network", "given"), [
    (UNet(2, 1, (8, 16), context=3).requires_grad_(False), torch.randn(2, 3)),
    (UNet(2, 1, (8, 16), patch=2, context_channels=3).requires_grad_(False), torch.randn(2, 3, 6, 6)),
])  # fmt: skip
def test_grids_take_numbers_or_channels(network, given):
    x, c = torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(0)), torch.zeros(2)
    assert float(network(x, c, given).abs().max()) == 0  # as without a context: it begins as the zero function
    perturbed(network)
    found = network(x, c, given)
    assert found.shape == x.shape and float((found - network(x, c, given + 1)).abs().max()) > 1e-3
    with pytest.raises(ValueError, match=r"^this network needs a context and got none: pass context$"):
        network(x, c)


def test_networks_that_take_too_little_or_too_much():
    with pytest.raises(ValueError, match=r"^this network needs a context of 2 values and got none: pass context$"):
        Preconditioned(MLP(3, 16, 2, context=2))(X, LEVEL)
    with pytest.raises(
        ValueError, match=r"^UNet takes values or channels as context, not both: got context=1 and context_"
    ):
        UNet(2, 1, context=1, context_channels=2)


def test_a_conditional_denoiser_is_not_a_denoiser():
    """It cannot be asked before it has a context; without one it answers only if it has learned to."""
    learned, always = conditional(), conditional(unconditional=False)
    assert not isinstance(learned, Denoiser) and learned.takes_context and not always.unconditional
    with pytest.raises(NotImplementedError):  # of nn.Module: there is no forward
        learned(X, LEVEL)
    row = torch.tensor([[0.0, 1.0]])  # no context: all channels 0, and the flag
    assert torch.equal(learned.free()(X, LEVEL), learned.given(row)(X, LEVEL))
    assert torch.equal(learned.conditioned_on(None)(X, LEVEL), learned.free()(X, LEVEL))
    with pytest.raises(ValueError, match=r"^this model has only learned data given a context, not data without one$"):
        always.conditioned_on(None)
    plain = Gaussian(torch.zeros(3), torch.ones(3))
    assert plain.conditioned_on(None) is plain
    with pytest.raises(ValueError, match=r"^a Gaussian takes no context: only conditional denoisers do$"):
        plain.conditioned_on(row)


def wrappers(one: Denoiser, rest: Denoiser) -> dict[str, Denoiser]:
    """Every denoiser that holds others, a user's among them, around one with contexts."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        classifier = NoisyClassifier(perturbed(ClassifierNetwork((3,), 2, 8, 1)), names=(0, 1))
        return {
            "guided": Guided(one, rest, 2.0, 0.1, 5.0),
            "guided away": Guided(rest, one, 2.0),
            "classifier": ClassifierGuided(one, classifier, 1),
            "uncertainty": WithUncertainty(one),
            "posterior": Posterior(one, Measurement(Mask([1, 0, 0]), [0.5], 0.3)),
            "user": Scaled([rest, one]),
            "user of guided posterior": Scaled(
                [Posterior(Guided(one, rest, 2.0), Measurement(Mask([1, 0, 0]), [1], 1))]
            ),
        }


NAMES = list(wrappers(Gaussian(torch.zeros(3), torch.ones(3)), Gaussian(torch.zeros(3), torch.ones(3))))
FREE = Gaussian(torch.zeros(3), torch.ones(3))


@pytest.mark.parametrize("name", NAMES)
def test_contexts_follow_samples_through_every_wrapper(name):
    """Sample i has context i mod M, in any part of the batch, in parts of parts, and as if it were alone."""
    whole = wrappers(conditional().given(ROWS), FREE)[name]
    alone = [wrappers(conditional().given(ROWS[i : i + 1]), FREE)[name] for i in range(3)]
    assert whole.contexts == 3 and alone[0].contexts == 1
    index = torch.tensor([4, 2, 0, 7])
    found = whole.samples(index)(X, LEVEL)
    expected = torch.cat([alone[int(i) % 3](X[k : k + 1], LEVEL) for k, i in enumerate(index)])
    torch.testing.assert_close(found, expected)
    part = whole.samples(index).samples(torch.tensor([3, 1]))(X[[3, 1]], LEVEL)
    torch.testing.assert_close(part, expected[[3, 1]])
    assert alone[0].samples(index) is alone[0]
    with pytest.raises(ValueError, match=r"^4 states take one context, or one for each, got 3"):
        whole(X, LEVEL)


@pytest.mark.parametrize("name", NAMES)
def test_full_precision_reaches_every_part(name):
    """Every wrapper with a network in bfloat16 computes, in full precision, what it computes around a float32 network."""
    rough = wrappers(conditional("bfloat16").given(ROWS[:1]), conditional("bfloat16").free())[name]
    fine = wrappers(conditional().given(ROWS[:1]), conditional().free())[name]
    found = rough.full_precision()
    assert type(found) is type(rough) and found.training == rough.training
    assert torch.equal(found(X, LEVEL), fine(X, LEVEL)) and not torch.equal(rough(X, LEVEL), fine(X, LEVEL))
    assert fine.full_precision() is fine  # nothing to change, nothing copied
    assert {id(p) for p in found.parameters()} == {id(p) for p in rough.parameters()}


def test_weights_of_16_bits_become_32():
    short = Preconditioned(perturbed(MLP(3, 16, 1))).bfloat16()
    fine = Scaled([short]).full_precision()
    assert {p.dtype for p in fine.parameters()} == {torch.float32}
    assert {p.dtype for p in short.parameters()} == {torch.bfloat16}
    torch.testing.assert_close(fine(X, LEVEL), 0.5 * short.float()(X, LEVEL))


def test_denoisers_say_whether_they_have_a_density():
    """`has_log_prob` is what `log_prob` does."""
    tiny = {"one": torch.zeros(2, 3), "std": torch.ones(2), "weights": torch.tensor([0.5, 0.5])}
    known = [FREE, Mixture(tiny["one"], tiny["std"], tiny["weights"]), Empirical(X)]
    known += [AnalyticDensity(lambda x, level: -x.square().sum(1)), EnergyDenoiser(Preconditioned(Potential(MLP(3))))]
    unknown = [conditional().free(), Guided(FREE, FREE, 2.0), WithUncertainty(FREE), Scaled([FREE])]
    for denoiser in known:
        assert denoiser.has_log_prob and denoiser.log_prob(X, 0.7).shape == (4,)
    for denoiser in unknown:
        assert not denoiser.has_log_prob
        with pytest.raises(TypeError, match=rf"^{type(denoiser).__name__} has no log_prob: integrate the flow"):
            denoiser.log_prob(X, 0.7)


def test_guidance_is_what_its_formula_says():
    """A weight of 1, and levels outside of the interval, leave the denoiser to the bit."""
    strong, weak = Gaussian(torch.ones(3), torch.ones(3)), Gaussian(torch.zeros(3), 2 * torch.ones(3))
    a, b = strong(X, LEVEL), weak(X, LEVEL)
    torch.testing.assert_close(Guided(strong, weak, 2.5)(X, LEVEL), b + 2.5 * (a - b))
    assert torch.equal(Guided(strong, weak, 1.0)(X, LEVEL), a)
    assert torch.equal(Guided(strong, weak, 3.0, low=0.8)(X, LEVEL), a)
    levels = torch.tensor([0.1, 0.5, 1.0, 9.0])[:, None]
    found, everywhere = Guided(strong, weak, 3.0, 0.4, 2.0)(X, levels), Guided(strong, weak, 3.0)(X, levels)
    assert torch.equal(found[[0, 3]], strong(X, levels)[[0, 3]]) and torch.equal(found[1:3], everywhere[1:3])
    with pytest.raises(ValueError, match=r"^guidance needs a weight, and levels low < high; got weight=2.0, 3 and 1$"):
        Guided(strong, weak, 2.0, 3, 1)


def test_observations_compose_by_their_formula():
    learned = conditional()
    found = ComposedDenoiser(learned, ROWS)(X, LEVEL)
    expected = sum(learned.given(row[None])(X, LEVEL) for row in ROWS) - 2 * learned.free()(X, LEVEL)
    torch.testing.assert_close(found, expected)
    levels = torch.tensor([0.1, 0.5, 1.0, 9.0])[:, None]
    single = [ComposedDenoiser(learned, ROWS)(X[i : i + 1], levels[i : i + 1]) for i in range(4)]
    torch.testing.assert_close(ComposedDenoiser(learned, ROWS)(X, levels), torch.cat(single))
    assert isinstance(learned.given(ROWS), Conditioned)
    with pytest.raises(ValueError, match=r"^this model has only learned data given a context"):
        ComposedDenoiser(conditional(unconditional=False), ROWS)
