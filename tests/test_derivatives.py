import pytest
import torch
from torch import Tensor, nn

import scorefield.derivatives as derivatives
from scorefield.derivatives import divergence, pulled


def field(size: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(size, 16), nn.SiLU(), nn.Linear(16, size)).double()


class Sequential(torch.autograd.Function):
    """x³, whose derivative reads a number from a tensor and so cannot be computed for several cotangents at once."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, v: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * v if float(v.sum()) else torch.zeros_like(v)


@pytest.mark.parametrize("most", [1, 40, 1 << 18])
def test_cotangents_are_pulled_back_at_once_as_one_by_one(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(derivatives, "_AT_ONCE", most)
    x = torch.linspace(-1, 1, 15, dtype=torch.float64).reshape(3, 5).requires_grad_()
    value, v = field(5)(x), torch.randn(7, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    single = [torch.autograd.grad(value, x, each, retain_graph=True)[0] for each in v]
    torch.testing.assert_close(torch.stack(list(pulled(value, x, v))), torch.stack(single))


def test_what_has_no_batched_derivative_is_pulled_back_one_by_one() -> None:
    x = torch.arange(-6.0, 6.0, dtype=torch.float64).reshape(2, 6)
    found = divergence(Sequential.apply, x)
    torch.testing.assert_close(found.divergence, 3 * x.square().sum(1))


def test_the_divergence_is_the_trace_of_the_jacobian() -> None:
    net, x = field(6), torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    found = [torch.autograd.functional.jacobian(net, row).trace() for row in x]
    with torch.no_grad():
        torch.testing.assert_close(divergence(net, x).divergence, torch.stack(found))
        probes = torch.eye(6, dtype=torch.float64).expand(4, 6, 6)  # in place of random ones: their sum is exact
        torch.testing.assert_close(divergence(net, x, probes).divergence.sum(1), torch.stack(found))
    torch.testing.assert_close(divergence(net, x).divergence, torch.stack(found))  # with gradients
