import pytest
import torch
from torch import Tensor

from scorefield.likelihood.probes import ORDER, probes, standard_error, trace
from scorefield.rng import Samples

ONE = torch.ones(())


def products(matrix: Tensor, z: Tensor) -> Tensor:
    return torch.einsum("bki,ij,bkj->bk", z, matrix, z)


def neighbour_matrix(side: int) -> Tensor:
    """A matrix that couples neighbouring pixels of a square."""
    at = torch.cartesian_prod(torch.arange(side), torch.arange(side)).double()
    return torch.exp(-(torch.cdist(at, at) ** 2) / 2)


@pytest.mark.parametrize("shape", [(40,), (1, 9, 9), (3, 8, 5), (2, 4, 4, 4)])
@pytest.mark.parametrize("count", [2, 3, 8, 16, 24, 40])
def test_probes_are_signs_and_unbiased(shape: tuple[int, ...], count: int) -> None:
    size, number = torch.Size(shape).numel(), 400
    z = probes(count, shape, Samples(0, count=number), torch.arange(number))
    assert z.shape == (number, count, size) and bool((z.abs() == 1).all())
    matrix = Samples(1, count=size).normal((size, size), torch.float64)
    off = products(matrix, z).mean(1) - matrix.trace()
    assert abs(float(off.mean())) < 4.5 * float(off.std()) / number**0.5


def test_as_many_probes_as_coordinates_are_exact() -> None:
    matrix = Samples(1, count=16).normal((16, 16), torch.float64)
    for shape in ((16,), (1, 4, 4)):
        found = products(matrix, probes(16, shape, Samples(0, count=5), torch.arange(5))).mean(1)
        if len(shape) == 1:
            torch.testing.assert_close(found, matrix.trace().expand(5))
            assert (
                standard_error(products(matrix, probes(16, shape, Samples(0, count=5), torch.arange(5))), 16).max() == 0
            )


def test_the_standard_error_is_calibrated_for_vectors() -> None:
    """For a matrix without structure, with fewer and more probes than the order of the Hadamard matrix."""
    size, number = 50, 2000
    matrix = Samples(1, count=size).normal((size, size), torch.float64)
    for count in (4, 16, 48):
        values = products(matrix, probes(count, (size,), Samples(0, count=number), torch.arange(number)))
        spread = float((values.mean(1) - matrix.trace()).square().mean().sqrt())
        assert float(standard_error(values, size).square().mean().sqrt()) == pytest.approx(spread, rel=0.1)


def test_probes_have_less_variance_on_fields_than_independent_ones() -> None:
    """Neighbouring coordinates cancel; the standard error is overstated, not understated."""
    side, number = 16, 500
    matrix = neighbour_matrix(side)
    values = products(matrix, probes(ORDER, (1, side, side), Samples(0, count=number), torch.arange(number)))
    spread = float((values.mean(1) - matrix.trace()).square().mean().sqrt())
    pairs = 2 * (matrix.square().sum() - matrix.diagonal().square().sum())
    assert spread < 0.2 * float((pairs / ORDER).sqrt())
    assert float(standard_error(values, side**2).square().mean().sqrt()) > spread


def test_probes_depend_on_the_sample_alone() -> None:
    for shape in ((40,), (1, 6, 6)):
        whole = probes(20, shape, Samples(4, count=9), torch.arange(9))
        assert torch.equal(whole[[5, 2]], probes(20, shape, Samples(4, count=9), torch.tensor([5, 2])))
        assert torch.equal(whole[5:6], probes(20, shape, Samples(4, start=5, count=1), torch.arange(1)))
        assert not torch.equal(whole[5], whole[2])


def test_traces_with_diagonal_factors() -> None:
    """tr L (∂v/∂w) R: exact, and by the mean over all signs."""
    w = Samples(0, count=3).normal((3, 2), torch.float64).requires_grad_()
    matrix = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    v = (w @ matrix.T) ** 2 / 2
    left, right = torch.tensor([2.0, 3.0]).double(), torch.tensor([5.0, 7.0]).double()
    exact = ((w @ matrix.T) * matrix.diagonal() * left * right).sum(1).detach()
    torch.testing.assert_close(trace(v, w, None, left, right)[:, 0], exact)
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64).expand(3, 2, 2)
    torch.testing.assert_close(trace(v, w, signs, left, right).mean(1), exact)
