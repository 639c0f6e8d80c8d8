from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from scorefield.nn import MLP
from scorefield.training import Flat, Optimizer
from scorefield.training.optimizer import orthogonalize


def gradient(flat: Flat, step: int) -> None:
    flat.gradients.copy_(torch.randn(len(flat.values), generator=torch.Generator().manual_seed(step)))


def test_without_matrices_it_is_adamw():
    """Step by step, with rates that change, to the last bits."""
    torch.manual_seed(0)
    network = MLP(3, 32, 2)
    flat = Flat(network)
    optimizer = Optimizer(flat, 3e-3, 0.0)
    twin = nn.Parameter(flat.values.clone())
    reference = torch.optim.AdamW([twin], 3e-3, betas=(0.9, 0.99), weight_decay=0.0)
    for step in range(20):
        gradient(flat, step)
        twin.grad = flat.gradients.clone()
        factor = math.cos(step / 15)
        reference.param_groups[0]["lr"] = 3e-3 * factor
        optimizer.step(factor)
        reference.step()
        torch.testing.assert_close(flat.values, twin.detach(), rtol=1e-6, atol=1e-7)


def test_with_matrices_the_rest_is_adamw():
    torch.manual_seed(0)
    both, alone = Flat(MLP(3, 32, 2)), Flat(MLP(3, 32, 2))
    alone.read(both.values)
    matrices, none = Optimizer(both, 3e-3, 0.02), Optimizer(alone, 3e-3, 0.0)
    for step in range(3):
        for flat, optimizer in ((both, matrices), (alone, none)):
            gradient(flat, step)
            optimizer.step(0.7)
    boundary = both.boundary
    torch.testing.assert_close(both.values[:boundary], alone.values[:boundary], rtol=1e-6, atol=1e-7)
    assert not torch.allclose(both.values[boundary:], alone.values[boundary:])


@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (16, 64), (64, 16), (48, 48 * 9)])
def test_singular_values_become_one_and_vectors_stay(rows, columns):
    """Within the band of the polynomial, for singular values across two decades."""
    generator = torch.Generator().manual_seed(0)
    matrices = torch.randn(3, rows, columns, generator=generator, dtype=torch.float64)
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    size = left.shape[-1]
    matrices = left @ torch.diag(torch.logspace(0, -2, size, dtype=torch.float64)) @ right * 1e3
    found = orthogonalize(matrices)
    assert found.dtype == torch.float64
    # in the basis of the singular vectors it is diagonal, up to the rounding of bfloat16
    inner = left.mT @ found @ right.mT
    values = inner.diagonal(dim1=-2, dim2=-1)
    assert bool((values > 0.6).all() & (values < 1.3).all())
    assert float((inner - torch.diag_embed(values)).abs().max()) < 0.05
    outside = found - left @ (left.mT @ found @ right.mT) @ right
    assert float(outside.abs().max()) < 0.05
    assert not orthogonalize(torch.zeros(1, 16, 16)).any()


