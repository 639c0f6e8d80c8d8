"""Conditioning: exact answers, what is merged, what is refused; and faults that the structure once made possible."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import exact_models as exact
from exact_models import FREE, GIVEN, MATRIX, NOISE, Y
from scorefield.conditions import ClassifierGuidance, ContextCondition, Observation
from scorefield.data import Schema
from scorefield.denoisers import ConditionalPreconditioned, Denoiser, EDMPrediction, Gaussian, Guided
from scorefield.diagnostics import diagnose
from scorefield.inverse import check_posterior, evidence, misfit
from scorefield.measurement import Function, Mask, Measurement
from scorefield.model import Model, load
from scorefield.nn import UNet
from scorefield.posterior import DAPS, DPS, TMPD, MomentMatching, PiGDM, RePaint
from scorefield.processes import EDM
from scorefield.samplers import DormandPrince, Heun, Sampling
from scorefield.units import Standardize

D = torch.float64
SIGMA = 0.01
SEEN = Measurement(Mask([True, False]), [Y], NOISE)
NEEDS = r"^this model has only learned data given a context, not data without one: model.condition\(label=…\)$"


def fine(kind: str, unconditional: bool = True, last: float = 100.0) -> Model:
    """An exact model over the levels that densities need: the prior at the last one is off by 1/last."""
    model = exact.model(kind, unconditional=unconditional)
    return model.replace(sampling=Sampling(Heun(), 24, process=EDM(SIGMA, last)))


def normal(x: np.ndarray, mean: np.ndarray, variance: float) -> np.ndarray:
    """The log-density of data of independent coordinates in the units of the models, x = 1 + 2u."""
    u = (x - 1) / 2
    return (-((u - mean) ** 2) / (2 * variance) - math.log(2 * math.pi * variance) / 2 - math.log(2)).sum(1)


X = np.random.default_rng(0).normal(1.0, 2.0, size=(4, 2))


# -- exact answers -------------------------------------------------------------------------------------------------------


def test_log_densities_latents_and_samples_with_a_context_for_each_row():
    """N(c A, variance) for each row's own c; latents are the standard scores; decoding inverts; and so at 3,000 draws."""
    model = fine("label", last=1e4).condition(label=["u", "v", "v", "u"])
    means = np.array([MATRIX["label"]["uv".index(each)] for each in "uvvu"])
    variance = GIVEN + SIGMA**2
    np.testing.assert_allclose(model.log_prob(X).value, normal(X, means, variance), atol=2e-3)
    latents = model.encode(X, DormandPrince(1e-8, 1e-8))
    expected = ((X - 1) / 2 - means) / variance**0.5
    np.testing.assert_allclose(latents, expected, atol=1e-3)  # the prior has the moments of all data: off by 1/σ
    np.testing.assert_allclose(model.decode(latents, DormandPrince(1e-8, 1e-8)), X, atol=1e-5)
    u = (fine("label").condition(label=["u", "v", "v"]).sample(3000, seed=1) - 1) / 2
    for row, name in enumerate("uvv"):
        error = GIVEN**0.5 / 1000**0.5
        assert np.abs(u[row::3].mean(0) - MATRIX["label"]["uv".index(name)]).max() < 4 * error
        assert np.abs(u[row::3].std(0) / GIVEN**0.5 - 1).max() < 4 / 2000**0.5 + 0.01
    frames = model.interpolate(X, X[::-1].copy(), 3)
    np.testing.assert_allclose(frames[0], X, atol=2e-2)


def test_a_measurement_given_contexts_is_the_exact_posterior():
    """Given row i's context and the measurement of the first coordinate: a Gaussian that is known; in any order."""
    y, noise = (Y - 1) / 2, (NOISE / 2) ** 2
    means = np.array(MATRIX["label"])[[0, 1, 0, 1]]
    gain = GIVEN / (GIVEN + noise)
    known = normal(X[:, 1:], means[:, 1:], GIVEN)
    variance = GIVEN * (1 - gain)
    known = known + normal(X[:, :1], means[:, :1] + gain * (y - means[:, :1]), variance)
    one = fine("label", last=1e4).condition(label=["u", "v", "u", "v"]).observe(SEEN)
    other = fine("label", last=1e4).observe(SEEN).condition(label=["u", "v", "u", "v"])
    found = one.log_prob(X, tolerance=1e-3)
    np.testing.assert_allclose(found.value - found.truncation, known, atol=3e-3)
    assert np.array_equal(one.sample(3), other.sample(3))


