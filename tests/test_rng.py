from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import torch

from scorefield import fit
from scorefield.metrics import c2st, sliced_wasserstein
from scorefield.rng import Mixed, Samples, Steps, generator, passes, permutation, torch_seeded
from scorefield.settings import Training

EVENTS = [(), (1,), (3,), (3, 32, 32), (20_000,)]  # 20,000 numbers are more than a block of samples draws at once


def is_standard_normal(z: torch.Tensor) -> None:
    """The first four moments, each within five of its standard errors."""
    z, n = z.double().flatten(), z.numel()
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(float((z**power).mean()) - moment) < 5 * math.sqrt(variance / n)


def are_independent(x: torch.Tensor, y: torch.Tensor) -> None:
    assert abs(float((x.double() * y.double()).mean())) < 5 / math.sqrt(x.numel())


# -- Samples -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["normal", "uniform"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("event", EVENTS, ids=str)
def test_a_sample_depends_on_its_seed_and_index_only(event, dtype, kind):
    """Not on the number of samples, nor on how they are split; in the second draw too."""

    def draw(start: int, count: int) -> torch.Tensor:
        rng = Samples(5, start, count)
        return torch.stack([getattr(rng, kind)((count, *event), dtype) for _ in range(2)])

    large = 1000 if math.prod(event) < 100 else 40
    whole = draw(0, 20)
    assert torch.equal(draw(0, large)[:, 17], whole[:, 17])
    assert torch.equal(draw(17, 1)[:, 0], whole[:, 17])
    assert torch.equal(torch.cat([draw(0, 7), draw(7, 7), draw(14, 6)], 1), whole)


def test_a_sample_does_not_depend_on_where_its_block_begins():
    whole = Samples(5, 0, 600).normal((600, 1))
    for start, count in ((255, 2), (256, 1), (100, 400), (599, 1)):
        assert torch.equal(Samples(5, start, count).normal((count, 1)), whole[start : start + count])


def test_streams_are_distinct_and_independent():
    size = (4000, 5)
    streams = [Samples(5, count=4000), Samples(6, count=4000), Samples(5, count=4000, purpose="prior")]
    streams += [Samples(5, count=4000).child("prior"), Samples(5, 4000, 4000)]
    drawn = [rng.normal(size) for rng in streams] + [streams[0].normal(size)]
    for one, other in combinations(drawn, 2):
        are_independent(one, other)
    assert torch.equal(Samples(5, count=2).child("a").child("b").normal((2,)), Samples(5, 0, 2, "/a/b").normal((2,)))


