"""Whether what is asked of a conditional model is what it draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from scorefield import fit
from scorefield.context import Context
from scorefield.evaluation import RunData, check_condition, evaluate_run
from scorefield.reporting import report_content
from scorefield.settings import Network

CLASSES = np.arange(200) % 4


def rows(labels: np.ndarray, seed: int) -> torch.Tensor:
    """Points near the corner of a square that their class says."""
    noise = np.random.default_rng(seed).normal(size=(len(labels), 2))
    return torch.from_numpy(3.0 * np.stack([labels % 2, labels // 2], 1) + noise)


def encoded(given) -> tuple[Context, torch.Tensor]:
    context = Context.of(given, (2,))
    return context, context(given)


def test_samples_of_the_right_class_pass_as_often_as_they_should():
    """Of 60 checks of real data against real data at 5 %, 8 or more fail with a probability of 1 %."""
    context, asked = encoded({"digit": CLASSES})
    found = [
        check_condition(context, rows(CLASSES, s), asked, rows(np.tile(CLASSES, 2), 1000 + s), seed=s)
        for s in range(60)
    ]
    assert sum(check.distance.p_value <= 0.05 for check in found) < 8
    assert found[0].labels == ("digit = 0", "digit = 1", "digit = 2", "digit = 3") and set(found[0].counts) == {50}
    assert np.mean([check.samples - check.real for check in found]) == pytest.approx(0, abs=0.01)
    assert found[0].distance.counts == (400, 200) and found[0].classes


@pytest.mark.parametrize(("wrong", "least"), [(0.2, 0.85), (1.0, 1.0)])
def test_samples_that_ignore_their_class_are_found(wrong, least):
    """A share of the samples has another class than that asked for."""
    context, asked = encoded({"digit": CLASSES})
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        other = np.where(rng.random(200) < wrong, (CLASSES + 1) % 4, CLASSES)
        found.append(check_condition(context, rows(CLASSES, seed), asked, rows(other, 500 + seed), seed=seed))
    assert np.mean([check.distance.p_value <= 0.05 for check in found]) >= least


def test_numbers_are_checked_too_and_only_classes_that_occur_are_listed():
    rng = np.random.default_rng(0)
    size = rng.normal(10, 2, 200)
    context, asked = encoded({"size": size, "kind": np.where(CLASSES > 1, "a", "b")})

    def drawn(noise: float, seed: int) -> torch.Tensor:
        far = np.random.default_rng(seed).normal(size=(200, 2))
        return torch.from_numpy(np.stack([(size - 10) / 2, np.where(CLASSES > 1, 1.0, -1.0)], 1) + noise * far)

    good, bad = (
        [check_condition(context, drawn(0.2, s), asked, drawn(noise, 900 + s), seed=s) for s in range(20)]
        for noise in (0.2, 0.3)
    )
    assert good[0].labels == ("size", "kind = a", "kind = b") and not good[0].classes
    assert sum(check.distance.p_value <= 0.05 for check in good) <= 4  # 5 or more with a probability of 0.3 %
    assert all(check.distance.p_value <= 0.05 and check.samples[0] > check.real[0] for check in bad)


def test_what_cannot_be_checked_is_not():
    context, asked = encoded({"digit": CLASSES})
    x = rows(CLASSES, 0)
    assert check_condition(context, x[:30], asked[:30], x[:30]) is None  # too few
    assert check_condition(context, x, asked[:1].repeat(200, 1), x) is None  # one condition for all
    missing = asked.clone()
    missing[:100, :-1], missing[:100, -1] = 0, 1
    assert check_condition(context, x, missing, x).distance.counts[1] == 100  # rows without a condition do not count


@pytest.mark.slow
def test_a_run_is_checked_and_its_report_says_what_was_asked(tmp_path):
    """A model that learned its classes passes; with its conditions exchanged it does not, and the page says both."""
    labels = np.arange(600) % 4
    x = rows(labels, 7).numpy()
    network = Network(widths=(64,), depth=2)
    fit(x, tmp_path / "run", context={"digit": labels}, network=network, steps=400, device="cpu")
    data = RunData.of(tmp_path / "run", x).conditioned()
    good = evaluate_run(data, count=240)
    assert good.condition.distance in good.tests and good.condition.samples.mean() < 0.35
    wrong = replace(data, model=data.model.conditioned_on(_other(data.contexts)))
    bad = evaluate_run(wrong, count=240)
    assert "agreement with the condition" in {d.name for d in bad.rejected} and bad.condition.samples.mean() > 0.8
    assert any(reason.startswith("Samples do not follow their condition") for reason in bad.summary.reasons)
    content = report_content(data, count=60)
    assert content.subtitle == "600 vectors of 2 numbers, conditional on digit (4 classes)"
    assert len(content.asked) == 60 and set(content.asked) == {f"digit = {k}" for k in range(4)}
    origin = dict(content.provenance)
    assert origin["Rows"] == "600 rows of shape (2,), float64: 540 for training, 60 held out"
    assert origin["Data"] == "given in memory" and "seed 0" in origin["Fitted"] and "60 samples" in origin["Report"]


def _other(contexts: torch.Tensor) -> torch.Tensor:
    """The next class for each row."""
    return torch.cat([contexts[:, :4].roll(1, 1), contexts[:, 4:]], 1)
