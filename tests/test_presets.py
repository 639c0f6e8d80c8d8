"""Presets: the numbers of Table 4, what is computed from them, and experiments that run."""

from __future__ import annotations

import importlib.util
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scorefield import presets
from scorefield.data import ArrayRows
from scorefield.mcmc import Langevin
from scorefield.noise_levels import Ladder
from scorefield.presets import Experiment
from scorefield.samplers import AnnealedLangevin

ALL = [getattr(m, n) for m in (presets.ncsn, presets.ncsnv2) for n in m.__all__]


@pytest.fixture(scope="module")
def table4():
    path = Path(__file__).parents[1] / "benchmarks" / "table4.py"
    spec = importlib.util.spec_from_file_location("table4", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["table4"] = module  # where its dataclass looks for the names in annotations
    spec.loader.exec_module(module)
    yield module
    del sys.modules["table4"]


# name: γ, C, L at C = 0.5 and at 0.5667, variance after one level at ε, the best ε for it and what that gives,
# variance after all levels at ε, the best ε for it and what that gives
TABLE = {
    "NCSN CIFAR-10": "1.6681 0.0000 119 126 1.1111 3.23e-06 1.0189 1.1111 3.24e-06 1.0190",
    "NCSN CelebA": "1.6681 0.0000 239 253 1.1111 3.23e-06 1.0189 1.1111 3.24e-06 1.0190",
    "NCSN LSUN church": "1.6681 0.0000 360 381 1.1111 3.23e-06 1.0189 1.1111 3.24e-06 1.0190",
    "NCSN LSUN bedroom": "1.6681 0.0000 480 508 1.1111 3.23e-06 1.0189 1.1111 3.24e-06 1.0190",
    "NCSNv2 CIFAR-10": "1.037559 0.5670 219 232 1.05547 6.18e-06 1.05547 1.1283 1.149e-05 1.0961",
    "NCSNv2 CelebA": "1.018414 0.5669 472 500 1.03135 3.34e-06 1.03135 1.1213 8.30e-06 1.0722",
    "NCSNv2 LSUN church": "1.012205 0.5662 745 788 1.02474 2.31e-06 1.02236 1.0787 7.66e-06 1.0693",
    "NCSNv2 LSUN bedroom": "1.009122 0.5665 1026 1086 1.01737 1.77e-06 1.01737 1.2001 7.71e-06 1.0719",
    "NCSNv2 LSUN tower": "1.009122 0.5665 1026 1086 1.01737 1.77e-06 1.01737 1.2001 7.71e-06 1.0719",
    "NCSNv2 FFHQ": "1.004537 0.5669 2182 2311 1.00905 8.93e-07 1.00885 inf 5.47e-06 1.0520",
    "NCSNv2 FFHQ, as configured": "1.004537 0.5669 2182 2311 1.00885 8.93e-07 1.00885 1.2004 5.47e-06 1.0520",
}


@pytest.mark.parametrize("name", TABLE)
def test_table_4_of_ncsnv2(table4, name):
    row = next(row for row in table4.rows() if row.name == name)
    paper, best = row.best(table4.one_level), row.best()
    ladder = row.ladder
    found = [ladder.gap, ladder.overlap, row.count(0.5), row.count(0.5667), row.one_level, *paper]
    found += [row.annealing.variance, *best]
    for printed, value in zip(TABLE[name].split(), found):
        if printed == "inf":
            assert value == math.inf
            continue
        mantissa, _, exponent = printed.partition("e")
        digit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
        assert abs(value - float(printed)) < 0.5001 * digit, f"{value} is not {printed}"


def test_the_table_is_complete_and_flags_what_does_not_fit(table4, capsys):
    assert {row.name for row in table4.rows()} == set(TABLE)
    table4.main()
    said = capsys.readouterr().out
    lines = {name: next(line for line in said.splitlines() if line.startswith(name + " ")) for name in TABLE}
    misfits = {name for name, line in lines.items() if "!" in line}
    assert misfits == {n for n in TABLE if n.startswith("NCSN ")} | {"NCSNv2 LSUN church", "NCSNv2 FFHQ"}
    assert "9.0e-08" in lines["NCSNv2 FFHQ"] and "∞ (6.8e+03)" in lines["NCSNv2 FFHQ"]
    assert "9.0e-07" in lines["NCSNv2 FFHQ, as configured"]
    assert "Table 4 prints 0.9e-7, a tenth" in said


def test_published_ladders_come_from_the_overlap_they_have():
    for name in presets.ncsnv2.__all__:
        ladder = getattr(presets.ncsnv2, name).ladder
        assert Ladder.overlapping(ladder.first, ladder.last, ladder.numbers, 0.5667) == ladder


@pytest.mark.parametrize("experiment", ALL, ids=lambda e: f"{e.data} {e.ladder.count}")
def test_the_parts_of_an_experiment_agree(experiment):
    levels = torch.tensor(experiment.ladder.levels, dtype=torch.float64)
    process, schedule = experiment.process(), experiment.schedule()
    assert torch.allclose(process.level(schedule.times(process, None)), levels, rtol=1e-9)
    assert schedule.steps == experiment.ladder.count - 1
    count = experiment.ladder.count
    u = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    assert torch.allclose(
        experiment.objective().levels.draw(u).flip(0), levels, rtol=1e-9
    )  # each as often as the others
    assert torch.equal(experiment.objective().weight(levels), 1 / levels**2)
    sampler = experiment.sampler()
    assert sampler == AnnealedLangevin(Langevin(sampler.transition.ratio), experiment.moves)
    assert sampler.transition.ratio == pytest.approx(experiment.annealing.ratio) == experiment.step / 1e-4
    assert float(experiment.units()(torch.full((1, *experiment.shape[:1], 1, 1), 255.0)).max()) == 1.0


@pytest.mark.parametrize("experiment", ALL, ids=lambda e: f"{e.data} {e.ladder.count}")
def test_the_networks_are_those_of_the_authors(experiment):
    """By the number of tensors in their checkpoints: NCSNv2, NCSNv2Deeper and NCSNv2Deepest; NCSN has more norms."""
    names = replace(experiment, features=2).denoiser().state_dict()
    deep = {4: 154, 5: 192, 6: 230}[experiment.depth]
    assert len(names) > deep if experiment.conditional else len(names) == deep
    assert names["sigmas"].shape == (experiment.ladder.count,)
    assert torch.allclose(names["sigmas"].double(), torch.tensor(experiment.ladder.levels, dtype=torch.float64))


def small(experiment: Experiment, **changes) -> Experiment:
    side = 8
    ladder = Ladder(experiment.ladder.first, 0.01, 10, side**2)
    return replace(experiment, shape=(1, side, side), ladder=ladder, features=4, batch=8, moves=1, **changes)


@pytest.mark.parametrize("base", [presets.ncsnv2.cifar10, presets.ncsn.cifar10], ids=["v2", "v1"])
def test_an_experiment_runs(base):
    images = (torch.rand(64, 8, 8, generator=torch.Generator().manual_seed(0)) > 0.5).to(torch.uint8) * 255
    experiment = small(base, steps=12, learning_rate=4e-3, average=0.5)
    torch.manual_seed(0)
    denoiser = experiment.denoiser()
    before = [p.clone() for p in denoiser.parameters()]
    loss = [float(progress.loss) for progress in experiment.train(denoiser, ArrayRows(images[:, None]))]
    assert len(loss) == 12 and sum(loss[-3:]) < sum(loss[:3])
    assert any(not torch.equal(a, b) for a, b in zip(before, denoiser.parameters()))
    assert not denoiser.training and not any(p.requires_grad for p in denoiser.parameters())
    model = experiment.model(denoiser, images.numpy())
    drawn = model.sample(2)
    assert drawn.shape == (2, 8, 8) and drawn.dtype == images.numpy().dtype
    with pytest.raises(
        ValueError, match=r"^the experiment is for images \(1, 8, 8\), channels first, got \(1, 8, 4\)$"
    ):
        experiment.model(denoiser, images[:, :, :4].numpy())


def test_training_is_adam_with_an_average_of_the_weights():
    """Step by step: the same weights as the plain loop of the paper makes with the same noise."""
    from scorefield.rng import Steps
    from scorefield.training import Feed

    rows = ArrayRows(torch.randint(0, 256, (40, 1, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8))
    experiment = small(presets.ncsnv2.ffhq, steps=6, flip=False, average=0.8)
    torch.manual_seed(0)
    ours = experiment.denoiser()
    for _ in experiment.train(ours, rows, seed=3):
        pass
    torch.manual_seed(0)
    plain = experiment.denoiser().train()
    adam = torch.optim.Adam(plain.parameters(), experiment.learning_rate, eps=experiment.epsilon)
    shadow = [p.detach().clone() for p in plain.parameters()]
    feed, rng = Feed(rows, experiment.units(), experiment.batch, 3), Steps(3)
    for step in range(6):
        x0 = feed.batches(step)
        rng.at(step)
        level = experiment.objective().levels.draw(rng.stratified(len(x0))).reshape(-1, 1, 1, 1)
        z = rng.normal_like(x0)
        score = (plain(x0 + level * z, level) - x0 - level * z) / level**2
        loss = 0.5 * ((score + z / level).square().sum((1, 2, 3)) * level[:, 0, 0, 0] ** 2).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        for average, p in zip(shadow, plain.parameters()):
            average.lerp_(p.detach(), 0.2)
    for p, average in zip(ours.parameters(), shadow):
        torch.testing.assert_close(p, average, rtol=1e-3, atol=1e-6)


def test_images_are_mirrored_and_dequantized():
    x = torch.zeros(400, 1, 8, 8)
    x[..., 0] = 1.0
    from scorefield.rng import Steps

    experiment = small(presets.ncsn.cifar10)
    found = experiment._augmented(x, Steps(0).at(1), 255.0)
    mirrored = (found[:, 0, :, 7] > 0.5).all(1)
    assert 120 < int(mirrored.sum()) < 280
    assert (
        float(found.min()) >= 0
        and float(found.max()) < 1
        and float((found * 256 % 1).std()) == pytest.approx(12**-0.5, rel=0.05)
    )
    plain = small(presets.ncsnv2.cifar10, flip=False)
    assert torch.equal(plain._augmented(x, Steps(0).at(1), 255.0), x)


def test_a_loop_that_is_left_keeps_the_average():
    rows = ArrayRows(torch.randint(0, 256, (40, 1, 8, 8)).to(torch.uint8))
    experiment = small(presets.ncsnv2.cifar10, steps=100)
    denoiser = experiment.denoiser()
    for progress in experiment.train(denoiser, rows):
        if progress.step == 2:
            break
    assert not any(p.requires_grad for p in denoiser.parameters())


def test_training_that_leaves_the_finite_numbers():
    experiment = small(presets.ncsnv2.cifar10, steps=3)
    denoiser = experiment.denoiser()
    torch.nn.init.constant_(denoiser.network.end_conv.bias, math.inf)
    with pytest.raises(
        RuntimeError, match=r"^the loss became non-finite .NaN or inf. at step 1: take a learning rate below 0.0001$"
    ):
        list(experiment.train(denoiser, ArrayRows(torch.zeros(40, 1, 8, 8, dtype=torch.uint8))))


def test_a_ladder_is_for_images_of_its_size():
    with pytest.raises(ValueError, match=r"^images of 64 numbers need a ladder of that dimension, got one of 3072$"):
        replace(presets.ncsnv2.cifar10, shape=(1, 8, 8))
