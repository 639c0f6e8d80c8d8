"""Nearest neighbours are exact, and copies are found."""

import numpy as np
import pytest
import torch
from scipy import stats

from scorefield.denoisers import Empirical, Gaussian
from scorefield.diffusion import Diffusion
from scorefield.metrics import Neighbours, memorization, nearest, neighbours
from scorefield.processes import VP
from scorefield.rng import Samples as Source
from scorefield.samplers import Heun, Sampling, sample
from scorefield.toys import Field, eight_gaussians


def brute(x, reference, k):
    far = (x.double()[:, None] - reference.double()).norm(dim=2)
    return far.topk(k, largest=False)


def data(n, dimension, seed=0):
    return torch.randn(n, dimension, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dimension", [1, 3, 16, 17, 100])
@pytest.mark.parametrize("k", [1, 4])
def test_nearest_is_exact(dimension, k):
    x, reference = data(40, dimension), data(300, dimension, 1)
    distance, index = nearest(x, reference, k)
    expected = brute(x, reference, k)
    assert torch.equal(index, expected.indices)
    assert torch.allclose(distance, expected.values, rtol=1e-12, atol=0)


def test_nearest_is_exact_far_from_the_origin_and_for_near_duplicates():
    # Clouds of width 1e-3 around far centres: in float32, ‖r‖² − 2 x·r cannot tell the members of a cloud apart.
    centres = 1e3 * data(5, 40)
    member = torch.arange(400) % 5
    reference = centres[member].double() + 1e-3 * data(400, 40, 1)
    x = centres[member[:60]].double() + 1e-3 * data(60, 40, 2)
    distance, index = nearest(x, reference, 2)
    expected = brute(x, reference, 2)
    assert torch.equal(index, expected.indices)
    assert torch.allclose(distance, expected.values, rtol=1e-12, atol=0)


def test_copies_are_at_distance_zero_even_among_many_equal_rows():
    reference = data(20, 30).repeat(10, 1)
    distance, index = nearest(reference[:50], reference, 3)
    assert (distance == 0).all() and (index % 20 == torch.arange(50)[:, None] % 20).all()


def test_nearest_is_the_same_in_blocks_and_for_grids(monkeypatch):
    x, reference = data(50, 48), data(200, 48, 1)
    whole = nearest(x, reference, 2)
    monkeypatch.setattr(neighbours, "BLOCK", 1000)
    assert all(torch.equal(a, b) for a, b in zip(nearest(x, reference, 2), whole))
    grids = nearest(x.view(50, 3, 4, 4), reference.view(200, 3, 4, 4), 2)
    assert all(torch.equal(a, b) for a, b in zip(grids, whole))


def test_reference_longer_than_a_block():
    x, reference = data(20, 20), data(40000, 20, 1)
    assert torch.equal(nearest(x, reference, 2)[1], brute(x, reference, 2).indices)
    assert torch.equal(nearest(x[:, :2], reference[:, :2], 2)[1], brute(x[:, :2], reference[:, :2], 2).indices)


def test_reduced_precision_of_matrix_products_does_not_matter():
    x, reference = data(30, 64), data(300, 64, 1)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert torch.equal(nearest(x, reference)[1], brute(x, reference, 1).indices)
    finally:
        torch.set_float32_matmul_precision(before)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="1 <= k <= 3"):
        nearest(data(2, 2), data(3, 2), 4)
    with pytest.raises(ValueError, match=r"must have the shape of \w+, got \(2,\) and \(3,\)"):
        nearest(data(2, 2), data(3, 3))
    with pytest.raises(ValueError, match="at least two training samples, got 1"):
        memorization(data(2, 2), data(1, 2), data(2, 2))
    with pytest.raises(ValueError, match=r"held_out must have the shape of train, got \(3,\) and \(2,\)"):
        memorization(data(2, 2), data(5, 2), data(2, 3))


@pytest.mark.parametrize("dimension", [1, 2, 20])
def test_fresh_samples_are_not_suspicious_and_copies_are(dimension):
    train, held_out, fresh = data(1000, dimension), data(300, dimension, 1), data(400, dimension, 2)
    good = memorization(fresh, train, held_out)
    assert not good.suspicious and len(good.samples) == len(good.held_out) == 300
    assert good.ratio == pytest.approx(1, abs=0.2) and good.p_value > 1e-4
    bad = memorization(train[:300] + 1e-4 * data(300, dimension, 3), train, held_out)
    assert bad.suspicious and bad.ratio < 0.5 and bad.p_value < 1e-10 and bad.copied > bad.copied_held_out


