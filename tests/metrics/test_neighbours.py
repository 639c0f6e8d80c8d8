"""Nearest neighbours are exact, and copies are found."""

import numpy as np
import pytest
import torch
from scipy import stats

from scorefield.denoisers import Empirical, Gaussian
from scorefield.diffusion import Diffusion
from scorefield.metrics import Neighbours, equal_rows, memorization, nearest, neighbours, row_keys
from scorefield.metrics.copies import closer_test, fisher
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
    assert not good.suspicious and (len(good.samples), len(good.held_out)) == (400, 300)
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
    assert (found.copied, found.copied_held_out) == (6 / 300, 0)
    assert (found.equal.count, found.equal.samples, found.equal.real, found.equal.rows) == (6, 300, 0, 800)
    assert fisher(6, 300, 0, 300) == pytest.approx(
        stats.fisher_exact([[6, 0], [294, 300]], alternative="greater").pvalue, rel=1e-9
    )


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            Neighbours(np.ones(99), np.ones(99), 0.1, 0.1, 0.5, 0.5),
            "No copies were found: 10.0% of samples and 10.0% of held-out",
        ),
        (
            Neighbours(np.full(99, 1e-3), np.ones(99), 0.9, 0.1, 1e-9, 1e-9),
            "copied from the training data: 90.0% of samples",
        ),
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
    assert not exact.suspicious and "No copies were found" in exact.verdict


def test_units_do_not_matter():
    units = torch.tensor([1e-3, 1.0, 1e3])
    plain = memorization(data(50, 3), data(200, 3, 1), data(50, 3, 2))
    scaled = memorization(data(50, 3) * units, data(200, 3, 1) * units, data(50, 3, 2) * units)
    assert np.allclose(plain.samples, scaled.samples, rtol=1e-5)


def test_constant_distances_have_no_ratio():
    twins = Neighbours(np.zeros(5), np.zeros(5), 0.0, 0.0, 1.0)
    assert np.isnan(twins.ratio) and not twins.suspicious
    assert not memorization(torch.zeros(5, 2), torch.zeros(9, 2), torch.zeros(5, 2)).suspicious


# -- copies among many samples, few rows held out --------------------------------------------------------------------


def gaussian(rng, count):
    return rng.normal(size=(count, 20))


def integers(rng, count):
    return rng.poisson(2, size=(count, 20)).astype(float)


def few_integers(rng, count):
    """Three columns: nearly half of new rows equal an old one."""
    return rng.poisson(2, size=(count, 3)).astype(float)


def duplicated(rng, count):
    """Rows of a list of 400, which is always the same for one generator's seed."""
    return np.random.default_rng(7).normal(size=(400, 20))[rng.integers(400, size=count)]


def judged(draw, seed, share=0.0, noise=0.0, columns=None):
    """900 training rows, 100 held out and 2,000 samples, of which a share are copies."""
    rng = np.random.default_rng(seed)
    real, samples = draw(rng, 1000), draw(rng, 2000)
    planted = round(share * 2000)
    copies = real[rng.integers(900, size=planted)]
    samples[:planted] = copies + noise * real.std(0) * rng.normal(size=copies.shape)
    return memorization(samples[:, :columns], real[:900, :columns], real[900:, :columns], seed=seed)


SEEDS = [pytest.param(range(10), id="10"), pytest.param(range(40), id="40", marks=pytest.mark.slow)]


@pytest.mark.parametrize("seeds", SEEDS)
def test_two_percent_of_exact_copies_are_found(seeds):
    assert all(judged(gaussian, seed, 0.02).suspicious for seed in seeds)
    assert all(judged(integers, seed, 0.02).suspicious for seed in seeds[:10])


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize(
    "draw", [gaussian, integers, *(pytest.param(draw, marks=pytest.mark.slow) for draw in (few_integers, duplicated))]
)
def test_fresh_samples_raise_no_false_alarm(draw, seeds):
    assert not any(judged(draw, 100 + seed).suspicious for seed in seeds)


def test_a_single_exact_copy_of_continuous_data_is_found():
    """It could not be chance; and what is stated is what is found."""
    for seed in range(5):
        found = judged(gaussian, seed, 1 / 2000)
        assert found.suspicious and found.equal.count == 1 and found.smallest_equal == 1 / 2000
        assert "1 of 2,000 samples equal one" in found.verdict


