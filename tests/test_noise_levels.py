"""What is read off the data. Not the constants of the recipe: those are for benchmarks to say."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import pytest
import torch

from scorefield.data import ArrayRows
from scorefield.noise_levels import (
    PUBLISHED_OVERLAP,
    Diameter,
    Ladder,
    NoiseLevels,
    best_ratio,
    choose_noise_levels,
    diameter,
    ncsnv2_smallest_level,
    one_level,
)
from scorefield.processes import EDM
from scorefield.units import Standardize


def cloud(count: int, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("x", [cloud(300, 2), cloud(40, 300), cloud(100, 1, 8, 8), cloud(2, 1), cloud(50, 2, 5, 4, 3)])
def test_all_data_have_levels(x):
    found = choose_noise_levels(x)
    assert 0 < found.sigma_min < 0.1 < 10 < found.sigma_max
    assert math.isfinite(found.level_mean) and found.level_std > 0
    assert found == choose_noise_levels(x.clone()) == choose_noise_levels(x.double())  # nothing in it is random
    assert len(found.reasons) == len(found.table()) == 4
    assert [value for _, value, _ in found.table()] == [
        found.sigma_min,
        found.sigma_max,
        found.level_mean,
        found.level_std,
    ]
    assert all(isinstance(name, str) and isinstance(why, str) and len(why) > 20 for name, _, why in found.table())
    assert found.process() == EDM(found.sigma_min, found.sigma_max)


def test_the_largest_level_reaches_across_the_data():
    x = 30 * cloud(200, 3)
    far = float(torch.cdist(x.double(), x.double()).max())
    found = choose_noise_levels(x)
    assert found.sigma_max == pytest.approx(far, rel=1e-6)
    assert f"{far:.3g}" in found.reasons[1]
    assert (
        choose_noise_levels(x / 1000).sigma_max > 1000 * far / 1e5
    )  # never less than what makes Gaussians of standard data


def test_levels_follow_the_scale_of_the_data():
    """Twice as wide data are decided at twice the levels; the spread of ln σ has no units."""
    x = cloud(200, 3) * torch.tensor([30.0, 40.0, 50.0])
    one, two = choose_noise_levels(x), choose_noise_levels(2 * x)
    assert two.sigma_max == pytest.approx(2 * one.sigma_max, rel=1e-6)
    assert two.level_mean == pytest.approx(one.level_mean + math.log(2), abs=1e-6)
    assert two.level_std == pytest.approx(one.level_std, abs=1e-6)


def test_levels_do_not_see_where_the_data_lie_nor_how_they_are_turned():
    x = cloud(200, 3).double() * torch.tensor([1.0, 5.0, 50.0])
    turn = torch.linalg.qr(cloud(3, 3, seed=1).double())[0]
    for other in (x + 7, x @ turn, x.flip(0)):
        found, one = choose_noise_levels(other), choose_noise_levels(x)
        for name in ("sigma_min", "sigma_max", "level_mean", "level_std"):
            assert getattr(found, name) == pytest.approx(getattr(one, name), rel=1e-6, abs=1e-6)


def test_data_of_many_scales_get_a_wider_law():
    plain, steep = cloud(500, 404), cloud(500, 404) * torch.tensor([10.0] * 4 + [0.1] * 400)
    assert choose_noise_levels(steep).level_std > choose_noise_levels(plain).level_std
    assert choose_noise_levels(0.1 * plain).level_mean < choose_noise_levels(plain).level_mean


def test_denser_data_ask_for_smaller_levels():
    found = [choose_noise_levels(cloud(count, 2)).sigma_min for count in (10, 300, 3000)]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1]


@pytest.mark.parametrize("size", [0.05, 0.15])
def test_integers_ask_for_a_tenth_of_their_step(size):
    """Finer noise than a tenth of the step shows nothing but the lattice."""
    x = (cloud(3000, 1) / size).round() * size
    found = choose_noise_levels(x, size)
    assert found.sigma_min == pytest.approx(0.1 * size)
    assert "step between neighbouring values" in found.reasons[0]
    assert (
        choose_noise_levels(x, 1e-9).sigma_min == choose_noise_levels(x).sigma_min
    )  # a step finer than the neighbours are
    assert "nearest neighbour" in choose_noise_levels(x).reasons[0]


def test_copies_of_data_are_no_neighbours():
    x = cloud(200, 2)
    twice = torch.cat([x, x, x])
    assert choose_noise_levels(twice).sigma_min == pytest.approx(choose_noise_levels(x).sigma_min, rel=1e-6)
    two_points = choose_noise_levels(torch.tensor([[-1.0], [1.0]]).repeat(100, 1))
    assert 0 < two_points.sigma_min < 0.1


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_data(count):
    message = f"^noise levels follow from distances between examples: at least 2 are needed, got {count}$"
    with pytest.raises(ValueError, match=message):
        choose_noise_levels(cloud(count, 3))


def test_equal_data():
    with pytest.raises(ValueError, match=r"^all 5 examples are equal: there is nothing to learn$"):
        choose_noise_levels(cloud(1, 3).repeat(5, 1))


def test_levels_that_were_given():
    given = NoiseLevels(0.01, 50.0, -1.0, 1.2)
    assert [why for *_, why in given.table()] == ["given"] * 4
    with pytest.raises(ValueError, match="EDM needs 0 < sigma_min < sigma_max, got sigma_min=2, sigma_max=1"):
        NoiseLevels(2.0, 1.0, 0.0, 1.0).process()


def test_rows_in_their_units_are_calibrated_as_what_they_become():
    images = 100 + 30 * cloud(300, 1, 6, 6)
    units = Standardize((1, 6, 6), torch.tensor(100.0), torch.tensor(30.0))
    one, other = choose_noise_levels(ArrayRows(images), units=units), choose_noise_levels(units(images.double()))
    for name in ("sigma_min", "sigma_max", "level_mean", "level_std", "reach", "numbers"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-9)


def test_some_data_stand_for_all_but_for_the_largest_distance():
    x = 30 * cloud(500, 3)
    whole = diameter(x)
    found = choose_noise_levels(x[:100], reach=whole)
    assert found.sigma_max == found.reach == whole.low > choose_noise_levels(x[:100]).sigma_max
    bounds = choose_noise_levels(x[:100], reach=Diameter(200.0, 210.0, (0, 1), 500))
    assert bounds.sigma_max == 200.0 and "is 200 at least, and 210 at most" in bounds.reasons[1]


def test_the_ladder_begins_at_the_largest_distance():
    found = choose_noise_levels(cloud(400, 1, 8, 8))
    ladder, steps = found.ladder, found.annealing
    assert (ladder.first, ladder.last, ladder.numbers) == (found.reach, found.sigma_min, 64)
    assert ladder == Ladder.overlapping(found.reach, found.sigma_min, 64, 0.5)
    assert 3 <= steps.moves <= 100 and steps.ratio == best_ratio(steps.moves, ladder.gap)
    published = choose_noise_levels(cloud(400, 1, 8, 8), overlap=PUBLISHED_OVERLAP, moves=5, criterion=one_level)
    assert published.ladder.count > ladder.count and published.annealing.moves == 5
    assert published.annealing.ratio == best_ratio(5, published.ladder.gap, one_level)
    assert published.annealing.variance > best(published)


def best(found: NoiseLevels) -> float:
    return replace(found, ratio=None).annealing.variance


def test_published_choices():
    x = cloud(400, 1, 8, 8)
    found = choose_noise_levels(x).published(ncsnv2_smallest_level(x))
    same = choose_noise_levels(x, sigma_min=ncsnv2_smallest_level(x), overlap=PUBLISHED_OVERLAP, criterion=one_level)
    assert replace(found, reasons=()) == replace(same, reasons=())
    assert found.reasons[0] == "that of NCSNv2: 0.01 where data are between 0 and 1"
    by_name = {name: why for name, _, why, _ in found.rows(unit=2.0)}
    assert f"{2 * found.reach:.5g} in the units of the data" in by_name["first level σ_1 of a ladder"]


def test_the_smallest_level_may_be_given():
    x = torch.rand(300, 3, 4, 4, generator=torch.Generator().manual_seed(0)) / 0.3
    x[0, :, 0, 0], x[0, :, 0, 1] = 0.0, 1 / 0.3
    found = choose_noise_levels(x, sigma_min=ncsnv2_smallest_level(x))
    assert found.sigma_min == pytest.approx(0.01 / 0.3) == found.ladder.last and found.reasons[0] == "given"
    columns = torch.tensor([[0.0, 5.0, 7.0], [1.0, 5.0, 9.0]])
    assert ncsnv2_smallest_level(columns) == pytest.approx(0.01)  # of the narrowest column that varies
    assert ncsnv2_smallest_level(torch.tensor([0.0, 4.0])) == pytest.approx(0.04)


def test_every_number_has_a_reason_and_a_cost():
    for x in (cloud(300, 2), cloud(100, 1, 8, 8)):
        rows = choose_noise_levels(x).rows()
        assert len(rows) == 13 and rows[:4] == [
            (*row, cost[3]) for row, cost in zip(choose_noise_levels(x).table(), rows)
        ]
        for name, value, why, cost in rows:
            assert len(name) > 5 and math.isfinite(value) and len(why) > 10 and len(cost) > 10
    by_name = {name: (value, why, cost) for name, value, why, cost in rows}
    ladder = choose_noise_levels(x).ladder
    assert by_name["number of levels L"][0] == ladder.count
    assert by_name["their ratio γ"][2] == f"its square root: {2 * ladder.count - 1} levels"
    other = Ladder.overlapping(ladder.first, ladder.last, 64, PUBLISHED_OVERLAP).count
    assert by_name["overlap C of its neighbours"][2] == f"0.5667: {other} levels, as published"
    assert "0.5: " in {r[0]: r[3] for r in choose_noise_levels(x, overlap=0.5667).rows()}["overlap C of its neighbours"]
    few = {r[0]: r[2] for r in choose_noise_levels(cloud(300, 2)).rows()}
    assert "in few dimensions levels always overlap" in few["their ratio γ"]


def test_costs_are_true():
    """Twice the largest level takes as much of a sampler's way as it says."""
    rows = {name: cost for name, _, _, cost in NoiseLevels(0.01, 50.0, 0.0, 1.2).rows()}
    wider = EDM(0.01, 100.0).sigma(torch.linspace(0, 1, 100_001))
    share = float((wider > 50).double().mean())
    assert rows["largest level σ_max"] == f"twice: {100 * share:.2g} % of a sampler's steps"
    deeper = EDM(0.005, 50.0).sigma(torch.linspace(0, 1, 100_001))
    assert (
        rows["smallest level σ_min"]
        == f"half: {100 * float((deeper < 0.01).double().mean()):.2g} % of a sampler's steps"
    )


def test_calibrations_are_plain_data():
    found = choose_noise_levels(cloud(50, 1, 8, 8))
    kept = json.loads(json.dumps(asdict(found)))
    assert NoiseLevels(**{**kept, "reasons": tuple(kept["reasons"])}) == found
    assert found.scale == NoiseLevels.scale == 1.0


def test_a_ladder_needs_the_number_of_numbers():
    given = NoiseLevels(0.01, 50.0, -1.0, 1.2)
    assert len(given.rows()) == 4
    message = r"^a ladder depends on the dimension of the data: give NoiseLevels\(…, numbers=…\)$"
    with pytest.raises(ValueError, match=message):
        _ = given.ladder
    assert NoiseLevels(0.01, 50.0, -1.0, 1.2, numbers=3072, overlap=0.5667).ladder == Ladder(50.0, 0.01, 232, 3072)
