from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from scorefield.nn import MLP
from scorefield.training import Flat, Optimizer
from scorefield.training.optimizer import NEWTON_SCHULZ, POLAR_EXPRESS, multiplications, orthogonalize

BAND = {POLAR_EXPRESS: (0.4, 1.7), NEWTON_SCHULZ: (0.6, 1.5)}  # of singular values that are not tiny, with rounding
BOTH = pytest.mark.parametrize("polynomials", [POLAR_EXPRESS, NEWTON_SCHULZ], ids=["now", "before"])


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


def iterated(values: Tensor, polynomials) -> Tensor:
    """What becomes of the singular values of a matrix, all of which are given."""
    found = values / values.norm()
    for a, b, c in polynomials:
        found = a * found + b * found**3 + c * found**5
    return found


def largest_error(lowest: float, polynomials) -> float:
    """How far from 1 values between `lowest` and 1 are moved at most."""
    found = torch.logspace(math.log10(lowest), 0, 10_001, dtype=torch.float64)
    for a, b, c in polynomials:
        found = a * found + b * found**3 + c * found**5
    return float((found - 1).abs().max())


def test_four_iterations_do_as_much_as_five_did():
    """Of the smallest values, to a tenth; and no value is left further from 1 than those of a thousandth of the norm."""
    assert len(POLAR_EXPRESS) < len(NEWTON_SCHULZ)
    for lowest in (1e-3, 3e-4, 1e-4, 1e-5):
        assert largest_error(lowest, POLAR_EXPRESS) < 1.1 * largest_error(lowest, NEWTON_SCHULZ)
    assert largest_error(1e-3, POLAR_EXPRESS) < 0.58


@BOTH
@pytest.mark.parametrize("shape", [(16, 16), (32, 40), (128, 128), (96, 192), (96, 864)])
@pytest.mark.parametrize("decades", [0, 1, 2])
def test_rounding_moves_no_value_far_out_of_the_band(shape, decades, polynomials):
    """Values at the upper end of a band are rounded to beyond it, from where the next iteration would take them far away."""
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        matrix = torch.randn(1, *shape, generator=generator, dtype=torch.float64)
        left, _, right = torch.linalg.svd(matrix, full_matrices=False)
        values = torch.logspace(0, -decades, shape[0], dtype=torch.float64)
        found = orthogonalize(left @ torch.diag(values) @ right, polynomials)
        inner = (left.mT @ found @ right.mT).diagonal(dim1=-2, dim2=-1)
        low, high = BAND[polynomials]
        assert float(inner[0, values / values.norm() > 2e-3].min()) > low
        assert float(torch.linalg.matrix_norm(found, 2)) < high


@BOTH
@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (16, 64), (64, 16), (48, 48 * 9)])
def test_singular_values_become_one_and_vectors_stay(rows, columns, polynomials):
    """Within the band of the polynomials, for singular values across two decades."""
    generator = torch.Generator().manual_seed(0)
    matrices = torch.randn(3, rows, columns, generator=generator, dtype=torch.float64)
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    size = left.shape[-1]
    matrices = left @ torch.diag(torch.logspace(0, -2, size, dtype=torch.float64)) @ right * 1e3
    found = orthogonalize(matrices, polynomials)
    assert found.dtype == torch.float64
    # in the basis of the singular vectors it is diagonal, up to the rounding of bfloat16
    inner = left.mT @ found @ right.mT
    values = inner.diagonal(dim1=-2, dim2=-1)
    low, high = BAND[polynomials]
    assert bool((values > low).all() & (values < high).all())
    assert float((inner - torch.diag_embed(values)).abs().max()) < (0.05 if polynomials is NEWTON_SCHULZ else 0.2)
    outside = found - left @ (left.mT @ found @ right.mT) @ right
    assert float(outside.abs().max()) < 0.05
    assert not orthogonalize(torch.zeros(1, 16, 16)).any()


