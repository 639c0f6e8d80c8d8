from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from properties import Noises
from scorefield.denoisers import Denoiser, Empirical, Gaussian, Mixture, PrincipalMixture
from scorefield.rng import Samples

D = torch.float64


def normal(*shape: int, seed: int = 0) -> Tensor:
    return Samples(seed, count=shape[0]).normal(shape, D)


def field() -> Gaussian:
    """Independent pixels, of a shape of their own."""
    return Gaussian(normal(2, 3), normal(2, 3, seed=1) ** 2)


def principal(mixture: Mixture, known: int = 4) -> PrincipalMixture:
    """Of the numbers of a field, two directions are a mixture, two more have variances of their own, two have the same."""
    vectors = torch.linalg.qr(normal(6, 6, seed=2))[0][:, :known]
    return PrincipalMixture(
        normal(2, 3), vectors, mixture, torch.tensor([0.7, 0.2, 0.6, 0.5]).to(D)[: known - 2], D_REST
    )


D_REST = torch.tensor(0.3, dtype=D)


@pytest.fixture(params=["gaussian", "field", "mixture", "principal", "empirical"])
def distribution(request, gaussian, mixture) -> tuple[Denoiser, tuple[int, ...]]:
    made = {"gaussian": gaussian, "field": field(), "mixture": mixture, "empirical": Empirical(normal(7, 2), chunk=3)}
    made["principal"] = principal(mixture)
    return made[request.param], (2, 3) if request.param in ("field", "principal") else (2,)


@pytest.mark.parametrize("level", [0.05, 1.0, 30.0])
def test_tweedie(distribution, level):
    """(D - x)/σ² is the gradient of the log-density of the noisy data."""
    distribution, shape = distribution
    x = (normal(6, *shape) * (1 + level)).requires_grad_()
    (score,) = torch.autograd.grad(distribution.log_prob(x, level).sum(), x)
    denoised = distribution(x.detach(), torch.tensor(level, dtype=D))
    torch.testing.assert_close((denoised - x.detach()) / level**2, score, rtol=1e-10, atol=1e-10)


