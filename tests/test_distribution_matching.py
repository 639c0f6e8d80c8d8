"""Matching of distributions: what is learned of Gaussian data, what is kept of it, and the same bits again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import scorefield
from scorefield.denoisers import Denoiser, Gaussian
from scorefield.objectives import DistributionMatching, LogNormal
from scorefield.rng import Steps
from scorefield.runs import Run, distill
from scorefield.settings import Network, Training

LADDER = (20.0, 2.0)
SHORT = Training(steps=7, batch=4)


class Affine(Denoiser):
    """An affine map for each of two levels, which knows the distribution of its answers."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = torch.nn.Parameter(0.5 * torch.stack([torch.eye(2) / level for level in LADDER]))
        self.shift = torch.nn.Parameter(torch.zeros(2, 2))

    def forward(self, x, level):
        place = (level.reshape(-1) < LADDER[0] / 2).long()
        return torch.einsum("bij,bj->bi", self.matrix[place], x) + self.shift[place]

    def answers(self) -> list[Gaussian]:
        """Of one evaluation, and of two."""
        (a, b), (m, k) = self.matrix.detach(), self.shift.detach()
        one = LADDER[0] ** 2 * a @ a.T
        return [Gaussian(m, one), Gaussian(b @ m + k, b @ (one + LADDER[1] ** 2 * torch.eye(2)) @ b.T)]


def test_a_student_learns_mean_and_covariance_of_gaussian_data():
    teacher = Gaussian(torch.tensor([0.3, -0.2]), torch.tensor([[1.0, 0.6], [0.6, 0.8]]))
    student, loss, rng = Affine(), DistributionMatching(LogNormal(0.0, 1.0), LADDER), Steps(0)
    optimizer = torch.optim.Adam(student.parameters(), 0.02)
    for step in range(150):
        for group in optimizer.param_groups:
            group["lr"] = np.array([0.002, 0.02]) @ [step / 150, 1 - step / 150]
        x = LADDER[0] * rng.at(step).child("start").normal((256, 2))
        losses = loss(student, student.answers(), teacher, x, rng)[0]
        optimizer.zero_grad()
        losses.mean().backward()
        optimizer.step()
    for found in student.answers():
        np.testing.assert_allclose(found.mean, teacher.mean, atol=0.03)
        np.testing.assert_allclose(found.covariance, teacher.covariance, atol=0.06)


