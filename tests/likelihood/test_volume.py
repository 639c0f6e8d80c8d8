import math

import pytest
import torch
from torch import Tensor

from scorefield.likelihood.volume import Panels, integrate_panels, panels_of
from scorefield.ode import Path, integrate_adaptive

DOUBLE = torch.float64


def panels(*each: tuple[int, float, float]) -> Panels:
    rows, begin, end = zip(*each)
    return Panels(torch.tensor(rows), torch.tensor(begin, dtype=DOUBLE), torch.tensor(end, dtype=DOUBLE))


def test_polynomials_up_to_degree_19_are_exact() -> None:
    """Each sample has its own power, and the integral over [0, 1] in two panels is 1/(power + 1)."""
    powers = torch.tensor([0, 1, 7, 19])
    parts = [(row, begin, begin + 0.5) for row in range(4) for begin in (0.0, 0.5)]
    found = integrate_panels(lambda rows, t: (t ** powers[rows])[:, None], panels(*parts), 4, 1e-3, 1000)
    torch.testing.assert_close(found.value[:, 0], 1 / (powers + 1).double(), atol=1e-15, rtol=1e-13)
    assert found.evaluations.tolist() == [20] * 4


@pytest.mark.parametrize("allowed", [1e-3, 1e-6, 1e-9])
def test_errors_are_estimated_and_panels_halved_only_where_they_must_be(allowed: float) -> None:
    """Lorentzians of several widths: narrow ones take more panels, and no error is above its estimate and a half."""
    widths = torch.tensor([2.0, 0.3, 0.03, 0.003], dtype=DOUBLE)

    def peak(rows: Tensor, t: Tensor) -> Tensor:
        w = widths[rows]
        return (w / ((t - 0.4) ** 2 + w**2))[:, None]

    found = integrate_panels(peak, panels(*((row, 0.0, 1.0) for row in range(4))), 4, allowed, 7)
    true = torch.atan(0.6 / widths) + torch.atan(0.4 / widths)
    error = (found.value[:, 0] - true).abs()
    assert bool((error <= 1.5 * found.error + 1e-13).all())
    counts = found.evaluations.tolist()
    assert counts == sorted(counts) and counts[0] == 10 and counts[-1] > counts[0]
    assert bool((found.error <= allowed * found.evaluations / 10).all())


def test_a_jump_is_found() -> None:
    found = integrate_panels(lambda rows, t: (t > 1 / 3).double()[:, None], panels((0, 0.0, 1.0)), 1, 1e-6, 1000)
    assert float(found.value) == pytest.approx(2 / 3, abs=1e-5) and int(found.evaluations) < 1000


def test_several_integrands_at_once() -> None:
    """As many as there are probes; the error is that of their mean."""
    found = integrate_panels(
        lambda rows, t: torch.stack([t.exp(), -t.exp(), t.cos()], 1),
        panels((1, 0.0, 1.0), (0, 0.0, 2.0)),
        2,
        1e-6,
        1000,
    )
    expected = [[math.exp(end) - 1, 1 - math.exp(end), math.sin(end)] for end in (2.0, 1.0)]
    torch.testing.assert_close(found.value, torch.tensor(expected, dtype=DOUBLE), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("rounding", "redone"), [(1e-9, False), (1e-3, True), (math.nan, True)])
def test_a_rough_integrand_is_taken_where_its_rounding_is_allowed(rounding: float, redone: bool) -> None:
    """It is evaluated at all nodes, the other at one node of each panel; where both differ by too much, at all of them."""
    exact_times: list[float] = []

    def exact(rows: Tensor, t: Tensor) -> Tensor:
        exact_times.extend(t.tolist())
        return t.exp()[:, None]

    def rough(rows: Tensor, t: Tensor) -> Tensor:
        return (t.exp() + torch.where(rows == 1, rounding, 1e-12) * torch.cos(1e6 * t))[:, None]

    parts = panels((0, 0.0, 1.0), (1, 0.0, 1.0))
    found = integrate_panels(exact, parts, 2, 1e-6, 1000, rough)
    assert len(exact_times) == 2 + 10 * redone
    error = (found.value[:, 0] - (math.e - 1)).abs()
    assert bool((error < 1e-8).all()) and bool((found.error < 1e-6).all())
    assert redone or 1e-11 < float(found.error[1]) < 1e-8


def test_what_is_not_finite_is_an_error() -> None:
    def broken(rows: Tensor, t: Tensor) -> Tensor:
        return torch.where(t > 0.7, math.nan, t)[:, None]

    with pytest.raises(RuntimeError, match=r"the divergence of sample 1 near 0\.7 is not finite or not smooth"):
        integrate_panels(broken, panels((0, 0.0, 0.5), (1, 0.5, 1.0)), 2, 1e-6, 1000)


def test_panels_are_a_few_steps_each_and_cover_the_path() -> None:
    rates, path = torch.tensor([0.5, 8.0, 60.0], dtype=DOUBLE), Path()
    one = torch.ones(3, 1, dtype=DOUBLE)
    integrate_adaptive(lambda t, y, a: (-a[:, None] * y[0],), (one,), 0.25, 2.0, 1e-7, 1e-7, fixed=(rates,), path=path)
    found, steps = panels_of(path), path.joined()[0]
    for row in range(3):
        mine = found.rows == row
        assert int(mine.sum()) == -(-int((steps == row).sum()) // 3)
        begin, end = found.begin[mine], found.end[mine]
        assert float(begin[0]) == 0.25 and float(end[-1]) == pytest.approx(2)
        torch.testing.assert_close(begin[1:], end[:-1])
