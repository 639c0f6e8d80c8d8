"""What samplers declare is what they do: whether they draw noise, and how often they evaluate the denoiser."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

import scorefield.posterior
import scorefield.samplers
from properties import suited
from scorefield.denoisers import Denoiser, Mixture
from scorefield.diffusion import Diffusion
from scorefield.evaluation.measure import _other
from scorefield.measurement import Mask, Measurement
from scorefield.posterior import DAPS, Posterior, RePaint, ReplacementSMC
from scorefield.posterior.methods import PosteriorSampler
from scorefield.processes import EDM, VP
from scorefield.rng import Rng, Samples
from scorefield.samplers import (
    DDIM,
    DPM,
    AnnealedLangevin,
    Churn,
    DormandPrince,
    EulerMaruyama,
    ExponentialAdams,
    Heun,
    OneStepSampler,
    PredictorCorrector,
    Restart,
    Sampler,
    Sampling,
    encode,
    sample,
)

D = torch.float64
MIXTURE = Mixture(
    torch.tensor([[-1.0, 0.5], [1.0, 0.0], [0.3, -1.2]], dtype=D),
    torch.tensor([0.5, 0.3, 0.4], dtype=D),
    torch.tensor([0.2, 0.5, 0.3], dtype=D),
)


@dataclass(frozen=True)
class Midpoint(OneStepSampler):
    """A user's own sampler."""

    noise: float = 0.0
    evaluations = 1

    @property
    def deterministic(self) -> bool:
        return self.noise == 0

    def step(self, diffusion, x, t, s, rng):
        mean, z = diffusion.split(x, t)
        x = diffusion.process.mix(mean, z, s)
        return x if self.noise == 0 else x + self.noise * diffusion.process.sigma(s) * rng.normal_like(x)


def offered() -> list[Sampler]:
    """One of every concrete sampler that the package offers, by introspection."""
    found = {}
    for module in (scorefield.samplers, scorefield.posterior):
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, Sampler) and not kind.__abstractmethods__:
                found[kind.__name__] = kind()
    assert {"DDIM", "Heun", "AdaptiveSDE", "DAPS", "RePaint", "UniPC"} <= set(found)
    return [
        *found.values(),
        DDIM(1.0),
        DPM(3, 0.5),
        EulerMaruyama(0.0),
        ExponentialAdams(2, eta=1.0),
        Churn(0.0),
        AnnealedLangevin(moves=3),
        PredictorCorrector(Heun(), moves=2),
        PredictorCorrector(DormandPrince()),
        RePaint(3, 2),
        DAPS(flow=Heun(), substeps=3),
        DAPS(flow=DormandPrince()),
        Midpoint(),
        Midpoint(0.1),
    ]


SAMPLERS = offered()


class Counting(Denoiser):
    """A denoiser that counts its evaluations of a sample."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser, self.count = denoiser, 0

    def forward(self, x, level):
        self.count += len(x)
        return self.denoiser(x, level)


class Watched(Rng):
    """Noise that is counted."""

    def __init__(self, rng: Rng, drawn: list[int]) -> None:
        self.rng, self.drawn = rng, drawn

    def normal(self, *args, **kwargs):
        self.drawn.append(1)
        return self.rng.normal(*args, **kwargs)

    def uniform(self, *args, **kwargs):
        self.drawn.append(1)
        return self.rng.uniform(*args, **kwargs)

    def stratified(self, *args, **kwargs):
        self.drawn.append(1)
        return self.rng.stratified(*args, **kwargs)

    def child(self, purpose):
        return Watched(self.rng.child(purpose), self.drawn)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
def test_a_sampler_draws_noise_unless_it_says_that_it_is_deterministic(sampler):
    drawn: list[int] = []
    diffusion, times = Diffusion(EDM(), MIXTURE, MIXTURE.moments()), torch.linspace(1, 0, 5, dtype=D)
    x = diffusion.prior((2, 2), Samples(0, count=2))
    list(sampler.trajectory(diffusion, x, times, Watched(Samples(1, count=2), drawn)))
    assert sampler.deterministic == (not drawn)
    if sampler.deterministic:  # and it goes upwards as well
        state = MIXTURE.sample(20, Samples(3, count=20))
        z = encode(diffusion, state, Sampling(sampler, 100))
        assert 0.3 < float(z.std()) < 2


@pytest.mark.parametrize("steps", [4, 7])
@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if s.evaluations is not None], ids=repr)
def test_declared_evaluations_are_those_that_are_made(sampler, steps):
    counting = Counting(MIXTURE)
    denoiser = counting
    if isinstance(sampler, PosteriorSampler):  # without a measurement they do what another sampler does
        measured = Measurement(Mask(torch.tensor([True, False])), [0.5], 0.1)
        denoiser = Posterior(counting, measured, moments=MIXTURE.moments())
    diffusion = Diffusion(VP(), suited(sampler, denoiser), MIXTURE.moments())
    sample(diffusion, (3, 2), Sampling(sampler, steps), Samples(0, count=3), denoise=False)
    last = sampler.gives_data and not sampler.consistency
    assert counting.count == 3 * (steps + last) * sampler.evaluations


def test_none_is_declared_where_the_number_is_not_fixed():
    unfixed = [s for s in SAMPLERS if s.evaluations is None]
    assert {type(s).__name__ for s in unfixed} == {
        "AdaptiveSDE",
        "DormandPrince",
        "PredictorCorrector",
        "DAPS",
        "ReplacementSMC",
        "Restart",
    }
    assert all(s.adaptive for s in unfixed if not isinstance(s, DAPS | ReplacementSMC | Restart))
    assert not any(s.adaptive for s in SAMPLERS if s.evaluations is not None)


def test_a_sampler_that_says_nothing_is_not_taken_for_deterministic():
    class Silent(OneStepSampler):
        def step(self, diffusion, x, t, s, rng):
            return diffusion.process.mix(*diffusion.split(x, t), s)

    assert not Silent().deterministic and Silent().evaluations is None and not Silent().adaptive
    with pytest.raises(ValueError, match="latents need a deterministic sampler, and Silent draws noise"):
        encode(Diffusion(VP(), MIXTURE), torch.zeros(2, 2, dtype=D), Sampling(Silent(), 3))


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
def test_the_other_of_two_ways_of_sampling_is_of_the_other_kind(sampler):
    """The check compares the flow with the SDE, whatever the model's own sampler is."""

    class Stub:
        steps = 30
        process = EDM(0.01, 40.0)

    Stub.sampler = sampler
    assert _other(Stub())[0].sampler.deterministic is not sampler.deterministic


def test_what_a_user_s_sampler_returns_is_checked():
    class Nothing(OneStepSampler):
        def step(self, diffusion, x, t, s, rng):
            return None

    class Wide(OneStepSampler):
        def step(self, diffusion, x, t, s, rng):
            return x[:, :1]

    for sampler, got in ((Nothing(), "NoneType"), (Wide(), r"shape \(3, 1\)")):
        with pytest.raises(
            TypeError, match=rf"gave a state of {got} at level .*: it must be a tensor of shape \(3, 2\)"
        ):
            sample(Diffusion(VP(), MIXTURE), (3, 2), Sampling(sampler, 3), Samples(0, count=3))


def test_the_last_denoising_is_checked():
    class Broken(Denoiser):
        def forward(self, x, level):
            return x * (torch.nan if float(level) < 0.01 else 0.5)

    with pytest.raises(RuntimeError, match=r"Broken gave a mean that is non-finite .* in the last denoising"):
        sample(Diffusion(EDM(), Broken()), (3, 2), "ddim(steps=3)", Samples(0, count=3))
