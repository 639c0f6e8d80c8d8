"""Mixed denoisers against Bayes' rule: means, conditionals, probabilities, losses."""

from __future__ import annotations

import pytest
import torch

from denoisers.mixed_examples import ANSWER, MEAN, PRIOR, STD, VARIABLES, D, Exact, bayes, draw, normal
from scorefield import checkpoint
from scorefield.data.variables import ABSENT, FREE, GIVEN, Variables
from scorefield.denoisers import (
    ConditionalMixed,
    Denoiser,
    EDMPrediction,
    Gaussian,
    MixedDenoiser,
    Preconditioned,
)
from scorefield.derivatives import gradient
from scorefield.nn import MLP, ResidualMLP
from scorefield.objectives import DenoisingScoreMatching, LogNormal
from scorefield.rng import Samples, Steps

LEVELS = torch.tensor([0.1, 0.3, 1.0, 3.0, 20.0], dtype=D).repeat_interleave(6)[:, None]
X = draw(30, 1) + LEVELS * torch.randn(30, 7, dtype=D, generator=torch.Generator().manual_seed(2))
STATUS = torch.cartesian_prod(*[torch.arange(3)] * 4)  # all 81 questions


def exact(error: float = 0.0, place: int = 0, share: float = 0.2) -> MixedDenoiser:
    return MixedDenoiser(Exact(error, place), VARIABLES, share=share)


def random_mixed(variables: Variables, context: int = 0, seed: int = 0) -> ResidualMLP:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = ResidualMLP(variables.size, 16, 2, context, 2 * variables.count)
        for p in network.parameters():
            p.data.add_(0.2 * torch.randn(p.shape))
        return network


def test_the_mean_is_that_of_bayes():
    """A softmax with the likelihood of the noise: probabilities that the network gives without it are whole with it."""
    torch.testing.assert_close(exact()(X, LEVELS), bayes(X, LEVELS)[0], rtol=1e-6, atol=1e-6)
    found = exact()(X, torch.tensor(0.7, dtype=D))
    assert found.dtype == D
    torch.testing.assert_close(found[:, 2:5].sum(1), torch.ones(30, dtype=D))
    torch.testing.assert_close(found[:, 5:].sum(1), torch.ones(30, dtype=D))


@pytest.mark.parametrize("row", range(0, 81, 4))
def test_every_conditional_is_that_of_bayes(row):
    """Given variables keep their value, free ones have their mean given all that is given, absent ones do not matter."""
    status, values = STATUS[row][None], draw(1, 3)
    denoiser = exact().given_variables(values.where(status.index_select(1, exact().owners) == GIVEN, torch.nan), status)
    owned = status.expand(30, 4).index_select(1, exact().owners)
    expected = torch.where(owned == GIVEN, values, bayes(X, LEVELS, values, status)[0])
    neutral = torch.tensor([0.0, 0.0, 1 / 3, 1 / 3, 1 / 3, 0.5, 0.5], dtype=D)
    found = denoiser(X, LEVELS)
    torch.testing.assert_close(found, torch.where(owned == ABSENT, neutral, expected), rtol=1e-5, atol=1e-6)
    other = torch.where(owned == FREE, X, X + 5)
    assert torch.equal(denoiser(other, LEVELS), found)


def test_each_sample_has_its_own_question():
    values, status = draw(81, 4), STATUS
    whole = exact().given_variables(values, status)
    assert whole.contexts == 81 and whole.samples(torch.arange(3)).contexts == 3
    index = torch.tensor([5, 80, 3, 5 + 81])
    found = whole.samples(index)(X[:4], LEVELS[:4])
    alone = [
        exact().given_variables(values[i % 81 :][:1], status[i % 81 :][:1])(X[k : k + 1], LEVELS[k : k + 1])
        for k, i in enumerate(index.tolist())
    ]
    torch.testing.assert_close(found, torch.cat(alone))
    one = exact().given_variables(values[:1], status[:1])
    assert one.samples(index) is one
    with pytest.raises(ValueError, match=r"^30 states take one context, or one for each, got 81: use samples"):
        whole(X, LEVELS)