@pytest.mark.parametrize(("columns", "share", "least"), [(20, 0.02, 10), (5, 0.02, 10), (2, 0.02, 0)])
def test_near_copies_are_found_where_dimensions_are_many(columns, share, least):
    """In two dimensions new rows are as close as noise of 1 % of the spread makes copies."""
    found = [judged(gaussian, 200 + seed, share, 0.01, columns) for seed in range(10)]
    assert sum(each.suspicious for each in found) >= least
    assert (found[0].smallest_near <= share) == (least > 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("draw", "noise", "columns"),
    [(gaussian, 0.0, 20), (gaussian, 0.01, 5), (gaussian, 0.01, 2), (integers, 0.0, 20), (few_integers, 0.0, 3)],
)
def test_the_stated_share_of_copies_is_found_and_a_third_mostly_not(draw, noise, columns):
    known = judged(draw, 0, columns=columns)
    share = known.smallest_near if noise else known.smallest_equal
    found = [sum(judged(draw, 300 + s, at, noise, columns).suspicious for s in range(20)) for at in (share, share / 3)]
    assert found[0] >= 15 and found[1] <= 10


def test_what_cannot_be_found_is_said():
    """Copies of whole numbers of a few values are what new draws are."""
    rng = np.random.default_rng(0)
    real, samples = (rng.poisson(2, size=(count, 1)).astype(float) for count in (1000, 2000))
    found = memorization(samples, real[:900], real[900:])
    assert not found.suspicious and "exact copies and near copies" in found.verdict
    assert found.what_is_visible.endswith("could not have been found in any number.")


def test_a_model_that_is_too_narrow_does_not_copy():
    """It is closer to the training data, and of whole numbers equals them more often."""
    for draw in (gaussian, few_integers):
        rng = np.random.default_rng(1)
        real = draw(rng, 1000)
        samples = np.round(0.8 * draw(rng, 2000)) if draw is few_integers else 0.8 * draw(rng, 2000)
        found = memorization(samples, real[:900], real[900:])
        assert not found.suspicious and found.p_value < 1e-3


def test_p_values_of_equal_rows_and_closeness_are_valid():
    """Whole numbers whose rows are often equal: small p-values are no more frequent than their size."""
    p = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        keys = row_keys([rng.poisson(3, size=(300, 2))])
        equal = equal_rows(keys[:150], keys[150:250], keys[250:], seed=seed)
        closer = closer_test(rng.integers(150, size=150), np.arange(150) >= 100, seed)
        p.append((equal.p_value, closer))
    assert equal.said.endswith(" of 150 real rows equal another")
    unmatched = equal_rows(keys[:150], keys[150:250], keys[250:], matched=False)
    assert unmatched.said.endswith(" of 50 held-out rows equal one")
    for column in np.array(p).T:
        assert stats.binomtest(int((column <= 0.2).sum()), 60, 0.2, alternative="greater").pvalue > 0.01
        assert (column <= 0.5).sum() > 15


def test_rows_that_were_chosen_otherwise_are_no_reference():
    rng = np.random.default_rng(0)
    real, samples = rng.normal(size=(1000, 5)), rng.normal(size=(300, 5))
    found = memorization(samples, real[:900], real[900:], matched=False)
    assert np.isnan(found.closer_p_value) and found.equal.rows == 100 and not found.suspicious
    assert memorization(real[:300], real[:900], real[900:], matched=False).suspicious


@pytest.mark.parametrize("features", [1, 2, 5, 10, 11, 16])
@pytest.mark.parametrize("kind", ["normal", "lattice", "equal"])
def test_all_ways_of_searching_agree(features: int, kind: str) -> None:
    """With the smallest of all distances, also where many rows are equal."""
    generator = torch.Generator().manual_seed(features)
    reference, x = (torch.randn(n, features, generator=generator) for n in (3000, 50))
    if kind != "normal":
        reference, x = reference.round(), x.round()
    reference = reference[:1].expand(3000, features) if kind == "equal" else reference
    distance, index = nearest(x, reference, 3)
    whole = torch.cdist(x.double(), reference.double(), compute_mode="donot_use_mm_for_euclid_dist")
    torch.testing.assert_close(distance, whole.topk(3, largest=False).values, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(whole.gather(1, index), distance, atol=1e-12, rtol=1e-12)
    assert all(len(set(row)) == 3 for row in index.tolist())


def test_more_rows_than_are_searched_are_sampled_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rows for a seed; copies are still found, from twice the share, and exact ones among all rows."""
    rng = np.random.default_rng(0)
    train, held_out, fresh = (rng.normal(size=(n, 3)) for n in (2000, 500, 500))
    whole = memorization(fresh, train, held_out)
    monkeypatch.setattr("scorefield.metrics.neighbours.SEARCHED", 1000)
    found, again = (memorization(fresh, train, held_out) for _ in range(2))
    assert (whole.searched, whole.rows, found.searched, found.rows) == (2000, 2000, 1000, 2000)
    np.testing.assert_array_equal(found.samples, again.samples)
    assert "1,000 of 2,000 training rows, drawn at random" in found.verdict and "drawn at random" not in whole.verdict
    assert found.smallest_near > 1.3 * whole.smallest_near and not found.suspicious
    near = memorization(train[:500] + 1e-4 * rng.normal(size=(500, 3)), train, held_out)
    assert near.suspicious and memorization(train[:50].repeat(10, 0), train, held_out).equal.count == 500
