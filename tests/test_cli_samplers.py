"""How samplers are written: what is read, what is refused, and that a sampling is read as it is written."""

from __future__ import annotations

import math

import pytest

import properties
from scorefield.mcmc import GaussianLangevin, Langevin
from scorefield.processes import EDM, VP
from scorefield.samplers import (
    DDIM,
    DPM,
    AnnealedLangevin,
    DormandPrince,
    ExponentialAdams,
    Heun,
    PredictorCorrector,
    Sampler,
    Sampling,
)
from scorefield.schedules import DDPM, Angle, ExplicitLevels, Karras, LogLevel, UniformTime


@pytest.mark.parametrize(
    "text, meant",
    [
        ("heun", Sampling(Heun())),
        ("Heun()", Sampling(Heun())),
        (" HEUN( steps = 18 ) ", Sampling(Heun(), 18)),
        ("adams", Sampling(ExponentialAdams())),
        ("ddim(eta=1)", Sampling(DDIM(eta=1.0))),
        ("ddim(1.0)", Sampling(DDIM(eta=1.0))),
        ("dpm(order=3, schedule=loglevel)", Sampling(DPM(order=3), None, LogLevel())),
        ("dpm(3, steps=9, schedule=karras(5))", Sampling(DPM(order=3), 9, Karras(5))),
        ("heun(schedule=explicitlevels((50, 10, 1, 0.1)))", Sampling(Heun(), None, ExplicitLevels((50, 10, 1, 0.1)))),
        ("heun(schedule=explicitlevels(values=[50, 1e-1]))", Sampling(Heun(), None, ExplicitLevels((50, 0.1)))),
        ("heun(schedule=ddpm(count=200), steps=20)", Sampling(Heun(), 20, DDPM(200))),
        ("dormand(rtol=1e-3)", Sampling(DormandPrince(rtol=1e-3))),
        (
            "predictorcorrector(predictor=dpm(order=3), corrector=langevin(ratio=0.1), steps=9)",
            Sampling(PredictorCorrector(DPM(order=3), Langevin(0.1)), 9),
        ),
        ("annealedlangevin(gauss, 2)", Sampling(AnnealedLangevin(GaussianLangevin(), 2))),
    ],
)
def test_what_is_written_is_what_is_meant(text, meant):
    assert Sampling.of(text) == meant


def test_steps_are_those_of_the_call_and_then_of_the_option():
    assert Sampling.of("heun", 7) == Sampling(Heun(), 7)
    assert Sampling.of("heun(steps=3)", 7) == Sampling(Heun(), 3)
    assert Sampling.of("heun(schedule=karras)", 7) == Sampling(Heun(), 7, Karras())
    assert Sampling.of("heun(schedule=explicitlevels((3, 2, 1)))", 7) == Sampling(
        Heun(), None, ExplicitLevels((3, 2, 1))
    )  # which knows its number


SAMPLERS = properties.instances(Sampler, "scorefield.samplers")


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
def test_every_sampler_is_read_as_it_is_written(sampler):
    for grid in (None, UniformTime(), Karras(5.5), ExplicitLevels((3.0, 0.25))):
        for steps in (None, 12):
            call = str(Sampling(sampler, steps, grid))
            assert Sampling.of(call) == Sampling(sampler, steps, grid), call


GRIDS = [Angle(0.3), DDPM(200, 1e-4, 0.02), ExplicitLevels((50.0, 1e-5)), Karras(1e20), LogLevel(), UniformTime()]


@pytest.mark.parametrize("grid", GRIDS, ids=repr)
def test_every_grid_is_read_as_it_is_written(grid):
    assert Sampling.of(str(Sampling(Heun(), 5, grid))) == Sampling(Heun(), 5, grid)


def test_constants_have_names():
    assert Sampling.of("dormandprince(atol=inf)").sampler.atol == math.inf


