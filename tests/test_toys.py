import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from scorefield.denoisers import Mixture
from scorefield.rng import Samples
from scorefield.toys import (
    Blobs,
    Checkerboard,
    Donut,
    Field,
    Helix,
    Toy,
    eight_gaussians,
    two_modes,
    two_moons,
    unequal_modes,
)

TOYS: dict[str, tuple[Toy, float]] = {  # with the entropies that the literature's definitions give, to about 0.002
    "two_modes": (two_modes(), 3.337),
    "unequal_modes": (unequal_modes(), 3.338),
    "eight_gaussians": (eight_gaussians(), 2.830),
    "two_moons": (two_moons(0.1), 1.009),
    "two_moons, thin": (two_moons(0.05), 0.288),
    "checkerboard": (Checkerboard(), 3.4657),
    "helix": (Helix(), 4.2242),
    "donut": (Donut(), 2.160),
}
FIELDS = [Field((64,), 4.0), Field((1, 12, 10), 3.0, 1.0), Field((6, 5, 8), 2.0, 2.5)]


@pytest.mark.parametrize("name", TOYS)
def test_entropies(name: str) -> None:
    toy, entropy = TOYS[name]
    assert toy.entropy() == pytest.approx(entropy, abs=2.5e-3)


@pytest.mark.parametrize("toy", [*(toy for toy, _ in TOYS.values()), *FIELDS], ids=str)
def test_the_mean_log_density_of_draws_is_the_entropy(toy: Toy) -> None:
    count = 4000
    x = toy.sample(count, Samples(7, count=count))
    log_p = toy.log_prob(x)
    assert x.dtype == log_p.dtype == torch.float64 and log_p.shape == (count,)
    assert abs(float(log_p.mean()) + toy.entropy()) < 5 * float(log_p.std()) / math.sqrt(count) + 1e-12


@pytest.mark.parametrize("toy", [*(toy for toy, _ in TOYS.values()), *FIELDS], ids=str)
def test_draws_are_addressed(toy: Toy) -> None:
    many, few = toy.sample(300, Samples(3, count=300)), toy.sample(20, Samples(3, start=270, count=20))
    torch.testing.assert_close(many[270:290], few, atol=1e-12, rtol=0)


@pytest.mark.parametrize("toy", [two_modes(), eight_gaussians(), two_moons(0.3), Checkerboard(), Donut()], ids=str)
def test_planar_densities_integrate_to_one_and_draws_follow_them(toy: Toy) -> None:
    """Counts in 8 x 8 cells against the integral of the density over each."""
    count, cells, fine = 20_000, 8, 24
    x = toy.sample(count, Samples(11, count=count))
    edge = (
        8.0
        if isinstance(toy, Blobs) and toy.mixture.means.abs().max() < 4 and toy.mixture.means.abs().max() > 2.9
        else 4.0
    )
    axis = (torch.arange(cells * fine, dtype=torch.float64) + 0.5) / (cells * fine) * 2 * edge - edge
    density = torch.exp(toy.log_prob(torch.cartesian_prod(axis, axis))).reshape(cells, fine, cells, fine)
    expected = density.sum((1, 3)) * (2 * edge / cells / fine) ** 2
    assert float(expected.sum()) == pytest.approx(1, abs=1e-3)
    histogram, _, _ = np.histogram2d(*x.T.numpy(), bins=cells, range=[[-edge, edge]] * 2)
    spread = torch.sqrt(count * expected + 1)
    assert float(((torch.tensor(histogram) - count * expected) / spread).abs().max()) < 5


def test_the_modes_have_their_weights() -> None:
    for toy, sign in ((two_modes(), 1), (unequal_modes(), -1)):
        x = toy.sample(20_000, Samples(0, count=20_000))
        assert float((sign * x.sum(1) > 0).double().mean()) == pytest.approx(0.2, abs=5 * 0.4 / math.sqrt(20_000))


def test_two_moons_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import make_moons

    count = 4_000  # scikit-learn's angles are a grid: the mean log-density is even closer
    x, _ = make_moons(count, noise=0.1, random_state=0)
    log_p = two_moons(0.1).log_prob(torch.tensor(x))
    assert abs(float(log_p.mean()) + two_moons(0.1).entropy()) < 5 * float(log_p.std()) / math.sqrt(count)