def test_samples_are_independent_of_each_other():
    z = Samples(1, count=2000).normal((2000, 10), torch.float64)
    are_independent(z[1:], z[:-1])
    are_independent(z[256:], z[:-256])
    are_independent(z[:, 1:], z[:, :-1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_distributions_of_samples(dtype):
    rng = Samples(3, count=20_000)
    is_standard_normal(rng.normal((20_000, 4), dtype))
    u = rng.uniform((20_000, 4), dtype).double()
    assert bool(((u >= 0) & (u < 1)).all())
    for power in (1, 2):
        spread = math.sqrt((1 / (2 * power + 1) - 1 / (power + 1) ** 2) / u.numel())
        assert abs(float((u**power).mean()) - 1 / (power + 1)) < 5 * spread


def test_numpy_seeds_are_seeds():
    assert torch.equal(Samples(np.int64(5), count=2).normal((2, 3)), Samples(5, count=2).normal((2, 3)))
    assert torch.equal(Steps(np.int64(5)).normal((3,)), Steps(5).normal((3,)))
    assert not torch.equal(Samples(-5, count=2).normal((2, 3)), Samples(5, count=2).normal((2, 3)))


def test_types_and_shapes():
    rng = Samples(0, count=3)
    assert rng.normal((3, 2)).dtype == torch.get_default_dtype()
    assert rng.normal((3, 2), torch.bfloat16).dtype == torch.bfloat16
    assert rng.normal_like(torch.zeros(3, 2, 4, dtype=torch.float64)).dtype == torch.float64
    assert rng.normal_like(torch.zeros(3, 2, 4)).shape == (3, 2, 4)
    assert rng.stratified(3).shape == (3,)


@pytest.mark.parametrize("shape", [(4, 2), (), (2,)])
def test_the_count_must_agree(shape):
    with pytest.raises(ValueError, match=r"this source has 3 samples, got shape .*: its first dimension must be 3"):
        Samples(0, count=3).normal(shape)


@pytest.mark.parametrize(("start", "count"), [(-1, 1), (0, 0)])
def test_bad_ranges_are_refused(start, count):
    with pytest.raises(ValueError, match=f"Samples needs start >= 0 and count >= 1, got start={start}, count={count}"):
        Samples(0, start, count)


def test_a_seed_is_an_integer():
    with pytest.raises(TypeError, match="integer"):
        Samples(0.5, count=2).normal((2,))


# -- Steps ---------------------------------------------------------------------------------------------------------


def test_a_step_depends_on_its_seed_and_number_only():
    rng = Steps(seed=1)
    first = [rng.at(7).normal((4, 2)), rng.uniform((3,)), rng.stratified(5)]
    rng.at(8).normal((100,))
    again = [rng.at(7).normal((4, 2)), rng.uniform((3,)), rng.stratified(5)]
    fresh = Steps(seed=1).at(7)
    for one, two, three in zip(first, again, [fresh.normal((4, 2)), fresh.uniform((3,)), fresh.stratified(5)]):
        assert torch.equal(one, two)
        assert torch.equal(one, three)


def test_without_a_step_the_seed_counts():
    assert not torch.equal(Steps(seed=1).normal((4,)), Steps(seed=2).normal((4,)))


def test_steps_are_distinct_independent_and_normal():
    rng = Steps(seed=1)
    drawn = torch.stack([rng.at(step).normal((50,)) for step in range(2000)])
    is_standard_normal(drawn)
    are_independent(drawn[1:], drawn[:-1])
    are_independent(drawn, torch.stack([Steps(seed=2).at(step).normal((50,)) for step in range(2000)]))
    assert len(drawn[:, 0].unique()) == 2000


def test_stratified_numbers_are_a_shifted_grid():
    rng = Steps(seed=0)
    for step in range(5):
        u = rng.at(step).stratified(8, torch.float64).sort().values
        torch.testing.assert_close(u.diff(), torch.full((7,), 1 / 8, dtype=torch.float64), rtol=0, atol=1e-12)
        assert 0 <= float(u[0]) < 1 / 8


def test_each_stratified_number_is_uniform():
    u = torch.stack([Steps(seed=0).at(step).stratified(3, torch.float64) for step in range(4000)])
    for power in (1, 2):
        error = math.sqrt((1 / (2 * power + 1) - 1 / (power + 1) ** 2) / 4000)
        assert bool(((u**power).mean(0) - 1 / (power + 1)).abs().max() < 5 * error)


def test_devices_are_honoured():
    rng = Steps(0, "cpu")
    assert rng.normal((2,), torch.float64, torch.device("cpu")).dtype == torch.float64
    assert rng.uniform((2,), device=torch.device("meta")).device.type == "meta"
    assert Samples(0, count=2).normal((2,), device=torch.device("meta")).device.type == "meta"


# -- orders --------------------------------------------------------------------------------------------------------


def test_permutations():
    orders = [permutation(1000, seed, epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    for order in orders:
        assert sorted(order.tolist()) == list(range(1000))
    for one, other in combinations(orders, 2):
        assert (one == other).sum() < 10
    assert (permutation(1000, 0, 1) == orders[1]).all()


@pytest.mark.parametrize("count", [3, 5000, 20_000])
def test_passes_are_permutations(count):
    order = passes(count, seed=0, number=2)
    assert len(order) >= 16_384 - count
    whole = order.reshape(-1, count)
    assert (np.sort(whole, 1) == np.arange(count)).all()
    assert (passes(count, 0, 2) == order).all()
    assert (passes(count, 0, 3) != order).any()
    if count == 3:  # each of the six orders as often as chance allows
        counts = np.unique(whole @ [9, 3, 1], return_counts=True)[1]
        assert len(counts) == 6
        assert np.abs(counts - len(whole) / 6).max() < 5 * math.sqrt(len(whole) * 5 / 36)


# -- mixed ---------------------------------------------------------------------------------------------------------


def test_mixed_noise_interpolates_between_two_sources():
    def mixed(angle: float) -> Mixed:
        return Mixed(Samples(0, count=3), Samples(1, count=3), angle)

    shape = (3, 2)
    torch.testing.assert_close(mixed(0.0).normal(shape), Samples(0, count=3).normal(shape))
    torch.testing.assert_close(mixed(math.pi / 2).normal(shape), Samples(1, count=3).normal(shape))
    a, b = (Samples(seed, count=3).child("x").normal(shape) for seed in (0, 1))
    half = math.sqrt(0.5)
    torch.testing.assert_close(mixed(math.pi / 4).child("x").normal(shape), half * a + half * b)


def test_mixed_noise_has_the_distribution_of_each_source():
    """Normal: mean 0 and variance 1 within 5 standard errors. Uniform: moments of U(0, 1), below 1."""
    n = 100_000
    rng = Mixed(Samples(0, count=n), Samples(1, count=n), 0.6)
    z, u, v = rng.normal((n,)).double(), rng.uniform((n,)).double(), rng.stratified(n).double()
    assert abs(float(z.mean())) < 5 / math.sqrt(n)
    assert abs(float(z.var()) - 1) < 5 * math.sqrt(2 / n)
    for x in (u, v):
        assert abs(float(x.mean()) - 0.5) < 5 * math.sqrt(1 / 12 / n)
        assert abs(float(x.var()) - 1 / 12) < 5 * math.sqrt((1 / 80 - 1 / 144) / n)
        assert float(x.min()) >= 0 and float(x.max()) < 1


def test_steps_have_children():
    rng = Steps(0).at(5)
    child, other = rng.child("a"), rng.child("b")
    x = child.normal((4,))
    assert torch.equal(x, Steps(0).at(5).child("a").normal((4,)))
    for different in (other.normal((4,)), Steps(0).at(6).child("a").normal((4,)), Steps(0).at(5).normal((4,))):
        assert not torch.isclose(x, different).any()


@pytest.mark.parametrize("seed", [pytest.param(-1, marks=pytest.mark.slow), 2**70])
def test_any_integer_is_a_seed(seed):
    """Also where NumPy, PyTorch and scikit-learn draw, which take fewer: units, first weights, metrics."""
    x = np.random.default_rng(0).lognormal(size=(120, 2))
    one, two = (fit(x, training=Training(steps=3), seed=seed).sample(3, seed) for _ in range(2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, fit(x, training=Training(steps=3), seed=7).sample(3, seed))
    assert 0 <= c2st(x, x, maximum=20, seed=seed) <= 1
    assert sliced_wasserstein(x, x, maximum=50, seed=seed) >= 0


def test_generators_are_those_of_numpy_and_pytorch():
    assert generator(5).random() == np.random.default_rng(5).random()
    torch.manual_seed(5)
    expected = torch.rand(2)
    before = torch.get_rng_state()
    with torch_seeded(5):
        assert torch.equal(torch.rand(2), expected)
    assert torch.equal(before, torch.get_rng_state())