def test_a_third_of_held_out_data_count_as_copied_in_one_dimension():
    # (d₁/d₂)^D is uniform on (0, 1): the fraction by chance is 3^(−D).
    for dimension, chance in ((1, 1 / 3), (2, 1 / 9)):
        found = memorization(data(2000, dimension, 5), data(20000, dimension), data(2000, dimension, 1))
        deviation = (chance * (1 - chance) / 2000) ** 0.5
        assert abs(found.copied - chance) < 5 * deviation and abs(found.copied_held_out - chance) < 5 * deviation


def test_a_few_copies_among_many_samples_are_found():
    train, held_out = data(1000, 20), data(500, 20, 1)
    mixed = torch.cat([train[:40], data(460, 20, 2)])
    assert memorization(mixed, train, held_out).suspicious


@pytest.mark.parametrize("dimension", [2, 20])
def test_definition_of_authenticity(dimension):
    train, held_out, samples = data(200, dimension), data(100, dimension, 1), data(100, dimension, 2)
    found = memorization(samples, train, held_out)
    scale = train.std(0, correction=0)
    for rows, value in ((samples, found.authentic), (held_out, found.authentic_held_out)):
        near = brute(rows / scale, train / scale, 1)
        apart = brute(train / scale, train / scale, 2).values[:, 1]
        assert value == pytest.approx(float((near.values[:, 0] > apart[near.indices[:, 0]]).float().mean()))
    assert found.authentic == pytest.approx(found.authentic_held_out, abs=0.25)
    assert memorization(train[:100] + 1e-5, train, held_out).authentic == 0


def test_copies_are_counted_exactly():
    train, held_out = data(500, 20), data(300, 20, 1)
    mixed = torch.cat([train[:6], data(294, 20, 2)])
    found = memorization(mixed, train, held_out)
    table = [[6, 0], [294, 300]]
    assert (found.copied, found.copied_held_out) == (6 / 300, 0)
    assert found.copied_p_value == pytest.approx(stats.fisher_exact(table, alternative="greater").pvalue, rel=1e-9)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            Neighbours(np.ones(99), np.ones(99), 0.1, 0.1, 0.5),
            "Nothing is copied: 10.0% of samples and 10.0% of held-out",
        ),
        (Neighbours(np.full(99, 1e-3), np.ones(99), 0.9, 0.1, 1e-9), "copied from the training data: 90.0% of samples"),
        (Neighbours(np.full(99, 1.3), np.ones(99), 0.1, 0.1, 0.9), "are farther from the training data"),
        (Neighbours(np.ones(99), np.zeros(99), 0.1, 0.1, 0.9), "cannot distinguish copies from chance"),
        (Neighbours(np.zeros(99), np.zeros(99), 0.9, 0.1, 0.9), "most held-out data are also in the training data"),
    ],
)
def test_the_verdict_is_a_sentence(found, words):
    assert words in found.verdict and found.verdict.endswith(".")


def drawn(distribution, count, seed):
    """Samples by the probability flow, with twenty steps of Heun."""
    prior = Gaussian(distribution.data.mean(0), distribution.data.var(0))
    return sample(
        Diffusion(VP(), distribution, prior),
        (count, *distribution.data.shape[1:]),
        Sampling(Heun(), 20),
        Source(seed, count=count),
    )


@pytest.mark.parametrize("seed", [*range(2), *(pytest.param(s, marks=pytest.mark.slow) for s in range(2, 20))])
@pytest.mark.parametrize("shape", [(2,), (1, 8, 8)], ids=["vectors", "fields"])
def test_the_empirical_score_copies_and_the_true_distribution_does_not(shape, seed):
    distribution = Field(shape, 2.0) if len(shape) > 1 else eight_gaussians()
    train, held_out, fresh = (distribution.sample(400, Source(3 * seed + i, count=400)) for i in range(3))
    copies = memorization(drawn(Empirical(train), 200, seed), train, held_out)
    assert copies.suspicious and copies.copied > 0.95 and "copied from" in copies.verdict
    exact = memorization(fresh, train, held_out)
    assert not exact.suspicious and "Nothing is copied" in exact.verdict


def test_units_do_not_matter():
    units = torch.tensor([1e-3, 1.0, 1e3])
    plain = memorization(data(50, 3), data(200, 3, 1), data(50, 3, 2))
    scaled = memorization(data(50, 3) * units, data(200, 3, 1) * units, data(50, 3, 2) * units)
    assert np.allclose(plain.samples, scaled.samples, rtol=1e-5)


def test_constant_distances_have_no_ratio():
    twins = Neighbours(np.zeros(5), np.zeros(5), 0.0, 0.0, 1.0)
    assert np.isnan(twins.ratio) and not twins.suspicious
    assert not memorization(torch.zeros(5, 2), torch.zeros(9, 2), torch.zeros(5, 2)).suspicious