@pytest.mark.parametrize("noise", [0.03, 0.2])
@pytest.mark.parametrize("point", [(0.6, 0.8), (1.02, 0.01), (0.3, 0.3), (-1.1, -0.1)])
def test_two_moons_have_enough_nodes(noise: float, point: tuple[float, float]) -> None:
    x, y = point

    def density(angle: float) -> float:
        outer = (math.cos(angle) - x) ** 2 + (math.sin(angle) - y) ** 2
        inner = (1 - math.cos(angle) - x) ** 2 + (0.5 - math.sin(angle) - y) ** 2
        kernels = math.exp(-outer / (2 * noise**2)) + math.exp(-inner / (2 * noise**2))
        return kernels / (2 * math.pi) / (2 * math.pi * noise**2)

    pieces = [quad(density, a, a + math.pi / 50, epsrel=1e-12)[0] for a in np.arange(50) * math.pi / 50]
    got = float(two_moons(noise).log_prob(torch.tensor([point], dtype=torch.float64)))
    assert got == pytest.approx(math.log(sum(pieces)), abs=1e-9)


def test_support() -> None:
    helix = Helix()
    outside = torch.tensor([[1.0, 0.0, -0.1], [0.0, 0.0, 100.0]], dtype=torch.float64)
    assert helix.log_prob(outside).tolist() == [-math.inf, -math.inf]
    at = torch.tensor([[math.cos(30), math.sin(30), 30.0]], dtype=torch.float64)
    assert float(helix.log_prob(at)) == pytest.approx(-math.log(100 * 2 * math.pi * 0.04))
    board = torch.tensor([[-3.9, -3.9], [-3.9, -1.9], [3.9, 3.9], [4.1, 4.1], [-4.1, -2.1]], dtype=torch.float64)
    assert Checkerboard().log_prob(board).exp().tolist() == pytest.approx([1 / 32, 0, 1 / 32, 0, 0])


def test_radius_of_the_donut() -> None:
    """The mean radius is radius + width² / radius."""
    r = Donut().sample(40_000, Samples(2, count=40_000)).norm(dim=1)
    assert float(r.mean()) == pytest.approx(2.6 + 0.0165 / 2.6, abs=5 * 0.128 / 200)
    assert float(r.std()) == pytest.approx(0.1283, abs=5 * 0.128 / math.sqrt(80_000))


@pytest.mark.parametrize("field", FIELDS, ids=str)
def test_fields_have_their_covariance(field: Field) -> None:
    gaussian = field.gaussian()
    x = field.sample(4000, Samples(1, count=4000))
    torch.testing.assert_close(gaussian.log_prob(x), field.log_prob(x), atol=1e-8, rtol=1e-8)
    covariance = field.covariance().flatten()
    assert float(covariance[0]) == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(gaussian.covariance[0], covariance, atol=1e-12, rtol=0)
    flat = x.reshape(4000, -1)
    empirical = flat.T @ flat / 4000
    assert float((empirical - gaussian.covariance).abs().max()) < 6 * math.sqrt(2 / 4000)


def test_correlations_grow_with_the_correlation_length() -> None:
    near, far = (Field((64,), length).covariance() for length in (2.0, 8.0))
    assert float(near[4]) < float(far[4]) and float(near[32]) < 0.05
    assert float(far[1]) > 0.95


@pytest.mark.parametrize("shape", [(500,), (1, 160, 160)])
def test_a_rough_field_has_an_exponential_covariance(shape: tuple[int, ...]) -> None:
    covariance = Field(shape, 12.0, 0.5).covariance()[..., :40].reshape(-1, 40)[0]
    distance = torch.arange(40, dtype=torch.float64)
    torch.testing.assert_close(covariance, torch.exp(-distance / 12), atol=0.04, rtol=0)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"two_moons needs 0\.02 <= noise <= 1, got noise=0:"):
        two_moons(0.0)
    with pytest.raises(
        ValueError, match=r"Helix needs a positive length, radius and noise, got length=100, radius=1, noise=0"
    ):
        Helix(noise=0.0)
    with pytest.raises(ValueError, match=r"Donut needs radius >= 8 width > 0, got radius=1, width=0\.5"):
        Donut(1.0, 0.5)
    with pytest.raises(ValueError, match=r"one to three axes longer than 1, got shape=\(1, 1\)"):
        Field((1, 1), 2.0)
    with pytest.raises(
        ValueError, match=r"a positive correlation length and smoothness, got length=0, smoothness=1\.5"
    ):
        Field((8,), 0.0)
    with pytest.raises(
        ValueError,
        match=r"a field of 16384 cells has too large a covariance matrix, at most 4096",
    ):
        Field((128, 128), 2.0).gaussian()
    line = Mixture(torch.zeros(1, 1), torch.ones(1), torch.ones(1))
    with pytest.raises(ValueError, match=r"Blobs needs a mixture in the plane, got one in 1 dimensions"):
        Blobs(line)
