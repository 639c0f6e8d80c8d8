"""A classifier of noisy data, and a model that it leads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import scorefield
from scorefield import Training, fit
from scorefield.classifier_guidance import fit_classifier
from scorefield.denoisers import ClassifierGuided, Mixture, NoisyClassifier
from scorefield.nn import ClassifierNetwork

D = torch.float64
MEANS = torch.tensor([[-1.5, 0.0], [1.0, 0.5]], dtype=D)
WEIGHTS, STD = torch.tensor([0.3, 0.7], dtype=D), torch.tensor([0.4, 0.8], dtype=D)


class Posterior(nn.Module):
    """The logits of the components of a mixture, given a state that was divided by √(1 + σ²)."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones((), dtype=D))  # tells the type

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        level = torch.exp(4 * c)[:, None]
        variance = STD**2 + level**2
        squares = (x[:, None] * torch.sqrt(1 + level**2)[..., None] - MEANS).square().sum(2)
        return WEIGHTS.log() - torch.log(variance) - squares / (2 * variance)


@pytest.mark.parametrize("level", [0.05, 0.7, 20.0])
@pytest.mark.parametrize("label", [0, 1])
def test_a_weight_of_one_is_the_distribution_of_the_class(level, label):
    """Exactly, with the exact classifier of a mixture: Bayes' rule, level by level."""
    x = 2 * torch.randn(50, 2, dtype=D, generator=torch.Generator().manual_seed(0))
    at = torch.tensor(level, dtype=D)
    whole = ClassifierGuided(Mixture(MEANS, STD, WEIGHTS), NoisyClassifier(Posterior()), label)
    alone = Mixture(MEANS[label : label + 1], STD[label : label + 1], torch.ones(1, dtype=D))
    torch.testing.assert_close(whole(x, at), alone(x, at), rtol=1e-9, atol=1e-9)


def test_a_state_keeps_its_gradient():
    x = torch.randn(3, 2, dtype=D, generator=torch.Generator().manual_seed(0), requires_grad=True)
    whole = ClassifierGuided(Mixture(MEANS, STD, WEIGHTS), NoisyClassifier(Posterior()), 1)
    assert torch.autograd.gradcheck(lambda x: whole(x, torch.tensor(0.7, dtype=D)), x)


@pytest.mark.parametrize("shape", [(3,), (1, 9), (2, 6, 5), (1, 4, 4, 4)])
def test_a_classifier_starts_with_equal_probabilities(shape):
    network = ClassifierNetwork(shape, 4, width=8)
    found = NoisyClassifier(network)(torch.randn(5, *shape), torch.tensor(0.3))
    torch.testing.assert_close(found, torch.full((5, 4), 0.25).log())
    with pytest.raises(
        ValueError, match=r"^ClassifierNetwork needs data of one to four axes, 2 classes and positive sizes, got"
    ):
        ClassifierNetwork(shape, 1)


@pytest.fixture(scope="module")
def two():
    label = np.array(["left", "right"])[np.arange(1000) % 2]
    x = np.random.default_rng(0).normal(size=(1000, 2)) * 0.5 + np.where(label == "left", -1.0, 1.0)[:, None]
    return x, label, fit(x, training=Training(steps=600))


def test_it_learns_and_leads(two, tmp_path):
    x, label, model = two
    losses: list[float] = []
    classifier = fit_classifier(model, x, label, steps=300, watch=lambda loss: losses.append(float(loss)))
    assert classifier.names == ("left", "right") and np.mean(losses[-50:]) < np.mean(losses[:20])
    right = model.guide(classifier, "right")
    drawn = right.sample(500, seed=1)
    assert np.abs(drawn.mean(0) - 1).max() < 0.2 and np.abs(drawn.std(0) - 0.5).max() < 0.12
    right.save(tmp_path / "right.safetensors")
    np.testing.assert_allclose(
        scorefield.load(tmp_path / "right.safetensors").sample(20, seed=1), right.sample(20, seed=1)
    )


def test_unknown_classes(two):
    x, label, model = two
    with pytest.raises(ValueError, match=r"^a classifier needs classes: strings, or few different whole numbers$"):
        fit_classifier(model, x, x[:, 0])
    with pytest.raises(ValueError, match=r"^every row needs one class, got 5 classes for 1000 rows$"):
        fit_classifier(model, x, label[:5])
    with pytest.raises(ValueError, match=r"^the classifier has no class 'up': its classes are left, right$"):
        model.guide(fit_classifier(model, x, label, steps=1), "up")