def test_levels_of_each_sample(distribution):
    distribution, shape = distribution
    x, level = normal(4, *shape), torch.tensor([0.1, 0.5, 2.0, 70.0], dtype=D).reshape(4, *(1,) * len(shape))
    together, densities = distribution(x, level), distribution.log_prob(x, level)
    for i in range(4):
        alone = level[i].reshape(())
        torch.testing.assert_close(together[i : i + 1], distribution(x[i : i + 1], alone), rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(
            densities[i : i + 1], distribution.log_prob(x[i : i + 1], alone), rtol=1e-12, atol=1e-14
        )


def test_single_precision_distributions_serve_double_precision_states(distribution):
    distribution, shape = distribution
    x, level = normal(3, *shape), torch.tensor(0.5, dtype=D)
    torch.testing.assert_close(distribution.float()(x, level), distribution.double()(x, level), rtol=1e-5, atol=1e-5)
    assert distribution(x.float(), level.float()).shape == x.shape


def test_the_covariance_of_the_posterior(mixture):
    """Cov[x_0 | x] = σ² ∇D, here from its own sum over the components (SCIENCE: second-order Tweedie)."""
    x, level = normal(5, 2), 0.6
    jacobian = torch.func.vmap(torch.func.jacrev(lambda y: mixture(y[None], torch.tensor(level, dtype=D))[0]))(x)
    noisy = mixture.covariances + level**2 * torch.eye(2, dtype=D)
    gain = mixture.covariances @ torch.linalg.inv(noisy)
    log_p = torch.distributions.MultivariateNormal(mixture.means, noisy).log_prob(x[:, None]) + mixture.weights.log()
    share = log_p.softmax(-1)[..., None, None]
    within = mixture.covariances - gain @ mixture.covariances
    means = mixture.means + torch.einsum("knm,bkm->bkn", gain, x[:, None] - mixture.means)
    apart = means - mixture(x, torch.tensor(level, dtype=D))[:, None]
    covariance = (share * (within + apart[..., None] * apart[..., None, :])).sum(1)
    torch.testing.assert_close(level**2 * jacobian, covariance, rtol=1e-10, atol=1e-12)


# -- Gaussian ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.0, 0.3])
def test_gaussian_density(gaussian, level):
    torch_distribution = torch.distributions.MultivariateNormal(
        gaussian.mean, gaussian.covariance + level**2 * torch.eye(2, dtype=D)
    )
    x = normal(5, 2)
    torch.testing.assert_close(gaussian.log_prob(x, level), torch_distribution.log_prob(x), rtol=1e-12, atol=1e-12)


def test_gaussian_denoiser_is_wieners(gaussian):
    x, level = normal(5, 2), torch.tensor(0.3, dtype=D)
    gain = gaussian.covariance @ torch.linalg.inv(gaussian.covariance + level**2 * torch.eye(2, dtype=D))
    expected = gaussian.mean + (x - gaussian.mean) @ gain.T
    torch.testing.assert_close(gaussian(x, level), expected, rtol=1e-12, atol=1e-12)


def test_variances_are_a_diagonal_covariance():
    some = field()
    full = Gaussian(some.mean, torch.diag(some.covariance.reshape(-1)))
    x, level = normal(4, 2, 3), torch.tensor(0.4, dtype=D)
    assert some.diagonal and not full.diagonal
    torch.testing.assert_close(some(x, level), full(x, level), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(some.log_prob(x, level), full.log_prob(x, level), rtol=1e-12, atol=1e-12)
    drawn = [distribution.sample(4, Samples(2, count=4), 0.4) for distribution in (some, full)]
    torch.testing.assert_close(*drawn, rtol=1e-12, atol=1e-12)


def test_a_matrix_of_one_number_is_either():
    one = Gaussian(torch.zeros(1, dtype=D), torch.full((1, 1), 4.0, dtype=D))
    other = Gaussian(torch.zeros(1, dtype=D), torch.full((1,), 4.0, dtype=D))
    torch.testing.assert_close(one.log_prob(normal(3, 1)), other.log_prob(normal(3, 1)))
    scalar = Gaussian(torch.zeros((), dtype=D), torch.tensor(4.0, dtype=D))
    torch.testing.assert_close(scalar.log_prob(normal(3)), other.log_prob(normal(3)[:, None]))


@pytest.mark.parametrize("level", [0.0, 0.7])
def test_gaussian_samples_have_its_moments_exactly(gaussian, level):
    """Fed with unit vectors instead of noise."""
    for distribution in (gaussian, field()):
        n = distribution.mean.numel()
        x = distribution.sample(1 + n, Noises(), level)
        moved = (x[1:] - x[0]).reshape(n, n)
        covariance = (
            torch.diag(distribution.covariance.reshape(-1)) if distribution.diagonal else distribution.covariance
        )
        torch.testing.assert_close(x[0], distribution.mean, rtol=1e-14, atol=0)
        torch.testing.assert_close(
            moved.T @ moved, covariance + level**2 * torch.eye(n, dtype=D), rtol=1e-12, atol=1e-12
        )
        torch.testing.assert_close(
            moved, moved.T, rtol=1e-12, atol=1e-12
        )  # the symmetric root: noise is moved, not turned


def test_a_direction_without_variance_is_held_fast():
    distribution = Gaussian(torch.ones(2, dtype=D), torch.tensor([[1.0, 1.0], [1.0, 1.0]], dtype=D))
    drawn = distribution.sample(50, Samples(0, count=50))
    torch.testing.assert_close(drawn[:, 0], drawn[:, 1])
    denoised = distribution(normal(5, 2), torch.tensor(0.5, dtype=D))
    torch.testing.assert_close(denoised[:, 0], denoised[:, 1])


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        (torch.ones(3), r"the covariance must have shape \(2, 2\), or \(2,\) for variances alone, got \(3,\)"),
        (torch.tensor([1.0, -0.5]), "variances must not be negative, got -0.5"),
        (torch.tensor([[1.0, 0.5], [0.0, 1.0]]), r"a covariance must be a symmetric matrix, got shape \(2, 2\)"),
        (torch.tensor([[1.0, 2.0], [2.0, 1.0]]), "a covariance must have no negative eigenvalue, got -1"),
    ],
)
def test_what_is_no_covariance(covariance, message):
    with pytest.raises(ValueError, match=message):
        Gaussian(torch.zeros(2), covariance)


