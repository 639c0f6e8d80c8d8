import numpy as np
import pytest

import scorefield
from scorefield.measurement import Linear, Measurement
from scorefield.runs import Run
from scorefield.samplers import Heun, UniPC
from scorefield.schedules import DEFAULT_SCHEDULE, Learned
from scorefield.settings import Network

SMALL = Network(widths=(16,))


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal([[2.0, 0.0, 1.0]], [1.0, 2.0, 0.5], (300, 3))


@pytest.fixture(scope="module")
def model(x, tmp_path_factory):
    """A model whose schedule was learned, as it was asked for."""
    run = tmp_path_factory.mktemp("few") / "run"
    return scorefield.fit(x, run, steps=100, network=SMALL, sampler="ipndm(steps=11, schedule=learned)")


def test_a_fit_of_vectors_learns_where_its_steps_must_be(model):
    assert model.steps == 11 and not model.sampling.to_be_learned
    found = Run(model.about["run"]).read("fit.json")["few_steps"]
    assert found["distance"] < 0.01 and found["variance"] < 0.04
    read = scorefield.load(model.about["run"])
    assert read.sampling == model.sampling and np.array_equal(read.sample(5), model.sample(5))
    converged = model.sample(300, sampler="unipc(steps=48)")
    for process in ("edm", "vp", "flow"):
        away = (model.sample(300, process=process) - converged) / converged.std(0)
        assert np.sqrt((away**2).mean()) < 0.05
    assert model.with_sampling("heun").sampling.steps == 32


def test_the_posteriors_of_such_a_model_are_drawn_as_before(model):
    given = model.observe(Measurement(Linear(np.eye(3)[:1]), np.array([2.0]), 0.1), "momentmatching")
    assert (given.sampler, given.steps, given.schedule) == (UniPC(3), 32, DEFAULT_SCHEDULE)


def test_a_schedule_is_learned_where_it_is_asked_for_alone(x):
    assert scorefield.fit(x, steps=2, network=SMALL).sampler == UniPC(3)
    with pytest.raises(ValueError, match="a schedule is learned for a deterministic sampler"):
        scorefield.fit(x[:, :2], context=x[:, 2:], steps=2, network=SMALL, sampler="ipndm(steps=11, schedule=learned)")


@pytest.mark.slow
def test_a_schedule_can_be_learned_for_another_sampler(x):
    model = scorefield.fit(x, steps=2, network=SMALL, sampler="heun(steps=4, schedule=learned)")
    assert model.sampler == Heun() and model.steps == 4
    assert isinstance(model.schedule, Learned) and model.schedule.density
    with pytest.raises(ValueError, match="a schedule is learned for a deterministic sampler"):
        scorefield.fit(x, steps=2, sampler="dpm(eta=1, steps=6, schedule=learned)")
