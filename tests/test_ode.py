import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from scorefield.ode import DOPRI5, EULER, HEUN, RK4, Path, State, Tableau, integrate, integrate_adaptive
from scorefield.tensors import expand

TABLEAUX = {"EULER": EULER, "HEUN": HEUN, "RK4": RK4, "DOPRI5": DOPRI5}
DOUBLE = torch.float64


def swing(t: Tensor, y: State, stiffness: Tensor) -> State:
    """A driven van der Pol oscillator, and the integral of its squared position."""
    x, v = y[0].unbind(1)
    return torch.stack([v, stiffness * (1 - x**2) * v - x + torch.sin(t)], 1), x**2


def swing_start(batch: int) -> tuple[State, Tensor]:
    grid = torch.linspace(-1, 2, batch, dtype=DOUBLE)
    return (torch.stack([grid, grid.cos()], 1), torch.zeros(batch, dtype=DOUBLE)), torch.linspace(
        0.5, 5, batch, dtype=DOUBLE
    )


def swing_truth(row: Tensor, stiffness: float, start: float, stop: float) -> np.ndarray:
    def f(t: float, y: np.ndarray) -> list[float]:
        return [y[1], stiffness * (1 - y[0] ** 2) * y[1] - y[0] + math.sin(t), y[0] ** 2]

    return solve_ivp(f, (start, stop), [*row.tolist(), 0.0], method="DOP853", rtol=1e-13, atol=1e-13).y[:, -1]


@pytest.mark.parametrize("name", TABLEAUX)
def test_tableaux_are_consistent(name: str) -> None:
    tableau = TABLEAUX[name]
    assert sum(tableau.weights) == pytest.approx(1, abs=1e-14)
    assert [sum(stage) for stage in tableau.stages] == pytest.approx(list(tableau.nodes), abs=1e-13)
    for power in range(1, tableau.order):
        moment = sum(w * c**power for w, c in zip(tableau.weights, tableau.nodes))
        assert moment == pytest.approx(1 / (power + 1), abs=1e-14)
    if tableau.error is not None:
        assert sum(tableau.error) == pytest.approx(0, abs=1e-14)
    assert tableau.reuses_last == (name == "DOPRI5")