def test_a_weight_of_one_is_no_guidance_and_others_follow_the_formula():
    model = fine("label")
    plain = model.condition(label="u")
    assert np.array_equal(model.condition(label="u", guidance=1.0).sample(3), plain.sample(3))
    x, level = torch.randn(5, 2, dtype=D, generator=torch.Generator().manual_seed(0)), torch.tensor(0.7, dtype=D)
    strong, weak = plain.diffusion.denoiser(x, level), model.diffusion.denoiser(x, level)
    guided = model.condition(label="u", guidance=2.5, interval=(0.5, 1.0))
    torch.testing.assert_close(guided.diffusion.denoiser(x, level), weak + 2.5 * (strong - weak))
    outside = torch.tensor(1.5, dtype=D)
    assert torch.equal(guided.diffusion.denoiser(x, outside), plain.diffusion.denoiser(x, outside))
    assert isinstance(guided.diffusion.denoiser, Guided)


def test_misfit_counts_all_measurements_and_particles_take_one():
    other = Measurement(Mask([False, True]), [2.0], 0.5)
    both = fine("label").observe(SEEN).observe(other)
    expected = (((X[:, 0] - Y) / NOISE) ** 2 + ((X[:, 1] - 2.0) / 0.5) ** 2) / 2
    np.testing.assert_allclose(misfit(both, X), expected, rtol=1e-6)
    with pytest.raises(ValueError, match=r"^particles take one measurement, got 2: join them into one$"):
        evidence(both, particles=10, steps=2)
    with pytest.raises(ValueError, match=r"^particles are all of one posterior, got 2 contexts: give one$"):
        evidence(fine("label").condition(label=["u", "v"]).observe(SEEN), particles=10, steps=2)