def test_the_denoiser_of_the_samples_has_the_loss_of_denoising_and_gives_the_student_no_gradient():
    student, teacher = Affine(), Gaussian(torch.zeros(2), torch.ones(2))
    own = Gaussian(torch.zeros(2), torch.ones(2))
    loss = DistributionMatching(LogNormal(0.0, 1.0), LADDER)
    x = LADDER[0] * torch.randn(4000, 2, generator=torch.Generator().manual_seed(0))
    mine, others = loss(student, (own, own), teacher, x, Steps(1))
    assert float(mine.detach().max()) == 0  # the same denoiser on both sides
    mine.mean().backward()
    assert float(student.matrix.grad.abs().max()) == 0
    assert not others.requires_grad
    # samples x_0 of variance 1/4, denoised as those of variance 1: (1 + 1/s²) E((s z - s² x_0) / (1 + s²))²
    level = LogNormal(0.0, 1.0).draw((torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000)
    expected = ((1 + level**2 / 4) / (1 + level**2)).mean()
    first = others[:4000]
    assert abs(float(first.mean() - expected)) < 4 * float(first.std()) / 4000**0.5


def test_a_ladder_needs_two_positive_levels():
    for ladder in ((2.0,), (2.0, 0.0)):
        with pytest.raises(ValueError, match="needs two positive levels or more"):
            DistributionMatching(LogNormal(), ladder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of 40 small images, and one that was distilled from it."""
    place = tmp_path_factory.mktemp("runs")
    x = np.random.default_rng(0).normal(size=(40, 6, 6)).cumsum(1)
    network = Network(widths=(8, 8), depth=1)
    model = scorefield.fit(x, place / "run", network=network, training=Training(steps=8, batch=8, precision="float32"))
    model.distill(place / "fast", training=SHORT, matching=True)
    return place


_AT = [pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow), 4]


@pytest.mark.parametrize("at", _AT)  # in the first training, at its end, and in the second
def test_what_was_cut_off_goes_on_to_the_same_bits(folder, tmp_path, at):
    model = Run(folder / "run").model

    def stop(progress) -> None:
        if progress.step == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill(model, tmp_path / "fast", training=SHORT, matching=True, watch=stop)
    again = model.distill(tmp_path / "fast", training=SHORT, matching=True)
    assert np.array_equal(again.sample(8), Run(folder / "fast").model.sample(8))
    one, other = (Run(place / "fast").read("fit.json") for place in (folder, tmp_path))
    assert {**one, "seconds": 0} == {**other, "seconds": 0}
    assert [row["step"] for row in Run(tmp_path / "fast").log] == [row["step"] for row in Run(folder / "fast").log]


def test_the_record_says_what_was_measured(folder):
    about = Run(folder / "fast").read("fit.json")
    assert about["steps"] == 7 and about["stopped"] == "the budget is used"
    assert set(about["energy_distance"]) == {"before", "after"}
    assert about["held_out_loss"] == pytest.approx(np.mean(about["by_level"]["loss"]))


def test_the_energy_distance_of_equal_distributions_is_0_and_sees_blur():
    from scorefield.training.matching import _energy

    x, y = torch.randn(2, 400, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    null = _energy(x, y)
    assert abs(float(null.mean())) < 4 * float(null.std()) / 400**0.5
    blurred = (y + y.roll(1, 2)) / 2
    assert float(_energy(x, blurred).mean()) > 10 * abs(float(null.mean()))


def test_images_are_matched_by_default_and_fields_and_vectors_are_not(folder):
    from scorefield.fitting import plan_distillation

    field = Run(folder / "run").model
    assert not plan_distillation(field, "", training=SHORT).matching
    field.schema = replace(field.schema, dtype="uint8", integer=True, low=0.0, high=255.0)
    assert plan_distillation(field, "", training=SHORT).matching
    assert not plan_distillation(field, "", training=Training(steps=1)).matching
    with pytest.raises(ValueError, match="distributions of grids are matched, in two steps or more"):
        plan_distillation(field, "", training=Training(steps=1), matching=True)


TOGETHER = """
import sys
from scorefield import Run, Training
from scorefield.distributed import joined
with joined():
    Run(sys.argv[1]).model.distill(sys.argv[2], training=Training(steps=5, batch=4, accumulate=2), matching=True)
"""


@pytest.mark.slow
def test_two_processes_match_to_the_bits_of_one(folder, tmp_path):
    from test_distributed import end, start

    for status, _, error in end(start(TOGETHER, [str(folder / "run"), str(tmp_path / "two")])):
        assert status == 0, error
    one = Run(folder / "run").model.distill(training=Training(steps=5, batch=4, accumulate=2), matching=True)
    assert np.array_equal(one.sample(8), Run(tmp_path / "two").model.sample(8))


@pytest.mark.slow
def test_contexts_and_guidance_are_matched_too():
    """Dark and bright images by their label: each is drawn as the guided teacher draws it."""
    rng = np.random.default_rng(0)
    label = rng.integers(2, size=400)
    x = (60 + 120 * label[:, None, None] + rng.normal(0, 12, (400, 6, 6))).clip(0, 255).astype(np.uint8)
    network = Network(widths=(16, 16), depth=1)
    model = scorefield.fit(x, context=label, network=network, training=Training(steps=400, batch=32))
    fast = model.distill(context=label, guidance=1.5, training=Training(steps=300, batch=16))
    for value in (0, 1):
        wanted = model.condition(label=value, guidance=1.5).sample(200).mean()
        for steps in (1, 2):
            found = fast.condition(label=value).sample(200, steps=steps)
            assert found.dtype == np.uint8 and abs(found.mean() - wanted) < 12