@BOTH
@pytest.mark.parametrize("shape", [(16, 64), (64, 16), (48, 432), (40, 80), (40, 50)])
@pytest.mark.parametrize("decades", [1, 3, 6])
def test_products_give_the_singular_values_of_the_iteration(shape, decades, polynomials):
    """Those of the polynomial itself, also of values that are lost in the square of the matrix."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(1, *shape, generator=generator, dtype=torch.float64)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    values = torch.logspace(0, -decades, left.shape[-1], dtype=torch.float64)
    found = left.mT @ orthogonalize(left @ torch.diag(values) @ right, polynomials, torch.float32) @ right.mT
    expected = iterated(values, polynomials)
    assert float((found - torch.diag_embed(expected)).abs().max()) < 2e-3


@BOTH
@pytest.mark.parametrize("shape", [(96, 864), (768, 128)])
@pytest.mark.parametrize("rank", [1, 4, 96])
def test_rounded_products_follow_the_iteration_and_nothing_blows_up(shape, rank, polynomials):
    """Large matrices in bfloat16, of low rank, too, whose rounded square has negative eigenvalues.

    Rounding the first product moves eigenvalues by 2⁻⁹ of the largest, and so singular values that are small against it.
    """
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(1, *shape, generator=generator, dtype=torch.float64)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    values = torch.zeros(left.shape[-1], dtype=torch.float64)
    values[:rank] = torch.logspace(0, -1, rank)
    found = orthogonalize(left @ torch.diag(values) @ right, polynomials)
    expected = iterated(values, polynomials)
    inner = left.mT @ found @ right.mT
    given, (low, high) = inner.diagonal(dim1=-2, dim2=-1)[0, :rank], BAND[polynomials]
    assert bool((given > low).all() & (given < high).all())
    assert polynomials is POLAR_EXPRESS or float((given - expected[:rank]).abs().max()) < 0.1  # whose slopes are steep
    assert float(torch.linalg.matrix_norm(found, 2)) < high
    below = found - left[..., :rank] @ (left[..., :rank].mT @ found @ right[:, :rank].mT) @ right[:, :rank]
    assert float(torch.linalg.matrix_norm(below, 2)) < 0.5  # 3.4445⁵ = 485 and 433 times the rounding


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
    """The first update is -rate √max(1, m/n) U Vᵀ, rows evened out, and singular values but for a half."""
    flat = Flat(nn.ParameterList([nn.Parameter(torch.zeros(shape)), nn.Parameter(torch.zeros(3))]))
    rows, columns = shape[0], math.prod(shape[1:])
    gradient(flat, 0)
    ideal = -0.02 * 0.5 * math.sqrt(max(1, rows / columns)) * polar(flat.gradients[3:].view(rows, columns))
    Optimizer(flat, 1e-3, 0.02).step(0.5)
    update = flat.values[3:].view(rows, columns).double()
    cosine = float((update * ideal).sum() / update.norm() / ideal.norm())
    assert cosine > 0.9
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


def test_a_state_of_an_earlier_version_goes_on_with_its_polynomials():
    """Which it did not name: to the bits of an optimizer that has them from the beginning, and tells them from now on."""
    found = []
    for place in ("whole", "resumed", "now"):
        flat = Flat(nn.ParameterList([nn.Parameter(torch.zeros(16, 64)), nn.Parameter(torch.zeros(1))]))
        optimizer = Optimizer(flat, 1e-3, 0.02)
        state = {name: x.clone() for name, x in optimizer.state().items()}
        if place != "now":
            optimizer.load({name: x for name, x in state.items() if name != "polynomials"})
        for step in range(4):
            if place == "resumed" and step == 2:
                kept = {name: x.clone() for name, x in optimizer.state().items()}
                optimizer = Optimizer(flat, 1e-3, 0.02)
                optimizer.load(kept)
            gradient(flat, step)
            optimizer.step(1.0)
        assert optimizer.polynomials == (POLAR_EXPRESS if place == "now" else NEWTON_SCHULZ)
        found.append(flat.values)
    assert torch.equal(found[0], found[1]) and not torch.allclose(found[0], found[2])


@pytest.mark.parametrize("shape", [(3,), (0, 3), (4, 2), (10_000, 3)])
def test_a_state_without_polynomials_under_their_name_is_refused(shape):
    optimizer = Optimizer(Flat(nn.Linear(16, 16)), 1e-3, 0.02)
    with pytest.raises(ValueError, match=r"^the state has polynomials of shape"):
        optimizer.load({**optimizer.state(), "polynomials": torch.ones(shape)})


@pytest.mark.parametrize("every", [2, 3])
def test_matrices_wait_for_their_step_and_all_else_does_not(every):
    """What AdamW moves, it moves as ever, to the last bits; matrices move once in a period, √every times as far."""
    torch.manual_seed(0)
    network = nn.ModuleDict({"mlp": MLP(3, 32, 2), "conv": nn.Conv2d(16, 32, 3)})
    rare, each = Flat(network), Flat(copy.deepcopy(network))
    optimizer, usual = Optimizer(rare, 3e-3, 0.02, every=every), Optimizer(each, 3e-3, 0.02)
    steps, place = [], rare.boundary
    for step in range(1, 2 * every + 1):
        before = rare.values.clone()
        for flat, one in ((rare, optimizer), (each, usual)):
            gradient(flat, step)
            one.step(0.7)
        assert torch.equal(rare.values[:place], each.values[:place]) and not torch.equal(
            rare.values[:place], before[:place]
        )
        steps.append(rare.values[place:] - before[place:])
        assert torch.equal(rare.values[place:], before[place:]) == bool(step % every)
    sizes = torch.stack(steps)[every - 1 :: every].norm(dim=1)
    alone = Flat(copy.deepcopy(network))
    whole = alone.values.clone()
    gradient(alone, 0)
    Optimizer(alone, 3e-3, 0.02).step(0.7)
    size = (alone.values - whole)[place:].norm()
    torch.testing.assert_close(sizes / size, torch.full((2,), math.sqrt(every)), rtol=0.05, atol=0)


@pytest.mark.parametrize("every", [2, 4])
def test_momentum_is_that_of_all_steps(every):
    """A rare update goes along the average of all gradients: that of the last one alone would have another direction."""
    flat = Flat(nn.ParameterList([nn.Parameter(torch.zeros(16, 48)), nn.Parameter(torch.zeros(1))]))
    optimizer, momentum = Optimizer(flat, 1e-3, 0.02, momentum=0.9, every=every, dtype=torch.float32), 0.9
    velocity = torch.zeros(16 * 48)
    for step in range(1, every + 1):
        gradient(flat, step)
        velocity = momentum * velocity + (1 - momentum) * flat.gradients[1:]
        optimizer.step(1.0)
    ahead = momentum * velocity + (1 - momentum) * flat.gradients[1:]  # Nesterov's
    expected = orthogonalize(ahead.view(1, 16, 48), dtype=torch.float32)[0]
    expected = expected / expected.norm(dim=1, keepdim=True)  # the first update has rows of one size
    found = -flat.values[1:].view(16, 48)
    torch.testing.assert_close(found / found.norm(), expected / expected.norm(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (48, 432), (432, 48), (96, 864), (192, 384), (96, 192)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@BOTH
def test_multiplications_are_those_of_the_products(rows, columns, dtype, polynomials):
    with FlopCounterMode(display=False) as counter:
        orthogonalize(torch.ones(1, rows, columns), polynomials, dtype)
    assert counter.get_total_flops() == 2 * multiplications(rows, columns, dtype, polynomials)


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("matrix_rate", [0.0, 0.02])
@pytest.mark.parametrize("after", [0, 1, 5])
def test_it_goes_on_to_the_same_bits(matrix_rate, after, every):
    torch.manual_seed(0)
    network = nn.ModuleDict({"mlp": MLP(3, 32, 2), "conv": nn.Conv2d(16, 32, 3)})
    flat = Flat(network)
    optimizer = Optimizer(flat, 3e-3, matrix_rate, every=every)
    begin = flat.values.clone()
    for step in range(8):
        if step == after:
            kept, values = {k: v.clone() for k, v in optimizer.state().items()}, flat.values.clone()
        gradient(flat, step)
        optimizer.step(0.9)
    end = flat.values.clone()
    flat.read(begin)
    again = Optimizer(flat, 3e-3, matrix_rate, every=every)
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