@pytest.mark.parametrize(
    "text, message",
    [
        ("hein", "unknown sampler 'hein': did you mean Heun?"),
        ("d", "unknown sampler 'd': did you mean .*DDIM or "),
        ("warp", "unknown sampler 'warp': choose one of these"),
        ("kernel", "unknown sampler 'kernel'"),
        (
            "heun(schedule=karas)",
            r"unknown schedule 'karas': did you mean Karras\? Known: .*Angle",
        ),
        ("heun(schedule=5)", r"5 is not a name or a call: write name or name\(key=value, …\)"),
        ("heun(eta=1)", "Heun takes steps, schedule, process, got 'eta': leave it out"),
        ("ddim(etta=1)", r"DDIM takes eta, .*steps, schedule, process, got 'etta': did you mean eta\?"),
        ("ddim(eta=2)", "DDIM needs 0 <= eta <= 1, got eta=2"),
        ("ddim(eta='a')", "eta is a number, got 'a'"),
        ("dpm(order=2.5)", "order is a whole number, got 2.5"),
        ("predictor(predictor=5)", "5 is not a name or a call"),
        ("heun(schedule=explicitlevels(5))", r"explicitlevels\(5\) has a value of the wrong kind: "),
        ("ddim(eta=heum)", "heum is not a value: write a number, or what the class takes"),
        (
            "ddim(eta=1, eta=0)",
            r"ddim\(eta=1, eta=0\) gives an argument twice: give it once|'ddim.*keyword argument repeated",
        ),
        ("annealedl(transition=heun)", "unknown transition .heun.: choose one of these. Known: GaussianLangevin, "),
        ("predictor(corrector=langvin)", "unknown transition 'langvin': did you mean Langevin?"),
        ("heun(18)", "Heun takes nothing, got 1 values"),
        (
            "heun(steps=18",
            r"cannot read the sampler 'heun\(steps=18' \(.*never closed.*\): write name or name\(key=value, …\)",
        ),
        ("heun)", r"cannot read the sampler 'heun\)' \(unmatched"),
        ("", "cannot read the sampler ''"),
        ("heun steps=3", "cannot read the sampler 'heun steps=3'"),
        ("heun(steps=2.5)", "steps is a whole number, got 2.5"),
        ("heun(steps=True)", "steps is a whole number, got True"),
        ("heun(steps=many)", "many is not a value: write a number"),
        ("heun(schedule=explicitlevels)", r"ExplicitLevels needs values: write explicitlevels\(values=…\)"),
        ("heun(schedule=explicitlevels((1, 2)))", "ExplicitLevels needs two positive levels or more that decrease"),
        ("heun(**a)", "is not a name or a call"),
        ("sample.heun", "sample.heun is not a name or a call"),
        ("__import__('os').system('ls')", "is not a name or a call"),
        ("ddim(eta=__import__('os'))", "is not a value"),
        ("ddim(eta=1+1)", r"1 \+ 1 is not a value: "),
        ("heun(steps=0 if 1 else 2)", "is not a value"),
    ],
)
def test_what_is_refused_says_why(text, message):
    with pytest.raises(ValueError, match=message) as error:
        Sampling.of(text)
    assert "\n" not in str(error.value)


def test_the_old_word_for_a_schedule_still_works_with_a_warning():
    with pytest.warns(DeprecationWarning, match="grid= is now schedule=: write schedule= in"):
        assert Sampling.of("heun(grid=karras(rho=5))") == Sampling(Heun(), None, Karras(5))


def test_what_is_left_out_comes_from_the_default():
    own = Sampling(Heun(), 9, Karras(), EDM())
    assert Sampling().merged(own) == own
    assert Sampling.of("ddim", process="vp").merged(own) == Sampling(DDIM(), 9, Karras(), VP())
    assert Sampling.of("ddim(steps=4)", 7).steps == 4 and Sampling.of("ddim", 7).steps == 7
    assert Sampling(DormandPrince()).merged(own).steps is None and Sampling(DormandPrince()).merged(own).step_count == 1
    ladder = Sampling(schedule=ExplicitLevels((3, 2, 1)))
    assert ladder.merged(own).steps is None and ladder.merged(own).step_count == 2
    assert Sampling(schedule=LogLevel()).merged(ladder.merged(Sampling(Heun(), process=EDM()))).step_count == 2


@pytest.mark.parametrize(
    "ask, error, said",
    [
        (lambda: Sampling(Heun), TypeError, r"sampler must be a Sampler object, got the class Heun: write Heun\(\)"),
        (lambda: Sampling(Heun(), 2.5), TypeError, "steps must be a whole number, got 2.5"),
        (lambda: Sampling(Heun(), True), TypeError, "steps must be a whole number, got True"),
        (lambda: Sampling(schedule="karras"), TypeError, "schedule must be a Schedule object, got 'karras'"),
        (lambda: Sampling.of(3), TypeError, "samples are drawn by a Sampler object, a Sampling or a call"),
        (lambda: Sampling(Heun()).parts(), ValueError, "no noise process is chosen: give process="),
        (lambda: Sampling(process=EDM()).parts(), ValueError, "no sampler is chosen: give sampler="),
        (lambda: Sampling(Heun(), process=EDM()).parts(), ValueError, "the number of steps is missing: give steps="),
        (lambda: Sampling.of("ddim", process="warp"), ValueError, "unknown process 'warp'"),
    ],
)
def test_what_cannot_be_a_sampling_is_refused(ask, error, said):
    with pytest.raises(error, match=said):
        ask()