@pytest.mark.parametrize("name", TABLEAUX)
@pytest.mark.parametrize("forward", [True, False])
def test_order_of_convergence_with_fixed_steps(name: str, forward: bool) -> None:
    """y' = y cos t and the integral of its square, against the closed form."""

    def truth(t: float) -> Tensor:
        return torch.tensor([math.exp(math.sin(t)), math.exp(2 * math.sin(t))], dtype=DOUBLE)

    def f(t: Tensor, y: State) -> State:
        return y[0] * torch.cos(t), 2 * torch.cos(t) * y[0][:, 0] ** 2

    start, stop = (0.0, 2.0) if forward else (1.5, 0.0)
    y = (truth(start)[:1, None], truth(start)[1:])
    errors = []
    for steps in (40, 80):
        end = integrate(f, y, torch.linspace(start, stop, steps + 1, dtype=DOUBLE), TABLEAUX[name])
        errors.append(float((torch.cat([a.flatten() for a in end]) - truth(stop)).norm()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(TABLEAUX[name].order, abs=0.25)


def test_times_may_differ_between_samples() -> None:
    stops = torch.tensor([0.5, 2.0], dtype=DOUBLE)
    times = torch.linspace(0, 1, 41, dtype=DOUBLE)[:, None] * stops
    (y,) = integrate(lambda t, y: (-expand(t, y[0]) * y[0],), (torch.ones(2, 3, dtype=DOUBLE),), times)
    torch.testing.assert_close(y[:, 0], torch.exp(-(stops**2) / 2), atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match=r"needs at least two times, got 1"):
        integrate(lambda t, y: y, (y,), times[:1])


@pytest.mark.parametrize(("tolerance", "bound"), [(1e-4, 2e-3), (1e-7, 2e-6), (1e-10, 2e-9)])
@pytest.mark.parametrize("ends", [(0.0, 4.0), (0.2, 0.0)])
def test_adaptive_against_scipy(tolerance: float, bound: float, ends: tuple[float, float]) -> None:
    y, stiffness = swing_start(3)
    (x, area), evaluations = integrate_adaptive(swing, y, *ends, tolerance, tolerance, fixed=(stiffness,))
    for i in range(3):
        truth = swing_truth(y[0][i], float(stiffness[i]), *ends)
        got = [*x[i].tolist(), float(area[i])]
        np.testing.assert_allclose(got, truth, atol=bound, rtol=0)
    assert evaluations.dtype == torch.int64


def test_adaptive_costs_no_more_than_scipy_at_equal_error() -> None:
    y, stiffness = swing_start(1)
    (x, _), evaluations = integrate_adaptive(swing, y, 0.0, 4.0, 1e-8, 1e-8, fixed=(stiffness,))
    truth = swing_truth(y[0][0], float(stiffness[0]), 0, 4)[:2]

    def f(t: float, y: np.ndarray) -> list[float]:
        return [y[1], float(stiffness[0]) * (1 - y[0] ** 2) * y[1] - y[0] + math.sin(t)]

    peer = solve_ivp(f, (0, 4), y[0][0].tolist(), method="RK45", rtol=1e-8, atol=1e-8)
    ratio = np.abs(x[0].numpy() - truth).max() / np.abs(peer.y[:, -1] - truth).max()
    assert int(evaluations[0]) < 1.3 * peer.nfev * max(1.0, ratio**-0.2)


def test_adaptive_steps_are_independent_of_the_batch() -> None:
    y, stiffness = swing_start(7)
    stops = torch.linspace(0, 3, 7, dtype=DOUBLE)
    whole = integrate_adaptive(swing, y, 0.0, stops, fixed=(stiffness,))
    for i in range(7):
        part = tuple(a[i : i + 1] for a in y)
        alone = integrate_adaptive(swing, part, 0.0, stops[i : i + 1], fixed=(stiffness[i : i + 1],))
        for a, b in zip(alone.state, whole.state):
            torch.testing.assert_close(a[0], b[i], atol=1e-12, rtol=0)
        assert alone.evaluations[0] == whole.evaluations[i]
    assert whole.evaluations[0] == 0  # it was there already
    torch.testing.assert_close(whole.state[0][0], y[0][0], atol=0, rtol=0)


def test_finished_samples_are_not_evaluated() -> None:
    rates = torch.tensor([1.0, 5.0, 300.0], dtype=DOUBLE)
    seen = []

    def f(t: Tensor, y: State, rate: Tensor) -> State:
        assert len(t) == len(rate) == len(y[0])
        seen.append(len(t))
        return (-rate * (y[0] - torch.cos(t)),)

    _, evaluations = integrate_adaptive(f, (torch.zeros(3, dtype=DOUBLE),), 0.0, 1.0, fixed=(rates,))
    assert sum(seen) == int(evaluations.sum())
    assert seen[0] == 3 and seen[-1] == 1 and sorted(seen, reverse=True) == seen
    assert len(seen) == int(evaluations.max())


def test_the_last_slope_is_reused() -> None:
    calls = []

    def f(t: Tensor, y: State) -> State:
        calls.append(float(t[0]))
        return (torch.zeros_like(y[0]) + 1,)

    (y,), evaluations = integrate_adaptive(f, (torch.zeros(1, dtype=DOUBLE),), 0.0, 1.0)
    assert float(y) == pytest.approx(1, abs=1e-13)
    assert int(evaluations) == len(calls) == 2 + 6 * ((len(calls) - 2) // 6)


def test_adaptive_heun() -> None:
    (y,), evaluations = integrate_adaptive(
        lambda t, y: (-y[0],), (torch.ones(1, dtype=DOUBLE),), 0.0, 1.0, tableau=HEUN
    )
    assert float(y) == pytest.approx(math.exp(-1), abs=1e-4)
    assert int(evaluations) % 2 == 0


def test_a_measure_replaces_the_tolerance() -> None:
    """Of the area only, with a larger tolerance: the steps are determined by it, not by the other components."""
    y, stiffness = swing_start(2)

    def evaluations(tolerance: float) -> Tensor:
        def measure(rows: Tensor, t: Tensor, y: State, slopes: State, errors: State) -> Tensor:
            return errors[1].abs() / tolerance

        state, count = integrate_adaptive(swing, y, 0.0, 2.0, 1e-8, 1e-8, fixed=(stiffness,), measure=measure)
        truth = [swing_truth(y[0][i], float(stiffness[i]), 0.0, 2.0)[2] for i in range(2)]
        np.testing.assert_allclose(state[1].numpy(), truth, atol=100 * tolerance, rtol=0)
        return count

    assert bool((evaluations(1e-5) < 0.6 * evaluations(1e-8)).all())


def test_the_state_keeps_its_type_and_time_is_double() -> None:
    kinds = []

    def f(t: Tensor, y: State) -> State:
        kinds.append(t.dtype)
        return (-y[0],)

    (y,), _ = integrate_adaptive(f, (torch.ones(2, 3),), 0.0, 1.0)
    assert y.dtype == torch.float32 and set(kinds) == {DOUBLE}


def test_bad_arguments_are_refused() -> None:
    y = (torch.ones(2, dtype=DOUBLE),)
    with pytest.raises(ValueError, match=r"tolerances must be positive, got rtol=0, atol=1e-05"):
        integrate_adaptive(lambda t, y: y, y, 0.0, 1.0, rtol=0)
    with pytest.raises(ValueError, match=r"needs a tableau with an embedded error, such as DOPRI5 or HEUN"):
        integrate_adaptive(lambda t, y: y, y, 0.0, 1.0, tableau=RK4)
    with pytest.raises(
        ValueError, match=r"equal numbers of nodes, stages, weights and error weights, got 1 nodes, 2 stages"
    ):
        Tableau((0,), ((), (1,)), (1,), 1)
    with pytest.raises(ValueError, match=r"stage i of an explicit method has i weights, got \[0, 2\]"):
        Tableau((0, 1), ((), (1, 0)), (0.5, 0.5), 2)


def test_too_few_steps_name_the_sample() -> None:
    rates = torch.tensor([1.0, 1e4], dtype=DOUBLE)
    with pytest.raises(
        RuntimeError,
        match=r"took 50 steps, and 1 samples have not reached the end \(sample 1 is at t = 0\.\d+ of 1\)",
    ):
        integrate_adaptive(
            lambda t, y, a: (-a * (y[0] - torch.cos(t)),),
            (torch.zeros(2, dtype=DOUBLE),),
            0.0,
            1.0,
            fixed=(rates,),
            max_steps=50,
        )


def test_non_finite_slopes_name_the_sample() -> None:
    one = (torch.ones(2, dtype=DOUBLE),)
    with pytest.raises(RuntimeError, match=r"cannot start: the state or the slope of sample 1 at t = 0 is not finite"):
        integrate_adaptive(lambda t, y: (y[0] / torch.tensor([1.0, 0.0]),), one, 0.0, 1.0)
    with pytest.raises(RuntimeError, match=r"is stuck: the step size of sample 0 at t = (0\.\d+|1) went to 0"):
        integrate_adaptive(lambda t, y: (y[0] ** 2,), one, 0.0, 2.0)  # 1 / (1 - t)


def test_a_slope_that_is_finite_only_at_the_start() -> None:
    """A trial step to a non-finite slope is shortened, and never accepted."""
    one = (torch.ones(1, dtype=DOUBLE),)
    (y,), _ = integrate_adaptive(lambda t, y: (torch.where(y[0] > 1.4, math.nan, y[0] ** 2),), one, 0.0, 0.25)
    assert float(y) == pytest.approx(1 / 0.75, abs=1e-4)
    with pytest.raises(RuntimeError, match="is stuck: the step size of sample 0"):
        integrate_adaptive(lambda t, y: (torch.where(t > 0, math.nan, y[0]),), one, 0.0, 1.0)


def test_a_measure_is_called_for_every_step() -> None:
    """Accepted steps have increasing times for each sample, the last one at the end, and the states and slopes there."""
    rates = torch.tensor([1.0, 8.0], dtype=DOUBLE)
    seen: dict[int, list[tuple[float, ...]]] = {0: [], 1: []}

    def measure(rows: Tensor, t: Tensor, y: State, slopes: State, errors: State) -> Tensor:
        for i, row in enumerate(rows.tolist()):
            if abs(errors[0][i]) <= 1e-6:
                seen[row].append((float(t[i]), float(y[0][i]), float(slopes[0][i]), float(errors[0][i])))
        return errors[0].abs() / 1e-6

    def decay(t: Tensor, y: State, a: Tensor) -> State:
        return (-a * y[0],)

    one = torch.ones(2, dtype=DOUBLE)
    (y,), _ = integrate_adaptive(decay, (one,), 0.0, 1.0, 1e-12, 1e-6, fixed=(rates,), measure=measure)
    for i, rate in enumerate(rates.tolist()):
        times = [step[0] for step in seen[i]]
        assert times == sorted(times) and times[-1] == pytest.approx(1) and seen[i][-1][1] == float(y[i])
        assert all(slope == pytest.approx(-rate * value) for _, value, slope, _ in seen[i])
        assert sum(abs(error) for *_, error in seen[i]) > abs(float(y[i]) - math.exp(-rate))


def test_caution_shortens_the_first_step() -> None:
    times: list[float] = []

    def measure(rows: Tensor, t: Tensor, y: State, slopes: State, errors: State) -> Tensor:
        times.append(float(t[0]))
        return errors[0].abs() / 1e-6

    firsts = []
    for caution in (1.0, 10.0):
        times.clear()
        one = torch.ones(1, dtype=DOUBLE)
        integrate_adaptive(lambda t, y: (-y[0],), (one,), 0.0, 1.0, caution=caution, measure=measure)
        firsts.append(times[0])
    assert firsts[1] == pytest.approx(firsts[0] / 10)


@pytest.mark.parametrize("tolerance", [1e-5, 1e-8])
def test_a_path_follows_the_solution_between_steps(tolerance: float) -> None:
    """At 200 times of each of three samples, in any order, with an error like that of the steps."""
    rates, path = torch.tensor([1.0, 6.0, 20.0], dtype=DOUBLE), Path()

    def wave(t: Tensor, y: State, a: Tensor) -> State:
        return (torch.stack([a * y[0][:, 1], -a * y[0][:, 0]], 1),)

    start = torch.tensor([[0.0, 1.0]], dtype=DOUBLE).repeat(3, 1)
    (end,), _ = integrate_adaptive(wave, (start,), 0.5, 2.5, tolerance, tolerance, fixed=(rates,), path=path)
    rows = torch.arange(600) % 3
    t = 0.5 + 2 * torch.rand(600, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    angle = rates[rows] * (t - 0.5)
    true = torch.stack([angle.sin(), angle.cos()], 1)
    assert float((path(rows, t) - true).abs().max()) < 100 * tolerance
    torch.testing.assert_close(path(torch.arange(3), torch.full((3,), 2.5, dtype=DOUBLE)), end)
    torch.testing.assert_close(path(torch.arange(3), torch.full((3,), 0.5, dtype=DOUBLE)), start)


def test_a_path_needs_weights_between_steps() -> None:
    with pytest.raises(ValueError, match="a path needs a tableau with weights between steps, such as DOPRI5"):
        integrate_adaptive(lambda t, y: y, (torch.ones(1, 1, dtype=DOUBLE),), 0.0, 1.0, tableau=HEUN, path=Path())