def test_probabilities_of_categories_are_those_of_the_table():
    """p(component | answer), p(answer | number) and the marginals, by one evaluation each, with no noise."""
    values = draw(5, 5)
    free = torch.zeros(5, 4, dtype=torch.long)
    found = exact().category_log_probs(values, free, 0)
    torch.testing.assert_close(found.exp(), PRIOR.expand(5, 3))
    found = exact().category_log_probs(values, torch.tensor([[FREE, ABSENT, FREE, GIVEN]]).expand(5, 4), 0)
    expected = PRIOR * (values[:, 5:] @ ANSWER.T)
    torch.testing.assert_close(found.exp(), expected / expected.sum(1, keepdim=True))
    found = exact().category_log_probs(values, torch.tensor([[GIVEN, ABSENT, FREE, FREE]]).expand(5, 4), 1)
    weights = PRIOR * normal(values[:, :1], MEAN[:, 0], (STD[:, 0] ** 2).expand(5, 3)).exp()
    expected = weights @ ANSWER
    torch.testing.assert_close(found.exp(), expected / expected.sum(1, keepdim=True))
    with pytest.raises(IndexError, match=r"^there are 2 categories, counted from 0, got category 2$"):
        exact().category_log_probs(values, free, 2)


def test_numbers_alone_have_a_denoiser():
    """Given the component, numbers are Gaussian: the denoiser of one of them, and its derivative, are those of a Gaussian."""
    values = draw(30, 6)
    status = torch.tensor([[ABSENT, FREE, GIVEN, ABSENT]]).expand(30, 4)
    found = exact().restricted(values, status)
    k = values[:, 2:5].argmax(1)
    x, gain = X[:, 1:2], STD[k, 1:] ** 2 / (STD[k, 1:] ** 2 + LEVELS**2)
    torch.testing.assert_close(found(x, LEVELS), MEAN[k, 1:] + gain * (x - MEAN[k, 1:]), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradient(lambda x: found(x, LEVELS)[:, 0], x)[1], gain, rtol=1e-5, atol=1e-7)
    assert found.contexts == 30 and found.samples(torch.arange(4)).contexts == 4
    index = torch.tensor([7, 2])
    torch.testing.assert_close(found.samples(index)(x[index], LEVELS[index]), found(x, LEVELS)[index])
    with pytest.raises(
        ValueError, match=r"^densities of numbers need every category given or absent, and some are free"
    ):
        exact().restricted(values, torch.zeros(30, 4, dtype=torch.long))
    with pytest.raises(ValueError, match=r"^the rows differ in which numbers are free: split them"):
        exact().restricted(values[:2], torch.tensor([[FREE, FREE, GIVEN, GIVEN], [FREE, ABSENT, GIVEN, GIVEN]]))


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("place", range(7))
def test_the_exact_denoiser_has_the_smallest_loss(share, place):
    """Paired differences: any change of any answer raises the loss, in joint and in conditional rows."""
    objective, x0 = DenoisingScoreMatching(LogNormal(0.0, 1.2)), draw(20_000)

    def losses(denoiser: Denoiser) -> torch.Tensor:
        return objective(denoiser, x0, Samples(1, count=len(x0)))

    best = losses(exact(share=share))
    assert best.shape == (20_000,) and bool(torch.isfinite(best).all())
    for error in (-0.8, 0.8):
        worse = losses(exact(error, place, share)) - best
        assert float(worse.mean()) > 3 * float(worse.std()) / 20_000**0.5


def test_without_categories_it_is_the_usual_loss():
    """The same network, noise and levels give the loss of a denoiser of numbers."""
    network, objective = Preconditioned(MLP(3, 8, 1)), DenoisingScoreMatching(LogNormal())

    class Numbers(torch.nn.Module):
        def forward(self, x, c):
            return network.network(x[:, :3], c) + 0.1 * x[:, :3]

    x0 = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    plain = Preconditioned(torch.nn.Module())
    plain.network.forward = lambda x, c: network.network(x, c) + 0.1 * x
    found = objective(MixedDenoiser(Numbers(), Variables(3), share=0.0), x0, Samples(2, count=50))
    torch.testing.assert_close(found, objective(plain, x0, Samples(2, count=50)))


def test_rows_of_batches_are_independent_of_each_other():
    """Losses of rows with fixed noise are the same in any batch, missing values among them."""
    denoiser = MixedDenoiser(random_mixed(VARIABLES), VARIABLES, share=0.5)
    x0 = draw(40, 8).float()
    x0[7, 0] = x0[30, 1] = torch.nan
    x0[7, 2:5] = torch.nan
    level, weight = torch.full((40, 1), 0.7), torch.ones(40, 1)
    whole = denoiser.denoising_loss(x0, level, weight, Samples(3, count=40))
    part = denoiser.denoising_loss(x0[5:12], level[5:12], weight[5:12], Samples(3, 5, 7))
    assert bool(torch.isfinite(whole).all())
    torch.testing.assert_close(part, whole[5:12])


