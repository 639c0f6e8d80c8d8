"""What a GPU is given to be fast, on the CPU: the same losses as without, and a model that is as without."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from scorefield import Network, Training, fit, load
from scorefield.fitting import Options, finish, plan, prepare, trainer_of
from scorefield.fitting.hardware import Hardware
from scorefield.nn import UNet
from scorefield.progress import listening
from scorefield.training import Accelerated, feed, plain

NETWORK = Network(widths=(16, 32), attention=True)
SETTINGS = Training(steps=6, batch=8, evaluations=1, warmup=2, precision="float32", reference_batch=0)
TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2}


def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (120, 12, 12, 3), dtype=np.uint8)


def losses(**changes: Any) -> list[float]:
    """Those of six steps."""
    options = Options(network=NETWORK, training=replace(SETTINGS, **changes), device="cpu")
    trainer = trainer_of(plan(prepare(images(), options), options))
    return [float(progress.loss) for progress in trainer.run()]


@pytest.fixture
def compiled_by_python(monkeypatch):
    """PyTorch's capture of a network without its compiler, which takes minutes."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))


@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "changes",
    [
        {"channels_last": True},
        pytest.param({"compile": True}, marks=pytest.mark.slow),
        pytest.param({"compile": True, "channels_last": True}, marks=pytest.mark.slow),
    ],
)
def test_losses_are_the_same(compiled_by_python, changes, precision):
    assert np.allclose(losses(**changes, precision=precision), losses(), rtol=TOLERANCE[precision])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="PyTorch compiles with g++ on a CPU")
def test_losses_of_compiled_code_are_the_same():
    found = losses(compile=True, channels_last=True, precision="bfloat16")
    assert np.allclose(found, losses(), rtol=TOLERANCE["bfloat16"])


def test_data_that_are_kept_ready_give_the_losses_of_those_that_are_read(monkeypatch):
    kept = losses()
    monkeypatch.setattr(feed, "_KEPT", 0)
    assert np.allclose(losses(), kept, rtol=1e-6)


def test_channels_are_last_in_memory():
    class Seen(torch.nn.Module):
        def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
            self.found = x.is_contiguous(memory_format=torch.channels_last if x.ndim == 4 else torch.channels_last_3d)
            return x

    for shape in ((2, 3, 4, 4), (2, 3, 4, 4, 4)):
        network = Seen()
        assert torch.equal(
            Accelerated(network, channels_last=True)(torch.ones(shape), torch.ones(2)), torch.ones(shape)
        )
        assert network.found
    signal = torch.ones(2, 3, 8)
    assert torch.equal(Accelerated(UNet(1, 3, (16,)), channels_last=True)(signal, torch.ones(2)), 0 * signal)


@pytest.mark.slow
def test_a_model_holds_the_network_alone(compiled_by_python, tmp_path):
    settings = Training(steps=4, batch=8, compile=True, channels_last=True)
    model = fit(images(), network=NETWORK, training=settings, device="cpu")
    assert not any(isinstance(part, Accelerated) for part in model.modules())
    model.save(tmp_path / "model.safetensors")
    assert np.array_equal(load(tmp_path / "model.safetensors").sample(4), model.sample(4))


def test_networks_go_back_to_their_places():
    network = torch.nn.Linear(2, 2)
    outer = torch.nn.Sequential(torch.nn.Sequential(Accelerated(Accelerated(network))), torch.nn.ReLU())
    plain(outer)
    assert outer[0][0] is network


@pytest.mark.slow
def test_an_interrupted_run_resumes_to_the_same_numbers(compiled_by_python):
    options = Options(network=NETWORK, training=replace(SETTINGS, compile=True), device="cpu")
    planned = plan(prepare(images(), options), options)
    whole, part, rest = (trainer_of(planned) for _ in range(3))
    for _ in whole.run():
        pass
    for progress in part.run():
        if progress.step == 3:
            break
    rest.load(*part.state())
    for _ in rest.run():
        pass
    assert torch.equal(rest.flat.values, whole.flat.values)


@pytest.mark.slow
def test_what_cannot_be_compiled_is_said_in_one_line(monkeypatch):
    def fails(*_: object) -> None:
        raise ValueError("no such compiler")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=fails))
    with pytest.raises(RuntimeError, match=r"^PyTorch could not compile the network \(.*\): leave compile out$"):
        losses(compile=True)


def test_vectors_have_no_channels():
    with pytest.raises(ValueError, match=r"^channels_last is for images and volumes, and these data are vectors"):
        prepare(np.zeros((60, 3)) + np.arange(60)[:, None], Options(training=Training(steps=2, channels_last=True)))


def test_where_compiling_was_chosen_and_fails_the_network_is_trained_as_it_is(monkeypatch):
    """The record says why; the losses are those without."""

    def fails(*_: object) -> None:
        raise torch._dynamo.exc.TorchDynamoException("no such compiler")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fails)
    monkeypatch.setattr("scorefield.fitting.budget.compiles", lambda *_: True)
    options = Options(network=Network(widths=(8,)), training=replace(SETTINGS, steps=2), device="cpu")
    prepared = prepare(images()[:, :4, :4], options)
    planned = plan(prepared, options, Hardware.of_gpu(132, 9, 80e9))
    trainer, usual = trainer_of(planned), trainer_of(plan(prepared, options))
    found, without = ([float(progress.loss) for progress in each.run()] for each in (trainer, usual))
    record = finish(planned, trainer).record
    assert record["not_compiled"] == "PyTorch could not compile the network (no such compiler)"
    assert np.allclose(found, without, rtol=1e-4) and "not_compiled" not in finish(planned, usual).record


def test_compiling_is_said(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    network, found = Accelerated(UNet(1, 1, (8,)), compiled=True), []
    x, c = torch.zeros(2, 1, 8), torch.zeros(2)
    with listening(found.append):
        network(x, c)
        assert {report.what for report in found} == {"compiling the network"}
        found.clear()
        network(x, c)
        assert not found  # it is there now
        network(x[:1], c[:1])
        assert found
