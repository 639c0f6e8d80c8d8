import numpy as np
import pytest

import scorefield
from scorefield.fitting import planning
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
    """A model whose schedule was learned although its fit was short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "_LONG", 100)
        return scorefield.fit(x, tmp_path_factory.mktemp("few") / "run", steps=100, network=SMALL)


def test_a_fit_of_vectors_learns_where_its_steps_must_be(model):
    assert model.steps == 11 and not model.sampling.to_be_learned
    found = Run(model.about["run"]).read("fit.json")["few_steps"]
    assert found["distance"] < 0.01 and found["variance"] < 0.03
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


def test_short_fits_and_those_with_context_take_more_steps(x):
    assert scorefield.fit(x, steps=2, network=SMALL).sampler == UniPC(3)
    assert scorefield.fit(x[:, :2], context=x[:, 2:], minutes=0.001, network=SMALL).sampler == UniPC(3)


@pytest.mark.slow
def test_a_schedule_can_be_learned_for_another_sampler(x):
    model = scorefield.fit(x, steps=2, network=SMALL, sampler="heun(steps=4, schedule=learned)")
    assert model.sampler == Heun() and model.steps == 4
    assert isinstance(model.schedule, Learned) and model.schedule.density
    with pytest.raises(ValueError, match="a schedule is learned for a deterministic sampler"):
        scorefield.fit(x, steps=2, sampler="dpm(eta=1, steps=6, schedule=learned)")
