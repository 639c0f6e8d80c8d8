"""The check of imports: right networks pass, wrong ones do not, and the right activation is named."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from scorefield.denoisers import Denoiser, Gaussian
from scorefield.interop import ImportCheck, check_import, import_ncsnv2
from scorefield.interop.images import form, moments, units
from scorefield.interop.smoke import linear_error
from scorefield.model import Model
from scorefield.nn import RefineNet
from scorefield.processes import EDM
from scorefield.samplers import Heun, Sampling

SIGMAS = torch.tensor(np.geomspace(5, 0.01, 50)).float()


def smooth_images(count: int, side: int = 16, seed: int = 0) -> tuple[np.ndarray, Tensor]:
    """Periodic Gaussian fields of standard deviation 0.1 around 0.5, and their covariance."""
    distance = np.minimum(np.arange(side), side - np.arange(side))
    row = np.exp(-0.5 * (distance / 1.5) ** 2)
    circulant = np.stack([np.roll(row, i) for i in range(side)])
    covariance = 0.01 * np.kron(circulant, circulant) + 1e-8 * np.eye(side**2)
    root = np.linalg.cholesky(covariance)
    fields = 0.5 + np.random.default_rng(seed).normal(size=(count, side**2)) @ root.T
    return fields.reshape(count, side, side).astype(np.float32), torch.from_numpy(covariance).float()


class Planted(Denoiser):
    """The exact denoiser with a planted failure of its prediction of the noise."""

    def __init__(self, exact: Denoiser, failure: str) -> None:
        super().__init__()
        self.exact = exact
        self.failure = failure

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        if self.failure == "units":
            return 2 * self.exact((x + 1) / 2, level / 2) - 1
        if self.failure == "label":
            return self.exact(x, 2.5 * level)
        denoised = self.exact(x, level)
        if self.failure == "sign":
            return 2 * x - denoised
        if self.failure == "nan":
            return denoised * math.nan
        size = float(self.failure)
        return denoised + size * level * torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).to(x)


def model_of(denoiser: Denoiser, x: np.ndarray) -> Model:
    schema = form(1, x.shape[1:], x)
    standardize = units(schema, False)
    return Model(schema, standardize, denoiser, moments(schema, standardize, x)[0], Sampling(Heun(), 8, process=EDM()))


@pytest.fixture(scope="module")
def exact() -> tuple[np.ndarray, Gaussian]:
    x, covariance = smooth_images(300)
    return x, Gaussian(torch.full((1, 16, 16), 0.5), covariance)


@pytest.mark.parametrize("failure", ["0.5", "units", "sign", "nan", "0.98"])
def test_planted_failures_are_found(exact, failure):
    """Of the sizes of wrong imports; a relative error of 0.26 of the noise is the smallest that was seen."""
    x, truth = exact
    check = check_import(model_of(Planted(truth, failure), x), x)
    assert check.verdict == "wrong"
    assert str(check).startswith("the import looks wrong: its denoising error is ")


@pytest.mark.parametrize("failure", ["0.26", "label"])
def test_the_smallest_failures_are_not_passed(exact, failure):
    x, truth = exact
    assert check_import(model_of(Planted(truth, failure), x), x).verdict != "right"


def test_right_networks_pass_on_every_draw():
    """The linear filter is optimal for these fields: the hardest case. 20 data sets of 8 to 300 images."""
    for seed in range(20):
        x, covariance = smooth_images((8, 20, 60, 300)[seed % 4], seed=seed)
        check = check_import(model_of(Gaussian(torch.full((1, 16, 16), 0.5), covariance), x), x, seed=seed)
        assert check.verdict == "right", check


def test_the_linear_error_is_that_of_the_optimal_filter(exact):
    """The mean square error of the exact denoiser of Gaussian fields is the trace of (C^-1 + 1/σ²)^-1."""
    x, truth = exact
    for level in (0.03, 0.1, 0.3):
        covariance = truth.covariance.double()
        spectrum = torch.linalg.eigvalsh(covariance)
        optimal = float((spectrum * level**2 / (spectrum + level**2)).mean())
        assert linear_error(torch.from_numpy(x)[:, None], level) == pytest.approx(optimal, rel=0.05)


def test_what_the_check_needs(exact):
    x, truth = exact
    model = model_of(truth, x)
    with pytest.raises(ValueError, match="an import is checked on 8 images or more, got 7: pass more of them"):
        check_import(model, x[:7])
    with pytest.raises(ValueError, match="all numbers in the images are equal or not finite"):
        check_import(model, np.full_like(x, 0.5))
    narrow = model.replace(sampling=Sampling(Heun(), 8, process=EDM(1.0, 80.0)))
    with pytest.raises(ValueError, match=r"the model knows no noise level of 0\.3 to 3 times"):
        check_import(narrow, x)
    assert check_import(model, x, images=5).images == 5


def test_verdicts():
    def verdict(*ratios: float) -> str:
        return ImportCheck((1.0,) * len(ratios), ratios, (1.0,) * len(ratios), 9).verdict

    assert verdict(0.5, 0.7, 1.1) == "right"
    assert verdict(0.5, 1.3) == "uncertain"
    assert verdict(0.5, 1.6) == verdict(0.5, math.nan) == verdict(math.nan, 0.5) == "wrong"


# -- networks whose activation is known ----------------------------------------------------------------------------


def digits() -> np.ndarray:
    from sklearn.datasets import load_digits

    return (load_digits().images / 16).astype(np.float32)


def trained(activation: str, x: Tensor, steps: int, features: int, seed: int = 0) -> RefineNet:
    """A small NCSNv2."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = RefineNet(1, features, activation=activation)
        optimizer = torch.optim.Adam(network.parameters(), 2e-3)
        for step in range(steps):
            clean = x[torch.randint(len(x), (32,))]
            sigma, z = SIGMAS[torch.randint(len(SIGMAS), (32,))][:, None, None, None], torch.randn_like(clean)
            loss = (network.at(2 * (clean + sigma * z) - 1) + z).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            optimizer.param_groups[0]["lr"] = 2e-3 * (1 - step / steps)
    return network


