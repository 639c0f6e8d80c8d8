"""An observation that is unlike all simulations is noticed; one that is like them is not."""

import math
import warnings

import pytest
import torch

from scorefield.interop import NPE
from scorefield.interop.nearness import Nearness


def gaussian(count, features, seed):
    return torch.randn(count, features, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ring(count, seed):
    angle = 2 * math.pi * torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.stack([angle.cos(), angle.sin()], 1)


@pytest.mark.parametrize("features", [1, 2, 10, 100])
def test_simulations_are_not_unlike_themselves(features):
    near = Nearness(gaussian(1000, features, 0).exp())  # heavy tails
    found = [near.beyond(x) for x in gaussian(1000, features, 1).exp()]
    assert sum(each is not None for each in found) <= 20  # of 100 such numbers one is often twice the largest of 1,000


@pytest.mark.parametrize("features", [1, 2, 10, 100])
def test_twelve_deviations_are_seen_in_any_number(features):
    near = Nearness(gaussian(1000, features, 0))
    for x in gaussian(100, features, 1):
        x[int(x.argmax())] = 12
        assert f"number {int(x.argmax())} is 12" in near.beyond(x)


def test_the_middle_of_a_ring_is_unlike_its_points():
    near = Nearness(ring(1000, 0))
    assert "times as far as those of 1000 simulations" in near.beyond(torch.zeros(2, dtype=torch.float64))
    assert not any(near.beyond(x) for x in ring(1000, 1))
    assert near.share(torch.zeros(2, dtype=torch.float64)) == 0


def test_shares_of_simulations_are_uniform():
    near = Nearness(gaussian(4000, 3, 0))
    shares = torch.tensor([near.share(x) for x in gaussian(2000, 3, 1)])
    for level in (0.1, 0.5):  # 500 usual distances and 2,000 observations: a standard error of both
        error = (level * (1 - level) * (1 / 500 + 1 / 2000)) ** 0.5
        assert abs(float((shares <= level).double().mean()) - level) < 4 * error


def test_sets_are_compared_by_their_means_and_deviations():
    x = gaussian(1000 * 8, 2, 0).reshape(1000, 8, 2)
    near = Nearness(x)
    assert near.beyond(gaussian(8, 2, 1)) is None
    assert near.beyond(gaussian(8, 2, 1) + 5) is not None
    assert near.beyond(gaussian(3, 2, 1)) is None
    assert "number 0 is" in near.beyond(gaussian(3, 2, 1) + 20)  # of sets of another size, the members are looked at
    assert near.share(gaussian(8, 2, 1) + 5) == 0


def test_a_posterior_warns_about_such_an_observation():
    theta = torch.rand(400, 1, generator=torch.Generator().manual_seed(0)) * 2 - 1
    x = torch.cat([torch.ones(400, 1), theta + 0.1 * gaussian(400, 1, 0).float()], 1)  # the first says nothing
    inference = NPE(prior=(-1.0, 1.0)).append_simulations(theta, x)
    inference.train(max_num_epochs=5)
    posterior = inference.build_posterior()
    far, near = torch.tensor([1.0, 7.0]), torch.tensor([1.0, 0.3])
    for ask in (
        lambda x: posterior.sample((5,), x=x),
        lambda x: posterior.sample_batched((5,), x[None]),
        lambda x: posterior.log_prob(torch.zeros(1, 1), x=x),
        lambda x: posterior.map(x),
    ):
        with pytest.warns(UserWarning, match=r"unlike all simulations: number 1 is 7.* simulate more like it") as seen:
            ask(far)
        assert seen[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ask(near)


@pytest.mark.parametrize("count", [300, 2000, 20_000])
def test_data_that_come_again_and_again(count):
    """Bits, codes and counts: what was simulated is like the simulations, to the last rounding."""
    generator = torch.Generator().manual_seed(count)
    bits = (torch.rand(count, 3, generator=generator) < 0.5).double()
    codes = torch.eye(7, dtype=torch.float64)[torch.randint(7, (count,), generator=generator)]
    counts = torch.randint(4, (count, 3), generator=generator).double() + 1000
    for x in (bits, codes, counts):
        near = Nearness(x)
        assert not any(near.beyond(one) for one in x[:50])
        assert all(near.share(one) > 0 for one in x[:50])
        assert near.beyond(x[0] + 5) is not None


def test_simulations_in_a_periodic_order():
    x = 10 * torch.arange(10, dtype=torch.float64).repeat(2000)[:, None] + gaussian(20_000, 2, 0)
    near = Nearness(x)
    assert not any(near.beyond(one) for one in x[:200])


def test_an_estimator_without_simulations_answers():
    theta = torch.rand(200, 1, generator=torch.Generator().manual_seed(0)) * 2 - 1
    x = torch.cat([torch.ones(200, 1), theta], 1)
    inference = NPE(prior=(-1.0, 1.0)).append_simulations(theta, x)
    estimator = inference.train(max_num_epochs=1)
    posterior = inference.build_posterior()
    assert NPE(prior=(-1.0, 1.0)).build_posterior(estimator).sample((3,), x=x[0, 1:]).shape == (3, 1)
    before = posterior.sample((3,), x=x[0])
    inference.append_simulations(theta, torch.randn(200, 2, generator=torch.Generator().manual_seed(1)))
    assert torch.equal(posterior.sample((3,), x=x[0]), before)


def test_many_observations_are_warned_of_once():
    theta = torch.rand(200, 1, generator=torch.Generator().manual_seed(0)) * 2 - 1
    inference = NPE(prior=(-1.0, 1.0)).append_simulations(theta, theta)
    inference.train(max_num_epochs=1)
    with pytest.warns(UserWarning, match="2 of 3 observations are unlike all simulations") as seen:
        inference.build_posterior().sample_batched((2,), torch.tensor([[0.0], [50.0], [70.0]]))
    assert len(seen) == 1
    with pytest.raises(ValueError, match=r"an observation has one number or more, got shape \(0, 1\)"):
        inference.build_posterior().sample((2,), x=torch.empty(0, 1))