@pytest.mark.parametrize("weak", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize(
    "method", [MomentMatching(), *(pytest.param(m, marks=pytest.mark.slow) for m in (TMPD(), PiGDM()))]
)
def test_guidance_together_with_measurements_stays_finite(method, weak):
    """The derivative of a guided denoiser is not a covariance: that of y was singular somewhere, and samples diverged."""
    model, exactly = fine("label"), Measurement(Mask([True, False]), [Y], 0.1)
    other = exact.model("label", 5 * GIVEN, False) if weak else None
    guided = model.condition(label="u", guidance=4.0, weak=other)
    free = (guided.sample(100, seed=1) - 1) / 2
    once = guided.observe(exactly)
    for posterior, samplers in ((once, (None, "dormandprince")), (once.observe(exactly), ("ddim(steps=60)",))):
        for sampler in samplers:
            u = (posterior.sample(100, seed=1, sampler=sampler) - 1) / 2
            assert np.abs(u[:, 0] - (Y - 1) / 2).max() < 5 * 0.1 / 2 + 0.05  # as measured
            assert np.abs(u[:, 1].mean() - free[:, 1].mean()) < 0.1 + np.abs(free[:, 1]).std() / 4
            assert np.abs(u[:, 1]).max() < 2 * np.abs(free[:, 1]).max()  # not measured: as without measurement


# -- faults of 0.1.0 -----------------------------------------------------------------------------------------------------


def test_nothing_answers_before_it_has_its_context():
    """F1: log_prob, encode, density, trajectories, diagnosis and posteriors answered as if there were a context."""
    model = fine("label", unconditional=False)
    uses = [
        lambda m: m.sample(3),
        lambda m: m.log_prob(X),
        lambda m: m.density(),
        lambda m: m.encode(X),
        lambda m: m.decode(torch.zeros(2, 2)),
        lambda m: m.interpolate(X, X),
        lambda m: m.interpolate_seeds(2),
        lambda m: list(m.trajectory(2)),
        lambda m: m.diffusion,
        lambda m: diagnose(m.diffusion.denoiser, torch.zeros(40, 2), [0.1, 1.0], m.moments),
        lambda m: m.observe(SEEN).sample(2),
        lambda m: m.observe(SEEN).log_prob(X),
        lambda m: evidence(m.observe(SEEN)),
        lambda m: check_posterior(m.observe(SEEN)),
        lambda m: misfit(m.observe(SEEN), X),
        lambda m: m.guide(exact.CLASSIFIER, "a").sample(2),
    ]
    for use in uses:
        with pytest.raises(ValueError, match=NEEDS):
            use(model)
    assert model.observe(SEEN).condition(label="u").sample(3).shape == (3, 2)  # and it can still be given


@pytest.mark.parametrize("kind", ["label", "number"])
def test_an_empty_context_is_not_a_context(kind):
    """A model that has not learned the unconditional distribution answered to NaN and None with confident numbers."""
    always, free = fine(kind, unconditional=False), fine(kind)
    some = {"label": "u", "number": 0.5}[kind]
    one = r"^the context is missing \(NaN or None\), and this model has only learned data given a context: give one, or fit"
    for value in (None, math.nan, [math.nan], torch.tensor([math.nan])):
        with pytest.raises(ValueError, match=one):
            always.condition(**{kind: value})
    with pytest.raises(ValueError, match=r"^context 1 of 3 is missing \(NaN or None\)"):
        always.condition(**{kind: [some, None, some]})
    with pytest.raises(ValueError, match=one):
        always.conditioned_on(always.context.empty())
    for condition in (ContextCondition(always.context.empty()), ContextCondition(always.context.empty(), guidance=2.0)):
        for use in (lambda m: m.sample(2), lambda m: m.log_prob(X), lambda m: m.encode(X), lambda m: m.diffusion):
            with pytest.raises(ValueError, match=one):  # however it came there, as from a file
                use(always.replace(conditions=(condition,)))
    with pytest.raises(ValueError, match=one):  # the weak model has not learned it
        free.condition(**{kind: math.nan}, guidance=2.0, weak=always)
    assert np.array_equal(free.condition(**{kind: math.nan}).sample(3), free.sample(3))


def test_contexts_are_one_or_one_for_each_row():
    """Three contexts were repeated for four rows of data in silence."""
    model, what = (
        fine("label").condition(label=["u", "v", "v"]),
        r"3 contexts do not belong to 4 rows: give one, or as many$",
    )
    uses = [
        lambda m: m.log_prob(X),
        lambda m: m.density().bound(X),
        lambda m: m.density().bits_per_dim(X, step=0.1),
        lambda m: m.encode(X),
        lambda m: m.decode(torch.zeros(4, 2)),
        lambda m: m.interpolate(X, X),
        lambda m: m.observe(SEEN).log_prob(X),
        lambda m: m.guide(exact.CLASSIFIER, "a").encode(X),
    ]
    for use in uses:
        with pytest.raises(ValueError, match=what):
            use(model)
    assert model.sample(4).shape == (4, 2)  # samples go through them in turn
    assert model.encode(X[:3]).shape == (3, 2)


def test_a_single_value_is_given_to_all_contexts():
    model = fine("table")
    at_once, whole = model.condition(label=["u", "v"], number=0.5), model.condition(label=["u", "v"], number=[0.5, 0.5])
    assert np.array_equal(at_once.sample(4), whole.sample(4))
    assert np.array_equal(model.condition(label=["u"], number=[0.5, 1.0]).sample(2)[:1], at_once.sample(1))
    with pytest.raises(ValueError, match=r"^a context needs columns of one length, with rows; got lengths \[2, 3\]$"):
        model.condition(label=["u", "v"], number=[0.5, 0.6, 0.7])


def test_values_in_their_order_may_be_of_several_types():
    """A list of a string and a number became an array of strings."""
    model = fine("table")
    known = model.condition(label="u", number=0.5)
    for values in (["u", 0.5], ("u", 0.5), [["u", 0.5]], np.array(["u", 0.5], dtype=object)):
        assert np.array_equal(model.condition(values).sample(3), known.sample(3))
    both = model.condition([["u", 0.5], ["v", 1.0]])
    assert np.array_equal(both.sample(4), model.condition(label=["u", "v"], number=[0.5, 1.0]).sample(4))


@pytest.mark.parametrize("value", [math.inf, -math.inf, 1e9])
def test_a_context_is_finite_and_near_those_of_the_data(value):
    with pytest.raises(
        ValueError, match=r"^number of the context is (-?inf|1e\+09|1000000000): it must be finite, and within"
    ):
        fine("number").condition(number=value)
    with pytest.raises(ValueError, match=r"^a context must be finite numbers"):
        fine("number").conditioned_on(torch.tensor([[math.inf, 0.0]]))


def test_nothing_of_guidance_is_ignored():
    model = fine("label")
    for options in ({"interval": (0.1, 1.0)}, {"weak": model}, {"interval": (0.1, 1.0), "guidance": 1.0}):
        with pytest.raises(
            ValueError, match=r"^(interval|weak) belongs? to guidance, and its weight is 1: pass guidance=…$"
        ):
            model.condition(label="u", **options)
    for interval in ((-1.0, 1.0), (1.0, 0.5), (1.0, 1.0), (math.nan, 1.0), (0.1, math.nan)):
        with pytest.raises(ValueError, match=r"^guidance is a finite weight at levels low < high, from 0; got"):
            model.condition(label="u", guidance=2.0, interval=interval)
    later = model.condition(label="u", guidance=2.0).condition(interval=(0.5, 1.0))
    assert np.array_equal(later.sample(3), model.condition(label="u", guidance=2.0, interval=(0.5, 1.0)).sample(3))
    for use in (lambda m: m.sample(3, sampler="heun(steps=2)", steps=3), lambda m: m.encode(X, "heun(steps=2)", 3)):
        with pytest.raises(ValueError, match=r"^steps=3 and heun\(steps=2\) disagree: give steps once$"):
            use(model)
    assert np.array_equal(model.sample(2, sampler="heun(steps=3)", steps=3), model.sample(2, sampler="heun", steps=3))


class Doubled(Denoiser):
    """A wrapper of a user."""

    def __init__(self, inner: Denoiser) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return self.inner(x, level)


def grids(precision: str) -> tuple[Model, Model]:
    """A conditional model of grids with a network in bfloat16 or float32; and a weak one."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = UNet(2, 1, (2,), 1, patch=1, embedding=4, context=3)
        for p in network.parameters():
            nn.init.normal_(p, std=0.3)
    like = exact.model("label")
    moments = Gaussian(torch.zeros(1, 4, 4), torch.ones(1, 4, 4))
    parts = (Schema.of(np.zeros((5, 4, 4)), structure="grid"), Standardize((1, 4, 4)))
    sampling = Sampling(Heun(), 3, process=EDM(0.1, 5.0))
    one, weak = (
        Model(
            *parts,
            ConditionalPreconditioned(network, (3,), True, EDMPrediction(), which),
            moments,
            sampling,
            like.context,
        )
        for which in (precision, precision)
    )
    return one, weak


@pytest.mark.parametrize("way", ["context", "guided", "autoguided", "posterior", "classifier", "user"])
def test_densities_are_never_computed_in_bfloat16(way):
    """F2: through any wrapper, log-densities and latents of a network in bfloat16 are those of the network in float32."""
    found = []
    for precision in ("bfloat16", "float32"):
        model, weak = grids(precision)
        given = {
            "context": lambda m, w: m.condition(label="u"),
            "guided": lambda m, w: m.condition(label="u", guidance=2.0),
            "autoguided": lambda m, w: m.condition(label="u", guidance=2.0, weak=w),
            "posterior": lambda m, w: m.condition(label="u").observe(Measurement(Mask(np.eye(4) > 0), np.ones(4), 0.5)),
            "classifier": lambda m, w: m.condition(label="u").guide(exact.CLASSIFIER, "a"),
            "user": lambda m, w: m.replace(denoiser=Doubled(m.condition(label="u").diffusion.denoiser), context=None),
        }[way](model, weak)
        x = np.random.default_rng(0).normal(size=(2, 4, 4))
        density = given.density().inner.diffusion.denoiser
        state, level = torch.from_numpy(x).float()[:, None], torch.tensor(0.7)
        found.append((given.encode(x, Heun(), 1), density(state, level), given.diffusion.denoiser(state, level)))
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1])
    if way != "posterior":  # whose derivatives are never in bfloat16
        assert not torch.equal(found[0][2], found[1][2])  # while samples are, or the test would say nothing


def test_given_takes_nothing_that_it_ignores():
    """F4: guidance next to a measurement was ignored; guidance was dropped when a model was conditioned again."""
    model = fine("label")
    for name, value in (("guidance", 3.0), ("interval", (0.1, 1.0)), ("weak", model), ("label", "u")):
        what = "label=…" if name == "label" else rf"label=…, {name}=…"
        message = rf"^{name} belongs to a context, not to a measurement: model.condition\({what}\).observe\(…\)$"
        with pytest.raises(ValueError, match=message):
            model.given(SEEN, **{name: value})
    with pytest.raises(ValueError, match=r"^method belongs to a measurement, not to a context: model.observe"):
        model.given(label="u", method=DPS())
    with pytest.raises(ValueError, match=r"^give the context at once or by columns, not both: got a value and label$"):
        model.condition("u", label="v")
    again = model.given(label="u", guidance=3.0, interval=(0.1, 1.0)).given(label="v")
    assert np.array_equal(again.sample(3), model.given(label="v", guidance=3.0, interval=(0.1, 1.0)).sample(3))
    assert np.array_equal(again.condition(guidance=1.0).sample(3), model.condition(label="v").sample(3))


def test_no_condition_forgets_the_context():
    """F5: after a measurement, a model said that it was fitted without context."""
    model = fine("label")
    again = model.given(label="u").given(SEEN).given(label="v")
    assert np.array_equal(again.sample(3), model.given(label="v").given(SEEN).sample(3))
    guided = model.given(label="u").guide(exact.CLASSIFIER, "a").given(label="v")
    assert np.array_equal(guided.sample(3), model.given(label="v").guide(exact.CLASSIFIER, "a").sample(3))
    plain = Model(*(getattr(model, n) for n in ("schema", "standardize")), model.moments, model.moments, model.sampling)
    message = r"^this model was fitted without context and cannot be conditioned on one: fit\(x, context=…\)"
    for use in (lambda: plain.given(label="u"), lambda: plain.conditioned_on(torch.zeros(1, 3))):
        with pytest.raises(ValueError, match=message):
            use()


def test_a_context_for_each_sample_where_samples_choose_their_steps():
    """F3: encode, interpolate and adaptive samplers failed with several contexts."""
    model = fine("number").condition(number=[-1.0, 0.5, 2.0])
    whole = model.sample(5, seed=2, sampler=DormandPrince())
    for i, c in enumerate((-1.0, 0.5, 2.0)):
        alone = fine("number").condition(number=c).sample(5, seed=2, sampler=DormandPrince())
        np.testing.assert_allclose(whole[i::3], alone[i::3], rtol=1e-9, atol=1e-9)
        rows = model.encode(X[:3])
        np.testing.assert_allclose(rows[i], fine("number").condition(number=c).encode(X[:3])[i], atol=1e-9)


# -- merging, and what is refused ----------------------------------------------------------------------------------------


def test_a_context_is_given_column_by_column():
    model = fine("table", unconditional=False)
    whole = model.condition(label="u", number=0.5)
    for first, second in (({"label": "u"}, {"number": 0.5}), ({"number": 0.5}, {"label": "u"})):
        half = model.condition(**first)
        missing, given = next(iter(second)), next(iter(first))
        message = (
            rf"^this model is conditioned on {given} so far, and {missing} is missing: model.condition\({missing}=…\)$"
        )
        for use in (lambda m: m.sample(2), lambda m: m.log_prob(X), lambda m: m.observe(SEEN).encode(X)):
            with pytest.raises(ValueError, match=message):
                use(half)
        assert np.array_equal(half.condition(**second).sample(3), whole.sample(3))
    both = model.condition(label=["u", "v"]).condition(number=0.5)
    assert np.array_equal(both.sample(4)[::2], whole.sample(4)[::2])
    with pytest.raises(ValueError, match=r"^3 contexts do not complete 2: give one, or as many$"):
        model.condition(label=["u", "v"]).condition(number=[0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match=r"^the context of this model is label, number; got colour$"):
        model.condition(colour="red")
    with pytest.raises(ValueError, match=r"^there is no context yet: model.condition\(label=…, number=…\)$"):
        model.condition(guidance=2.0)
    with pytest.raises(ValueError, match=r"^number of the context is a number, such as 1.5, got 'much'$"):
        model.condition(number="much")


def test_weak_models_and_classifiers_must_fit():
    model, always = fine("label"), fine("label", unconditional=False)
    with pytest.raises(
        ValueError, match=r"^guidance needs a model that has also learned data without context, or a weaker"
    ):
        always.condition(label="u", guidance=2.0)
    assert always.condition(label="u", guidance=2.0, weak=model).sample(2).shape == (2, 2)
    with pytest.raises(ValueError, match=r"^weak=… takes a model without conditions"):
        model.condition(label="u", guidance=2.0, weak=model.condition(label="u"))
    with pytest.raises(ValueError, match=r"^weak=… takes a model with the same context, or without one"):
        model.condition(label="u", guidance=2.0, weak=fine("number"))
    shifted = model.replace(standardize=Standardize((2,), torch.ones(2), torch.ones(2)))
    with pytest.raises(ValueError, match=r"^weak=… takes a model of the same data in the same units"):
        model.condition(label="u", guidance=2.0, weak=shifted)
    wide = Standardize((3,), torch.ones(3), torch.ones(3))
    other = Gaussian(torch.zeros(3), torch.ones(3))
    wide = Model(Schema.of(np.zeros((5, 3))), wide, other, other, model.sampling)
    with pytest.raises(
        ValueError, match=r"^weak=… takes a model of the same data, and this one has shape \(3,\), not \(2,\)"
    ):
        model.condition(label="u", guidance=2.0, weak=wide)
    plain = Model(model.schema, model.standardize, model.moments, model.moments, model.sampling)
    assert model.condition(label="u", guidance=2.0, weak=plain).sample(2).shape == (2, 2)
    with pytest.raises(
        ValueError, match=r"^guidance is a finite weight at levels low < high, from 0; got guidance=nan"
    ):
        model.condition(label="u", guidance=math.nan)
    with pytest.raises(ValueError, match=r"^the classifier has no class 'c': its classes are a, b$"):
        model.guide(exact.CLASSIFIER, "c")
    twice = model.guide(exact.CLASSIFIER, "a").guide(exact.CLASSIFIER, "b")
    assert [each.label for each in twice.conditions] == ["b"]


def test_only_measurements_are_observed_and_only_by_methods():
    model = fine("label")
    with pytest.raises(
        TypeError, match=r"^only a Measurement can be observed, got float: Measurement\(operator, y, noise\)$"
    ):
        model.observe(1.0)
    with pytest.raises(
        TypeError, match=r"^method must be one of scorefield.posterior, such as MomentMatching\(\), got Heun"
    ):
        model.observe(SEEN, Heun())
    drawn = model.observe(SEEN, DAPS())
    assert drawn.sampler == DAPS() and drawn.sample(2).shape == (2, 2)
    for use in (lambda m: m.log_prob(X), lambda m: m.encode(X), lambda m: m.decode(torch.zeros(1, 2))):
        with pytest.raises(ValueError, match=r"^DAPS draws samples only and has no log-density or latents: observe"):
            use(drawn)
    for order in ((DAPS(), RePaint()), (RePaint(), DAPS())):
        with pytest.raises(ValueError, match=r"^DAPS and RePaint are samplers, and a model uses one: observe both"):
            model.observe(SEEN, order[0]).observe(SEEN, order[1])


def test_code_is_not_saved(tmp_path):
    model = fine("label").observe(Measurement(Function(torch.sin), [0.1, 0.2], 0.1))
    with pytest.raises(
        ValueError, match=r"^a file holds no code, and Function is code of yours: save the model without"
    ):
        model.save(tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_file_holds_all_conditions(tmp_path):
    model = fine("label").condition(label=["u", "v"], guidance=1.5, weak=exact.model("label", exact.WEAK))
    model = model.guide(exact.CLASSIFIER, "a").observe(SEEN, MomentMatching(4))
    model.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors", trusted=("scorefield", "exact_models"))
    assert [type(each) for each in again.conditions] == [ContextCondition, ClassifierGuidance, Observation]
    assert np.array_equal(again.sample(4), model.sample(4))
    more = again.condition(label="v")
    assert np.array_equal(more.sample(4), model.condition(label="v").sample(4))


def test_marginals_and_diagnoses_take_one_context():
    model = fine("label").condition(label=["u", "v"])
    with pytest.raises(ValueError, match=r"^marginals and conditionals need one context, got 2: pass a single one$"):
        model.density().marginal(X[:, :1], [0])
    with pytest.raises(ValueError, match=r"^a diagnosis is of one distribution, got 2 contexts: give one$"):
        diagnose(model.diffusion.denoiser, torch.zeros(40, 2), [0.1, 1.0], model.moments)


def test_a_conditional_denoiser_needs_an_encoding():
    model = fine("label")
    with pytest.raises(ValueError, match=r"^a conditional denoiser needs an encoding of contexts"):
        model.replace(context=None)
    assert FREE > GIVEN  # the unconditional distribution is another one
    assert not np.array_equal(model.sample(3), model.condition(label="u").sample(3))