@pytest.mark.parametrize("shape", [(16, 64), (64, 16), (48, 432), (40, 80)])
@pytest.mark.parametrize("decades", [1, 3, 6])
def test_products_give_the_singular_values_of_the_iteration(shape, decades):
    """Those of the polynomial itself, also of values that are lost in the square of the matrix."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(1, *shape, generator=generator, dtype=torch.float64)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    values = torch.logspace(0, -decades, left.shape[-1], dtype=torch.float64)
    found = left.mT @ orthogonalize(left @ torch.diag(values) @ right, dtype=torch.float32) @ right.mT
    expected = values / values.norm()
    for _ in range(5):
        expected = 3.4445 * expected - 4.7750 * expected**3 + 2.0315 * expected**5
    assert float((found - torch.diag_embed(expected)).abs().max()) < 2e-3


@pytest.mark.parametrize("shape", [(96, 864), (768, 128)])
@pytest.mark.parametrize("rank", [1, 4, 96])
def test_rounded_products_follow_the_iteration_and_nothing_blows_up(shape, rank):
    """Large matrices in bfloat16, of low rank, too, whose rounded square has negative eigenvalues.

    Rounding the first product moves eigenvalues by 2⁻⁹ of the largest, and so singular values that are small against it.
    """
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(1, *shape, generator=generator, dtype=torch.float64)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    values = torch.zeros(left.shape[-1], dtype=torch.float64)
    values[:rank] = torch.logspace(0, -1, rank)
    found = orthogonalize(left @ torch.diag(values) @ right)
    expected = values / values.norm()
    for _ in range(5):
        expected = 3.4445 * expected - 4.7750 * expected**3 + 2.0315 * expected**5
    inner = left.mT @ found @ right.mT
    assert float((inner.diagonal(dim1=-2, dim2=-1)[0] - expected).abs()[:rank].max()) < 0.1
    assert float(torch.linalg.matrix_norm(found, 2)) < 1.3
    below = found - left[..., :rank] @ (left[..., :rank].mT @ found @ right[:, :rank].mT) @ right[:, :rank]
    assert float(torch.linalg.matrix_norm(below, 2)) < 0.5  # 3.4445⁵ = 485 times the rounding


def test_float32_is_the_iteration_too():
    """Of matrices that are not wide, up to the rounding of bfloat16."""
    matrices = torch.randn(3, 32, 40, generator=torch.Generator().manual_seed(0))
    exact, rounded = orthogonalize(matrices, dtype=torch.float32), orthogonalize(matrices)
    assert 0 < float((exact - rounded).norm() / exact.norm()) < 0.06


def polar(matrix: Tensor) -> Tensor:
    left, _, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    return left @ right


@pytest.mark.parametrize("shape", [(32, 32), (64, 16), (16, 64), (16, 24, 3, 3)])
def test_a_step_of_muon_goes_along_the_polar_factor(shape):
    """The first update is -rate √max(1, m/n) U Vᵀ, rows and singular values evened out but for some tens of percent."""
    flat = Flat(nn.ParameterList([nn.Parameter(torch.zeros(shape)), nn.Parameter(torch.zeros(3))]))
    rows, columns = shape[0], math.prod(shape[1:])
    gradient(flat, 0)
    ideal = -0.02 * 0.5 * math.sqrt(max(1, rows / columns)) * polar(flat.gradients[3:].view(rows, columns))
    Optimizer(flat, 1e-3, 0.02).step(0.5)
    update = flat.values[3:].view(rows, columns).double()
    cosine = float((update * ideal).sum() / update.norm() / ideal.norm())
    assert cosine > 0.95
    assert 0.7 < float(update.norm() / ideal.norm()) < 1.25
    sizes = update.norm(dim=1)
    assert float(sizes.max() / sizes.min()) < 1.1  # each row learns as fast as any other


def test_momentum_outlasts_noise():
    """Gradients that flip are averaged away, one that stays is kept."""
    flat = Flat(nn.ParameterList([nn.Parameter(torch.zeros(16, 16)), nn.Parameter(torch.zeros(1))]))
    optimizer = Optimizer(flat, 1e-3, 0.1)
    generator = torch.Generator().manual_seed(0)
    steady = torch.randn(16, 16, generator=generator)
    for _ in range(60):
        noise = 2 * torch.randn(16, 16, generator=generator)
        flat.gradients[1:] = (steady + noise).flatten()
        optimizer.step(1.0)
    moved, ideal = flat.values[1:].double(), -polar(steady).flatten()
    assert float(moved @ ideal / moved.norm() / ideal.norm()) > 0.8


@pytest.mark.parametrize("matrix_rate", [0.0, 0.02])
@pytest.mark.parametrize("after", [0, 1, 5])
def test_it_goes_on_to_the_same_bits(matrix_rate, after):
    torch.manual_seed(0)
    network = nn.ModuleDict({"mlp": MLP(3, 32, 2), "conv": nn.Conv2d(16, 32, 3)})
    flat = Flat(network)
    optimizer = Optimizer(flat, 3e-3, matrix_rate)
    begin = flat.values.clone()
    for step in range(8):
        if step == after:
            kept, values = {k: v.clone() for k, v in optimizer.state().items()}, flat.values.clone()
        gradient(flat, step)
        optimizer.step(0.9)
    end = flat.values.clone()
    flat.read(begin)
    again = Optimizer(flat, 3e-3, matrix_rate)
    again.load(kept)
    flat.read(values)
    for step in range(after, 8):
        gradient(flat, step)
        again.step(0.9)
    assert torch.equal(flat.values, end)


def test_networks_of_matrices_alone():
    flat = Flat(nn.Linear(16, 16, bias=False))
    optimizer = Optimizer(flat, 1e-3, 0.02)
    before = flat.values.clone()
    gradient(flat, 0)
    optimizer.step(1.0)
    assert not torch.equal(flat.values, before)
    Optimizer(flat, 1e-3, 0.02).load(optimizer.state())


@pytest.mark.parametrize("muon", [0.0, 0.02])
def test_numbers_have_the_same_bits_wherever_they_are(muon):
    """AdamW computes several numbers at once and the last ones one by one, with other roundings, unless there is room for more.

    A layer's numbers are updated as they are next to 1 to 19 others, which shifts where the last ones lie.
    """
    found = []
    for others in range(20):
        generator = torch.Generator().manual_seed(0)
        layers = [nn.Linear(5, 7), nn.Linear(32, 32, bias=False)]
        layers += [nn.Linear(1, others, bias=False)] if others else []
        module = nn.Sequential(*layers[2:], *layers[:2])
        for layer in layers:
            for p in layer.parameters():
                p.data = torch.randn(p.shape, generator=generator) * 1e-3
        flat = Flat(module)
        optimizer = Optimizer(flat, 3e-3, muon, dtype=torch.float32)
        for step in range(5):
            generator = torch.Generator().manual_seed(step)
            for layer in layers[:2]:
                for p in layer.parameters():
                    p.grad.copy_(torch.randn(p.shape, generator=generator) * 1e-3)
            optimizer.step(1.0)
        found.append(torch.cat([p.detach().flatten() for layer in layers[:2] for p in layer.parameters()]))
    assert all(torch.equal(each, found[0]) for each in found)