def test_contexts_join_given_variables():
    """A conditional denoiser gives denoisers that complete, and contexts and values follow samples together."""
    learned = ConditionalMixed(random_mixed(VARIABLES, 3), VARIABLES, (3,))
    rows, x = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)), X.float()
    values, status = draw(3, 9).float(), STATUS[[10, 40, 65]]
    given = learned.given(rows)
    assert given.completes and given.contexts == 2 and learned.free().contexts == 1
    both = given.given_variables(values, status)
    assert both.contexts == 6
    index = torch.tensor([4, 11])  # contexts 0 and 1, values 1 and 2
    found = both.samples(index)(x[:2], LEVELS[:2].float())
    one = learned.given(rows[:1]).given_variables(values[1:2], status[1:2])(x[:1], LEVELS[:1].float())
    two = learned.given(rows[1:]).given_variables(values[2:], status[2:])(x[1:2], LEVELS[1:2].float())
    torch.testing.assert_close(found, torch.cat((one, two)))
    assert not torch.allclose(
        given.samples(torch.tensor([0]))(x[:1], LEVELS[:1].float()), learned.free()(x[:1], LEVELS[:1].float())
    )
    loss = DenoisingScoreMatching(LogNormal())(given.samples(torch.arange(30)), draw(30).float(), Steps(0))
    assert loss.shape == (30,)
    with pytest.raises(ValueError, match=r"^the network takes contexts of shape \(M, 3\), got \(2, 2\)$"):
        learned.given(rows[:, :2])
    with pytest.raises(ValueError, match=r"^this model has only learned data given a context"):
        ConditionalMixed(random_mixed(VARIABLES, 3), VARIABLES, (3,), unconditional=False).free()


def test_precision_reaches_conditionals(tmp_path):
    rough, fine = (MixedDenoiser(random_mixed(VARIABLES), VARIABLES, precision=p) for p in ("bfloat16", "float32"))
    values, status, x = draw(1, 9).float(), STATUS[[40]], X.float()
    found = rough.given_variables(values, status).full_precision()
    expected = fine.given_variables(values, status)(x, LEVELS.float())
    assert torch.equal(found(x, LEVELS.float()), expected)
    checkpoint.save(fine.given_variables(values, status), tmp_path / "given.safetensors")
    again = checkpoint.load(tmp_path / "given.safetensors")
    assert torch.equal(again(x, LEVELS.float()), expected)


def test_what_is_asked_wrongly():
    values = draw(2, 1)
    values[1, 2:5] = torch.nan
    status = torch.zeros(2, 4, dtype=torch.long)
    status[:, 2] = GIVEN
    with pytest.raises(
        ValueError, match=r"^variable 2 of row 1 is given and its value is missing \(NaN\): give a value, or"
    ):
        exact().given_variables(values, status)
    with pytest.raises(
        ValueError, match=r"^given variables need values \(M, 7\) and status \(M, 4\), got \(2, 7\) and \(1, 4\)$"
    ):
        exact().given_variables(values, status[:1])
    with pytest.raises(ValueError, match=r"^share is the fraction of conditional rows, from 0 to 1, got 1.5$"):
        exact(share=1.5)
    joint = exact(share=0.0)
    assert exact().completes and not joint.completes
    for call in (joint.given_variables, joint.restricted):
        with pytest.raises(
            TypeError, match=r"^MixedDenoiser has not learned conditionals: observe a measurement instead$"
        ):
            call(values, status)
    with pytest.raises(TypeError, match=r"^MixedDenoiser has not learned conditionals"):
        joint.category_log_probs(values, status, 0)
    plain = Gaussian(torch.zeros(3), torch.ones(3))
    for call in (plain.given_variables, plain.restricted):
        with pytest.raises(TypeError, match=r"^Gaussian has not learned conditionals: observe a measurement instead$"):
            call(values, status)
    with pytest.raises(TypeError, match=r"^Gaussian has not learned conditionals"):
        plain.category_log_probs(values, status, 0)
    assert MixedDenoiser(Exact(), VARIABLES, EDMPrediction(2.0)).parametrization.scale == 2.0
