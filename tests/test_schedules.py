from __future__ import annotations

import math

import pytest
import torch

import properties
from scorefield.processes import EDM, VE, VP, Process
from scorefield.schedules import DDPM, Angle, ExplicitLevels, Karras, Learned, LogLevel, Schedule, UniformTime

D = torch.float64
PROCESSES = properties.instances(Process, "scorefield.processes")
GRIDS = [
    UniformTime(),
    Karras(),
    Karras(3.0),
    LogLevel(),
    LogLevel(0.02),
    Angle(),
    Angle(0.5),
    DDPM(),
    Learned((0.0, 1.0, -0.5)),
]
every_process = pytest.mark.parametrize("process", PROCESSES, ids=properties.label)


@every_process
@pytest.mark.parametrize("grid", GRIDS, ids=properties.label)
def test_times_lead_from_noise_to_data(process, grid):
    for steps in (1, 2, 24):
        times = grid.times(process, steps)
        assert times.shape == (steps + 1,) and times.dtype == D
        assert bool((times.diff() < 0).all()) and float(times[-1]) >= 0 and float(times[0]) <= 1
        if not isinstance(grid, DDPM):  # whose table has ends of its own
            torch.testing.assert_close(times[[0, -1]], torch.tensor([1.0, 0.0], dtype=D), rtol=0, atol=1e-9)


@every_process
@pytest.mark.parametrize(
    ("grid", "uniform"),
    [
        (Karras(5.0), lambda level: level ** (1 / 5)),
        (LogLevel(), torch.log),
        (LogLevel(0.3), lambda level: torch.log(level + 0.3)),
        (Angle(0.5), lambda level: torch.atan(level / 0.5)),
    ],
    ids=["Karras", "LogLevel", "shifted", "Angle"],
)
def test_what_is_uniform(process, grid, uniform):
    """On every process, to the digits that its clock carries."""
    steps = uniform(process.level(grid.times(process, 16))).diff()
    torch.testing.assert_close(steps, steps.mean().expand(16), rtol=1e-6, atol=0)


def test_the_clock_of_edm_is_the_grid_of_karras():
    torch.testing.assert_close(Karras(7.0).times(EDM(), 17), UniformTime().times(EDM(), 17), rtol=0, atol=1e-12)
    torch.testing.assert_close(LogLevel().times(VE(), 17), UniformTime().times(VE(), 17), rtol=0, atol=1e-12)
    sigma = EDM().sigma(UniformTime().times(EDM(), 17))  # Karras et al. (2022), Table 1, n = 18
    expected = [(80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(18)]
    torch.testing.assert_close(sigma, torch.tensor(expected, dtype=D), rtol=1e-12, atol=0)


def test_the_table_of_ddpm():
    """ᾱ_1000 = 4.04e-5 (computed from the published β), level² = 1/ᾱ - 1; a wide process sees the whole table."""
    levels = DDPM().levels(EDM(1e-4, 1e4), 1000)
    assert float(1 / (1 + levels[0] ** 2)) == pytest.approx(4.04e-5, rel=2e-3)
    assert float(levels[-1]) == pytest.approx(math.sqrt(1e-4 / (1 - 1e-4)), rel=1e-12)
    beta = 1 - (1 + levels[1:] ** 2) / (1 + levels[:-1] ** 2)
    torch.testing.assert_close(beta.flip(0), torch.linspace(1e-4, 0.02, 1000, dtype=D)[1:], rtol=1e-9, atol=0)
    some = DDPM().levels(EDM(1e-4, 1e4), 11)
    assert torch.isin(some, levels).all() and some[0] == levels[0] and some[-1] == levels[-1]
    within = DDPM().levels(EDM(0.1, 10.0), 5)
    assert float(within[0]) <= 10 and float(within[-1]) >= 0.1


def test_a_table_has_so_many_entries():
    with pytest.raises(ValueError, match=r"10 of the 10 levels .* not enough for 10 steps: take at most 9$"):
        DDPM(10, 0.01, 0.5).times(EDM(1e-3, 100.0), 10)
    assert len(DDPM(10, 0.01, 0.5).times(EDM(1e-3, 100.0), 9)) == 10


def test_given_levels():
    grid = ExplicitLevels((5, 1.0, 0.1))
    for process in PROCESSES:
        torch.testing.assert_close(process.level(grid.times(process, None)), torch.tensor([5, 1.0, 0.1], dtype=D))
    assert grid.steps == 2 and all(other.steps is None for other in GRIDS)
    assert torch.equal(grid.times(VE(), 2), grid.times(VE(), None))
    with pytest.raises(ValueError, match="3 levels make 2 steps, got steps=5: leave steps out"):
        grid.times(VE(), 5)
    with pytest.raises(ValueError, match=r"VE runs through levels 4 to 0.01, got 5 to 0.1: choose its levels wider"):
        grid.times(VE(0.01, 4.0), None)


@pytest.mark.parametrize("values", [(1.0,), (1.0, 2.0), (1.0, 1.0), (1.0, 0.0), (math.inf, 1.0), (1.0, math.nan)])
def test_levels_that_are_none(values):
    with pytest.raises(ValueError, match="ExplicitLevels needs two positive levels or more that decrease, got"):
        ExplicitLevels(values)


@pytest.mark.parametrize("grid", GRIDS, ids=properties.label)
def test_steps(grid):
    with pytest.raises(ValueError, match="a sampler needs at least 1 step, got steps=0"):
        grid.times(VP(), 0)
    with pytest.raises(ValueError, match="the number of steps is missing"):
        grid.times(VP(), None)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Karras(0), "Karras needs rho > 0, got rho=0"),
        (lambda: LogLevel(-1.0), "LogLevel needs 0 <= shift < inf, got shift=-1"),
        (lambda: LogLevel(fallback=0), "LogLevel needs at least 1 step for other samplers, got fallback=0"),
        (lambda: Angle(-1), "Angle needs scale > 0, got scale=-1"),
        (lambda: DDPM(1), "DDPM needs count >= 2 and 0 < beta_min < beta_max < 1, got count=1"),
        (lambda: DDPM(10, 0.5, 0.1), "DDPM needs count"),
    ],
)
def test_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("grid", [*GRIDS, ExplicitLevels((5.0, 1.0))], ids=properties.label)
def test_grids_are_values(grid):
    assert isinstance(grid, Schedule)
    properties.is_a_frozen_value(grid)