# -- Mixture -------------------------------------------------------------------------------------------------------


def test_a_mixture_of_one_is_a_gaussian(gaussian):
    one = Mixture(gaussian.mean[None], gaussian.covariance[None], torch.ones(1, dtype=D))
    x, level = normal(5, 2), torch.tensor(0.3, dtype=D)
    torch.testing.assert_close(one(x, level), gaussian(x, level), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(one.log_prob(x, level), gaussian.log_prob(x, level), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(one.moments().covariance, gaussian.covariance, rtol=1e-12, atol=1e-12)


def test_mixture_density(mixture):
    parts = torch.distributions.MultivariateNormal(mixture.means, mixture.covariances)
    torch_distribution = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(mixture.weights), parts)
    x = normal(5, 2)
    torch.testing.assert_close(mixture.log_prob(x), torch_distribution.log_prob(x), rtol=1e-10, atol=1e-10)


def test_standard_deviations_are_round_covariances():
    means, weights = normal(3, 2), torch.tensor([0.2, 0.3, 0.5], dtype=D)
    std = torch.tensor([0.1, 0.2, 0.3], dtype=D)
    one, other = Mixture(means, std, weights), Mixture(means, std[:, None, None] ** 2 * torch.eye(2, dtype=D), weights)
    torch.testing.assert_close(one.log_prob(normal(5, 2)), other.log_prob(normal(5, 2)), rtol=1e-12, atol=0)


def test_moments_of_a_mixture_are_those_of_its_samples(mixture):
    """Each within five standard errors, which the samples themselves tell; the parts as often as their weights say."""
    n, distribution = 40_000, mixture.moments()
    x = mixture.sample(n, Samples(4, count=n))
    apart = x - distribution.mean
    products = torch.einsum("bi,bj->bij", apart, apart)
    assert bool((apart.mean(0).abs() < 5 * x.std(0) / math.sqrt(n)).all())
    assert bool(((products.mean(0) - distribution.covariance).abs() < 5 * products.std(0) / math.sqrt(n)).all())
    surprise = -mixture.log_prob(x)
    again = -mixture.log_prob(mixture.sample(n, Samples(5, count=n)))
    assert abs(float(surprise.mean() - again.mean())) < 5 * float(surprise.std()) * math.sqrt(2 / n)


def test_a_mixture_apart_is_drawn_by_its_weights():
    far = Mixture(
        torch.tensor([[-100.0], [0.0], [100.0]], dtype=D), torch.ones(3, dtype=D), torch.tensor([0.1, 0.6, 0.3])
    )
    x = far.double().sample(20_000, Samples(0, count=20_000))
    for center, weight in ((-100, 0.1), (0, 0.6), (100, 0.3)):
        part = x[(x - center).abs() < 20]
        assert abs(len(part) / 20_000 - weight) < 5 * math.sqrt(weight * (1 - weight) / 20_000)
        assert abs(float(part.mean()) - center) < 5 / math.sqrt(len(part))
        assert abs(float(part.std()) - 1) < 5 / math.sqrt(2 * len(part))


def test_samples_of_exact_distributions_are_addressable(mixture):
    for distribution in (mixture, Empirical(normal(7, 2)), field()):
        whole, part = distribution.sample(50, Samples(1, 0, 50)), distribution.sample(3, Samples(1, 20, 3))
        assert torch.equal(whole[20:23], part)


def test_means_of_a_mixture_are_those_of_its_components_by_weight(mixture):
    x = 2 * torch.randn((5, mixture.means.shape[1]), dtype=mixture.means.dtype)
    level = torch.linspace(0.1, 3, 5, dtype=x.dtype)[:, None]
    parts = [Gaussian(m, c) for m, c in zip(mixture.means, mixture.covariances)]
    logs = [part.log_prob(x, level) + w.log() for part, w in zip(parts, mixture.weights)]
    share = torch.stack(logs, 1).softmax(1)
    torch.testing.assert_close(mixture(x, level), sum(share[:, k, None] * d(x, level) for k, d in enumerate(parts)))


def test_eigenvectors_lie_side_by_side_however_a_mixture_was_made(mixture):
    copied = copy.deepcopy(mixture).float()
    copied.load_state_dict({k: v.float() for k, v in mixture.state_dict().items()}, assign=True)
    for known in (mixture, copied):
        found = known._columns(known.vectors.dtype)
        assert found.data_ptr() == known.vectors.data_ptr() and found.is_contiguous()


@pytest.mark.parametrize("known", [2, 4, 6])
@pytest.mark.parametrize("level", [0.05, 1.0, 30.0])
def test_a_mixture_in_some_directions_is_a_mixture(mixture, level, known):
    """The same as a mixture of vectors with covariances that say all of it."""
    few, n = principal(mixture, known), 6
    others = torch.cat((few.values, D_REST.expand(n - known)))
    whole = torch.linalg.qr(torch.cat((few.vectors, normal(6, 6, seed=3)), 1))[0]  # completed to a basis
    whole = torch.cat((few.vectors, whole[:, known:]), 1)
    covariances = torch.diag(torch.cat((torch.zeros(2, dtype=D), others))).repeat(len(mixture.weights), 1, 1)
    covariances[:, :2, :2] = mixture.covariances
    means = few.mean.flatten() + mixture.means @ whole[:, :2].mT
    dense = Mixture(means, whole @ covariances @ whole.mT, mixture.weights)
    x, level = normal(9, 2, 3, seed=4) * (1 + level), torch.tensor(level, dtype=D)
    torch.testing.assert_close(few(x, level).flatten(1), dense(x.flatten(1), level), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(few.log_prob(x, level), dense.log_prob(x.flatten(1), level), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vectors": torch.ones(6, 4, dtype=D)}, "orthonormal"),
        ({"vectors": torch.eye(5, 4, dtype=D)}, r"needs vectors \(6, q\)"),
        ({"values": torch.ones(3, dtype=D)}, r"values \(q - 2,\)"),
        ({"values": -torch.ones(2, dtype=D)}, "must not be negative"),
        ({"rest": torch.tensor(-1.0)}, "must not be negative"),
    ],
)
def test_what_is_no_mixture_in_some_directions(mixture, change, message):
    usual = principal(mixture)
    parts = {name: getattr(usual, name) for name in ("mean", "vectors", "mixture", "values", "rest")}
    with pytest.raises(ValueError, match=message):
        PrincipalMixture(**parts | change)


@pytest.mark.parametrize(
    ("covariances", "weights", "message"),
    [
        (
            torch.ones(3),
            torch.ones(2) / 2,
            r"a mixture of 2 needs covariances \(2, 1, 1\) or \(2,\) and weights \(2,\), got",
        ),
        (torch.ones(2), torch.ones(3) / 3, r"a mixture of 2 needs .*, got \(2, 1, 1\) and \(3,\)"),
        (torch.ones(2), torch.tensor([0.5, 0.6]), "weights must be positive and sum to 1, got"),
        (torch.ones(2), torch.tensor([1.5, -0.5]), "weights must be positive and sum to 1, got"),
        (-torch.ones(2, 1, 1), torch.ones(2) / 2, "a covariance must have no negative eigenvalue, got -1"),
    ],
)
def test_what_is_no_mixture(covariances, weights, message):
    with pytest.raises(ValueError, match=message):
        Mixture(torch.zeros(2, 1), covariances, weights)


# -- Empirical -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.01, 0.5, 100.0])
def test_empirical_is_a_softmax_over_data(level):
    data, x = normal(20, 2, 3), normal(5, 2, 3, seed=1)
    distance = (x[:, None] - data).flatten(2).square().sum(-1)
    weights = (-distance / (2 * level**2)).softmax(1)
    distribution, level = Empirical(data, chunk=6), torch.tensor(level, dtype=D)
    torch.testing.assert_close(distribution(x, level), torch.einsum("bn,nij->bij", weights, data), rtol=1e-9, atol=1e-9)
    parts = torch.distributions.Normal(data, level).log_prob(x[:, None]).flatten(2).sum(-1)
    density = parts.logsumexp(1) - math.log(20)
    torch.testing.assert_close(distribution.log_prob(x, level), density, rtol=1e-9, atol=1e-9)


def test_empirical_is_a_mixture_of_points():
    data = normal(30, 2)
    mixture = Mixture(data, torch.full((30,), 1e-7, dtype=D), torch.full((30,), 1 / 30, dtype=D))
    x, distribution = normal(6, 2, seed=1), Empirical(data)
    for level in (0.05, 1.0):
        level = torch.tensor(level, dtype=D)
        torch.testing.assert_close(distribution(x, level), mixture(x, level), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(distribution.log_prob(x, level), mixture.log_prob(x, level), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_chunks_do_not_matter(offset):
    """Nor does it matter where the origin is."""
    data, x = normal(50, 3), normal(6, 3, seed=1)
    level = torch.tensor([0.01, 0.1, 0.3, 1.0, 5.0, 100.0], dtype=D)[:, None]
    whole = Empirical(data)(x, level)
    for chunk in (1, 7, 49, 50, 4096):
        part = Empirical(data + offset, chunk)(x + offset, level) - offset
        torch.testing.assert_close(part, whole, rtol=1e-6, atol=1e-8)


def test_far_from_data_the_nearest_wins():
    data = torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=D)
    denoised = Empirical(data, 1)(torch.tensor([[1e3, 0.0], [-1e3, 0.0]], dtype=D), torch.tensor(1e-3, dtype=D))
    torch.testing.assert_close(denoised, data.flip(0))


class Largest(TorchDispatchMode):
    """Remembers the bytes of the largest tensor made."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, Tensor) and not any(tensor is a for a in args) and tensor._base is None:
                self.bytes = max(self.bytes, tensor.numel() * tensor.element_size())
        return made


def test_the_memory_of_a_large_data_set_is_bounded():
    """As many as MNIST holds: no array of all data by the batch, nor a copy of the data in double precision."""
    one, count, chunk = Samples(0, count=1).normal((1, 784)), 60_000, 1024
    data = one.expand(count, 784)  # takes no memory itself
    with Largest() as largest:
        denoised = Empirical(data, chunk)(torch.zeros(2, 784), torch.tensor(1.0))
    torch.testing.assert_close(denoised, one.expand(2, 784), rtol=1e-5, atol=1e-6)
    assert 0 < largest.bytes <= chunk * 784 * 8


def test_empirical_draws_its_data_evenly():
    data = torch.arange(5.0)[:, None]
    x = Empirical(data).sample(10_000, Samples(0, count=10_000))[:, 0]
    for value in range(5):
        assert abs(float((x == value).double().mean()) - 0.2) < 5 * math.sqrt(0.16 / 10_000)


def test_empirical_moments():
    data = normal(9, 2, 3)
    distribution = Empirical(data).moments()
    torch.testing.assert_close(distribution.mean, data.mean(0))
    torch.testing.assert_close(distribution.covariance, ((data - data.mean(0)) ** 2).mean(0))


@pytest.mark.parametrize(("count", "chunk"), [(0, 10), (3, 0)])
def test_what_is_no_data_set(count, chunk):
    message = f"Empirical needs at least one data point and chunk >= 1, got {count} and {chunk}"
    with pytest.raises(ValueError, match=message):
        Empirical(torch.zeros(count, 2), chunk)
