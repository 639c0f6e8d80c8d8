"""How samplers are written: what is read, what is refused, and that a way is read as it is told."""

from __future__ import annotations

import math

import pytest

import properties as laws
from scorefield.cli.samplers import way
from scorefield.comparison import Way
from scorefield.mcmc import GaussianLangevin, Langevin
from scorefield.samplers import (
    DDIM,
    DPM,
    AnnealedLangevin,
    DormandPrince,
    ExponentialAdams,
    Heun,
    PredictorCorrector,
    Sampler,
)
from scorefield.schedules import DDPM, Angle, ExplicitLevels, Karras, LogLevel, UniformTime


@pytest.mark.parametrize(
    "text, meant",
    [
        ("heun", Way(Heun())),
        ("Heun()", Way(Heun())),
        (" HEUN( steps = 18 ) ", Way(Heun(), 18)),
        ("adams", Way(ExponentialAdams())),
        ("ddim(eta=1)", Way(DDIM(eta=1.0))),
        ("ddim(1.0)", Way(DDIM(eta=1.0))),
        ("dpm(order=3, grid=loglevel)", Way(DPM(order=3), None, LogLevel())),
        ("dpm(3, steps=9, grid=karras(5))", Way(DPM(order=3), 9, Karras(5))),
        ("heun(grid=explicitlevels((50, 10, 1, 0.1)))", Way(Heun(), None, ExplicitLevels((50, 10, 1, 0.1)))),
        ("heun(grid=explicitlevels(values=[50, 1e-1]))", Way(Heun(), None, ExplicitLevels((50, 0.1)))),
        ("heun(grid=ddpm(count=200), steps=20)", Way(Heun(), 20, DDPM(200))),
        ("dormand(rtol=1e-3)", Way(DormandPrince(rtol=1e-3))),
        (
            "predictorcorrector(predictor=dpm(order=3), corrector=langevin(ratio=0.1), steps=9)",
            Way(PredictorCorrector(DPM(order=3), Langevin(0.1)), 9),
        ),
        ("annealedlangevin(gauss, 2)", Way(AnnealedLangevin(GaussianLangevin(), 2))),
    ],
)
def test_what_is_written_is_what_is_meant(text, meant):
    assert way(text) == meant


def test_steps_are_those_of_the_call_and_then_of_the_option():
    assert way("heun", 7) == Way(Heun(), 7)
    assert way("heun(steps=3)", 7) == Way(Heun(), 3)
    assert way("heun(grid=karras)", 7) == Way(Heun(), 7, Karras())
    assert way("heun(grid=explicitlevels((3, 2, 1)))", 7) == Way(
        Heun(), None, ExplicitLevels((3, 2, 1))
    )  # which knows its number


SAMPLERS = laws.instances(Sampler, "scorefield.samplers")


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
def test_every_sampler_is_read_as_it_is_told(sampler):
    for grid in (None, UniformTime(), Karras(5.5), ExplicitLevels((3.0, 0.25))):
        for steps in (None, 12):
            told = str(Way(sampler, steps, grid))
            assert way(told) == Way(sampler, steps, grid), told


GRIDS = [Angle(0.3), DDPM(200, 1e-4, 0.02), ExplicitLevels((50.0, 1e-5)), Karras(1e20), LogLevel(), UniformTime()]


@pytest.mark.parametrize("grid", GRIDS, ids=repr)
def test_every_grid_is_read_as_it_is_told(grid):
    assert way(str(Way(Heun(), 5, grid))) == Way(Heun(), 5, grid)


def test_constants_have_names():
    assert way("dormandprince(atol=inf)").sampler.atol == math.inf


@pytest.mark.parametrize(
    "text, told",
    [
        ("hein", "there is no sampler 'hein' among .*DDIM, .*: did you mean Heun?"),
        ("d", "there is no sampler 'd' among .*: did you mean .*DDIM or "),
        ("warp", "there is no sampler 'warp' among .*: choose one of these"),
        ("kernel", "there is no sampler 'kernel' among"),
        (
            "heun(grid=karas)",
            "there is no grid 'karas' among Angle, .*: did you mean Karras?|among .*: did you mean Karras?",
        ),
        ("heun(grid=5)", r"5 is not a name or a call: write name or name\(key=value, …\)"),
        ("heun(eta=1)", "Heun takes steps, grid, got 'eta': leave it out"),
        ("ddim(etta=1)", r"DDIM takes eta, .*steps, grid, got 'etta': did you mean eta\?"),
        ("ddim(eta=2)", "DDIM needs 0 <= eta <= 1, got eta=2"),
        ("ddim(eta='a')", "eta is a number, got 'a'"),
        ("dpm(order=2.5)", "order is a whole number, got 2.5"),
        ("predictor(predictor=5)", "5 is not a name or a call"),
        ("heun(grid=explicitlevels(5))", r"explicitlevels\(5\) has a value of the wrong kind: "),
        ("ddim(eta=heum)", "heum is no value: write a number, or what the sampler takes"),
        (
            "ddim(eta=1, eta=0)",
            r"ddim\(eta=1, eta=0\) says something twice: say it once|'ddim.*keyword argument repeated",
        ),
        ("annealedl(transition=heun)", "there is no transition 'heun' among GaussianLangevin, Hamiltonian, Langevin, "),
        ("predictor(corrector=langvin)", "no transition 'langvin' among .*: did you mean Langevin?"),
        ("heun(18)", "Heun takes nothing, got 1 values"),
        ("heun(steps=18", r"'heun\(steps=18' is no sampler \(.*never closed.*\): write name or name\(key=value, …\)"),
        ("heun)", r"'heun\)' is no sampler \(unmatched"),
        ("", "'' is no sampler"),
        ("heun steps=3", "'heun steps=3' is no sampler"),
        ("heun(steps=2.5)", "steps is a whole number, got 2.5"),
        ("heun(steps=True)", "steps is a whole number, got True"),
        ("heun(steps=many)", "many is no value: write a number"),
        ("heun(grid=explicitlevels)", r"ExplicitLevels needs values: write explicitlevels\(values=…\)"),
        ("heun(grid=explicitlevels((1, 2)))", "ExplicitLevels needs two positive levels or more that decrease"),
        ("heun(**a)", "is not a name or a call"),
        ("sample.heun", "sample.heun is not a name or a call"),
        ("__import__('os').system('ls')", "is not a name or a call"),
        ("ddim(eta=__import__('os'))", "is no value"),
        ("ddim(eta=1+1)", r"1 \+ 1 is no value: "),
        ("heun(steps=0 if 1 else 2)", "is no value"),
    ],
)
def test_what_is_refused_says_why(text, told):
    with pytest.raises(ValueError, match=told) as error:
        way(text)
    assert "\n" not in str(error.value)