def imported(network: RefineNet, path: Any, x: np.ndarray, **options: Any) -> tuple[Model, list[str]]:
    torch.save({"sigmas": SIGMAS, **network.state_dict()}, path)
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always", UserWarning)
        model = import_ncsnv2(path, x=x, centred=False, **options)
    return model, [str(note.message) for note in notes if note.category is UserWarning]


def fitted(activation: str, x: Tensor, features: int = 8) -> RefineNet:
    """A random NCSNv2 whose last layer is the best linear one for denoising: a network that knows its activation."""
    generator = torch.Generator().manual_seed(0)
    network = RefineNet(1, features, activation=activation)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.data = torch.randn(parameter.shape, generator=generator) / math.sqrt(parameter[0].numel())
    captured: list[Tensor] = []
    handle = network.end_conv.register_forward_pre_hook(lambda _, inputs: captured.append(inputs[0]))
    index = torch.randint(len(SIGMAS), (len(x), 1, 1, 1), generator=generator)
    z = torch.randn(x.shape, generator=generator)
    with torch.no_grad():
        network.at(2 * (x + SIGMAS[index] * z) - 1)
        handle.remove()
        columns = torch.nn.functional.unfold(captured[0], 3, padding=1).mT.reshape(-1, 9 * features).double()
        columns = torch.cat((columns, torch.ones(len(columns), 1)), 1)
        gram = columns.T @ columns + 1e-3 * torch.eye(columns.shape[1])
        solution = torch.linalg.solve(gram, columns.T @ -z.reshape(-1, 1).double()).float().flatten()
        network.end_conv.weight.copy_(solution[:-1].reshape(1, features, 3, 3))
        network.end_conv.bias.copy_(solution[-1:])
    return network


@pytest.mark.parametrize("activation", ["relu", "silu"])
@pytest.mark.slow
def test_the_right_activation_is_named(tmp_path, activation):
    """By images, whether it was assumed or asked for; the model keeps what was asked for."""
    x = digits()
    network = fitted(activation, torch.from_numpy(x)[300:800, None])
    for given in ({}, {"activation": "lrelu"}):
        model, notes = imported(network, tmp_path / "a.pth", x[:300], **given)
        assert f"activation='{activation}' fits better" in notes[0]
        assert model.denoiser.network.activation == given.get("activation", "elu")
    again, notes = imported(network, tmp_path / "a.pth", x[:300], activation=activation)
    assert not any("fits better" in note for note in notes)
    z = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(again.denoiser.network.at(z), network.at(z), rtol=1e-6, atol=1e-6)
    assert not torch.equal(model.denoiser.network.at(z), network.at(z))


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["elu", "relu"])
def test_a_trained_network_knows_its_activation(tmp_path, activation):
    """Trained briefly: with no other activation does it pass or fit as well, and its own is named.

    Leaky ReLU is so close to ReLU that the error may differ by less than the 7 % that advice needs.
    """
    x = digits()
    network = trained(activation, torch.from_numpy(x)[300:, None], 150, 8)
    ratios = {}
    for other in ("elu", "relu", "lrelu", "silu"):
        model, notes = imported(network, tmp_path / "a.pth", x[:300], activation=other)
        check = check_import(model, x[:300])
        ratios[other] = check.mean_ratio
        assert other == activation or check.verdict != "right"
        if {other, activation} != {"relu", "lrelu"}:
            assert any(f"activation='{activation}' fits better" in note for note in notes) is (other != activation)
    assert min(ratios, key=lambda name: ratios[name]) == activation
