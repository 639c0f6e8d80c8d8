from __future__ import annotations

import errno
import json
import os
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from scorefield import checkpoint
from scorefield.conditions import Condition
from scorefield.data import Schema
from scorefield.denoisers import EDMPrediction, Empirical, Gaussian, Mixture, Preconditioned
from scorefield.model import Model, load
from scorefield.processes import EDM
from scorefield.rng import Samples
from scorefield.samplers import Sampling
from scorefield.units import Standardize


class Known(nn.Module):
    """A network that keeps its arguments, with numbers of many types."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.width = width
        self.weight = nn.Parameter(torch.linspace(0, 1, width, dtype=torch.float64) / 3)
        self.rough = nn.Parameter(torch.full((width,), 0.1, dtype=torch.bfloat16))
        self.register_buffer("count", torch.tensor([2**40, -1]))
        self.register_buffer("flags", torch.tensor([True, False]))
        self.register_buffer("turned", torch.arange(6.0).reshape(2, 3).T)
        self.register_buffer("strange", torch.tensor([float("nan"), float("inf"), -0.0]))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return x * self.weight


class Unknown(nn.Module):
    """A network that does not keep its arguments."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.layer = nn.Linear(size, size)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return self.layer(x)


class Curved(nn.Module):
    """A network that keeps its arguments, one of which is a function."""

    def __init__(self, size: int, activation: object) -> None:
        super().__init__()
        self.size, self.activation = size, activation
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return self.activation(x * self.weight)


def same_bits(one: nn.Module, other: nn.Module) -> None:
    left, right = one.state_dict(), other.state_dict()
    assert list(left) == list(right)
    for key in left:
        assert left[key].dtype == right[key].dtype
        assert left[key].shape == right[key].shape
        raw = [x.contiguous().reshape(-1).view(torch.uint8) for x in (left[key], right[key])]
        assert torch.equal(*raw), key


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def craft(path, spec, tensors=None, **about):
    """A file as someone else could write it."""
    about = {"format": checkpoint.FORMAT, "version": "0", "spec": spec} | about
    path.write_bytes(to_bytes(tensors or {}, {"scorefield": json.dumps(about)}))
    return path


# -- there and back ------------------------------------------------------------------------------------------------


def test_numbers_keep_their_bits_and_types(path):
    module = Preconditioned(Known(4), EDMPrediction(0.3), "bfloat16")
    with torch.no_grad():
        module.network.weight += Samples(0, count=4).normal((4,), torch.float64)
    checkpoint.save(module, path)
    again = checkpoint.load(path, ("scorefield", __name__))
    same_bits(module, again)
    assert again.network.width == 4
    assert (again.parametrization, again.precision) == (EDMPrediction(0.3), "bfloat16")
    assert not again.training
    assert not any(p.requires_grad for p in again.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_exact_denoisers(path, dtype):
    mean, covariance = torch.tensor([0.1, 0.2], dtype=dtype), torch.tensor([[1.0, 0.3], [0.3, 0.5]], dtype=dtype)
    weights = torch.tensor([0.25, 0.75], dtype=dtype)
    cases = [Gaussian(mean, covariance), Gaussian(mean, covariance.diag()), Empirical(covariance, chunk=1)]
    cases += [
        Mixture(covariance, torch.stack([covariance, covariance]), weights),
        Mixture(covariance, weights, weights),
    ]
    x, level = torch.tensor([[0.3, -0.4]], dtype=dtype), torch.tensor(0.5, dtype=dtype)
    for denoiser in cases:
        checkpoint.save(denoiser, path)
        again = checkpoint.load(path)
        same_bits(denoiser, again)
        assert type(again) is type(denoiser)
        assert torch.allclose(again(x, level), denoiser(x, level), rtol=1e-6, atol=0)  # alignment decides the last bit


def test_modules_that_hold_numbers_of_their_own(path):
    units = Standardize((2,), torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]))
    checkpoint.save(units, path)
    again = checkpoint.load(path)
    same_bits(units, again)
    assert again.shape == (2,)


def test_a_network_that_cannot_be_described_is_saved_by_its_numbers(path):
    module = Preconditioned(Unknown(2), EDMPrediction(0.5))
    checkpoint.save(module, path)
    with pytest.raises(
        ValueError, match=r"the file holds the numbers of a test_checkpoint\.Unknown, not how to build it"
    ):
        checkpoint.load(path)
    other = Unknown(2)
    assert not torch.equal(other.layer.weight, module.network.layer.weight)
    again = checkpoint.load(path, network=other)
    same_bits(module, again)
    assert again.network is other
    assert again.parametrization == EDMPrediction(0.5)


def test_a_type_that_was_changed_later_is_kept(path):
    module = Preconditioned(Unknown(2).double())
    with torch.no_grad():
        module.network.layer.weight /= 3
    checkpoint.save(module, path)
    same_bits(module, checkpoint.load(path, network=Unknown(2)))


def test_a_network_whose_arguments_are_no_data_is_too(path):
    class Local(Known):
        pass

    for network in (Curved(2, torch.tanh), Curved(2, torch.relu), nn.Sequential(nn.Linear(2, 2)), Local()):
        checkpoint.save(Preconditioned(network), path)
        with pytest.raises(ValueError, match=r"pass network="):
            checkpoint.load(path)
        assert checkpoint.load(path, network=network).network is network


def test_arguments_are_written_once_where_a_part_is_external(path):
    """The tensors that were gathered before the trouble showed are not written as well."""

    checkpoint.save(Pair(Gaussian(torch.zeros(2), torch.ones(2)), Unknown(2)), path)
    tensors, _ = checkpoint.read_tensors(path)
    assert sorted(key for key in tensors if key.startswith("argument.")) == ["argument.0", "argument.1"]
    again = checkpoint.load(path, ("scorefield", __name__), Unknown(2))
    assert torch.equal(again.denoiser.covariance, torch.ones(2))


class Pair(nn.Module):
    def __init__(self, denoiser: nn.Module, network: nn.Module) -> None:
        super().__init__()
        self.denoiser, self.network = denoiser, network


class Plain(nn.Module):
    """A module without a constructor of its own."""

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return -x


def test_a_module_without_a_constructor_has_no_arguments(path):
    checkpoint.save(Preconditioned(Plain()), path)
    again = checkpoint.load(path, ("scorefield", __name__))
    assert type(again.network) is Plain


def test_what_was_put_into_a_module_from_outside_is_not_lost(path):
    """Its class would not make it again: the part is written by its numbers alone."""
    for name, value in {"layer": nn.Linear(2, 2), "slope": 3.0, "weight": nn.Parameter(torch.ones(2))}.items():
        network = Plain()
        setattr(network, name, value)
        checkpoint.save(Preconditioned(network), path)
        with pytest.raises(ValueError, match=r"pass network="):
            checkpoint.load(path, ("scorefield", __name__))
        assert checkpoint.load(path, ("scorefield", __name__), network).network is network


class Odd(Condition):
    """A condition that does not keep its argument."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.bound = limit

    def transform(self, stage):
        return stage


class Even(Condition):
    """A condition without a constructor of its own."""

    def transform(self, stage):
        return replace(stage, denoiser=Preconditioned(Plain()))


def model_with(*conditions: Condition) -> Model:
    schema = Schema.of(torch.zeros(3, 2))
    exact = Gaussian(torch.zeros(2), torch.ones(2))
    sampling = Sampling(process=EDM())
    return Model(schema, Standardize((2,), torch.zeros(2), torch.ones(2)), exact, exact, sampling, None, conditions)


def test_own_conditions_are_kept_with_a_model_or_refused(path):
    model_with(Even()).save(path)
    again = load(path, ("scorefield", __name__))
    assert [type(each) for each in again.conditions] == [Even]
    before = path.read_bytes()
    with pytest.raises(
        ValueError, match=r"^a file cannot hold this Model: Odd cannot be described: .*'limit'"
    ) as caught:
        model_with(Even(), Odd(2.0)).save(path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_two_parts_by_their_numbers_alone_are_refused(path):
    """One argument, network=…, could not stand for both."""
    with pytest.raises(ValueError, match=r"of test_checkpoint\.Unknown and test_checkpoint\.Unknown it would hold"):
        checkpoint.save(Pair(Preconditioned(Unknown(2)), Unknown(2)), path)
    assert not path.exists()


def test_a_network_that_does_not_fit(path):
    checkpoint.save(Preconditioned(Unknown(2)), path)
    with pytest.raises(ValueError, match=r"the numbers in .*model\.safetensors do not fit the model that it describes"):
        checkpoint.load(path, network=Unknown(3))


def test_tied_weights_are_written(path):
    module = Unknown(2)
    module.twin = module.layer
    checkpoint.save(module, path)
    fresh = Unknown(2)
    fresh.twin = fresh.layer
    same_bits(module, checkpoint.load(path, network=fresh))


# -- what is no checkpoint -----------------------------------------------------------------------------------------


def test_a_missing_file(path):
    with pytest.raises(FileNotFoundError, match=r"there is no checkpoint .*model\.safetensors"):
        checkpoint.load(path)


@pytest.mark.parametrize("kept", [0, 4, 100, 0.5, -1])
def test_a_truncated_file(path, kept):
    checkpoint.save(Gaussian(torch.zeros(50), torch.ones(50)), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(ValueError, match=r"is truncated or damaged \(.*\): use another copy"):
        checkpoint.load(path)


def test_a_flipped_bit_is_seen_wherever_it_is(path):
    checkpoint.save(Preconditioned(Known(), EDMPrediction()), path)
    whole = path.read_bytes()
    name = whole.index(b"checksum")
    for place in {*range(0, len(whole), 3)} - {*range(name, name + 8)}:  # without its name, nothing is compared
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        with pytest.raises((ValueError, OSError)) as caught:
            checkpoint.load(path, trusted=("scorefield", "test_checkpoint"))
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    path.write_bytes(whole)
    checkpoint.load(path, trusted=("scorefield", "test_checkpoint"))


def test_a_file_of_another_kind(path):
    torch.save({"weight": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match=r"is truncated or damaged"):
        checkpoint.load(path)


@pytest.mark.parametrize("about", [None, {"format": "pt"}, {"scorefield": "null"}, {"scorefield": "[1, 2]"}], ids=str)
def test_a_file_of_someone_else(path, about):
    path.write_bytes(to_bytes({"weight": torch.zeros(2)}, about))
    with pytest.raises(
        ValueError, match="was not written by scorefield: it holds tensors, but nothing says what they are"
    ):
        checkpoint.load(path)


def test_a_file_whose_description_is_broken(path):
    path.write_bytes(to_bytes({}, {"scorefield": "{"}))
    with pytest.raises(ValueError, match=r"is truncated or damaged"):
        checkpoint.load(path)


def test_a_file_of_the_future(path):
    craft(path, None, format=checkpoint.FORMAT + 1, version="9.0")
    message = r"has format 3 \(scorefield 9\.0\), this version reads formats 1 to 2: update scorefield"
    with pytest.raises(ValueError, match=message):
        checkpoint.load(path)


@pytest.mark.parametrize("unknown", [0, -1, None, "2", 1.5])
def test_a_format_that_never_was(path, unknown):
    craft(path, None, format=unknown)
    with pytest.raises(ValueError, match=r"has format .*, this version reads formats 1 to 2"):
        checkpoint.load(path)


def test_a_file_of_format_1_has_the_names_of_0_1_0(path):
    karras = {"class": "scorefield.denoise.Karras", "arguments": {"scale": 0.5}}
    old = {
        "class": "scorefield.denoise.Preconditioned",
        "arguments": {"parametrization": karras, "precision": "bfloat16"},
    }
    old["arguments"]["network"] = {"class": f"{__name__}.Known", "arguments": {"width": 2}}
    tensors = {f"state.network.{name}": value.contiguous() for name, value in Known(2).state_dict().items()}
    craft(path, old, tensors, format=1)
    again = checkpoint.load(path, ("scorefield", __name__))
    assert again.parametrization == EDMPrediction(0.5)


def test_a_training_state_is_no_model(path):
    checkpoint.write_tensors(path, {"step": torch.tensor(3)}, {"kind": "training"})
    with pytest.raises(ValueError, match=r"holds no model: is it the training state next to model\.safetensors\?"):
        checkpoint.load(path)


@pytest.mark.parametrize("kind", ["builtins.eval", "os.system", "test_checkpoint.Bomb", "subprocess.Popen"])
def test_a_file_cannot_call_what_it_names(path, kind):
    craft(path, {"class": kind, "arguments": {"x": "raise SystemExit"}})
    with pytest.raises(ValueError, match=rf"{kind} is not of the trusted packages \('scorefield',\)"):
        checkpoint.load(path)


def test_a_file_cannot_hide_a_call_inside_what_is_trusted(path, monkeypatch):
    asked = []
    monkeypatch.setattr(os, "system", asked.append)
    inner = {"class": "os.system", "arguments": {"command": "true"}}
    craft(path, {"class": "scorefield.denoisers.precondition.Preconditioned", "arguments": {"network": inner}})
    with pytest.raises(ValueError, match=r"os\.system is not of the trusted packages"):
        checkpoint.load(path)
    assert asked == []


@pytest.mark.parametrize("spec", [{"class": "scorefield.processes.VP", "arguments": {}}, 3, None, [1]], ids=str)
def test_a_file_that_describes_no_module(path, spec):
    craft(path, spec)
    with pytest.raises(ValueError, match=r"describes .*, which is not a module|a description takes Module, not"):
        checkpoint.load(path)


def test_a_file_that_lacks_a_tensor(path):
    gaussian = {
        "class": "scorefield.denoisers.exact.Gaussian",
        "arguments": {"mean": {"tensor": 0}, "covariance": {"tensor": 1}},
    }
    craft(path, gaussian, {"argument.0": torch.zeros(2), "argument.7": torch.ones(2)})
    with pytest.raises(ValueError, match="a description asks for tensor 1 of 1: the file is not whole"):
        checkpoint.load(path)
    craft(path, gaussian, {"argument.0": torch.zeros(2), "argument.1": torch.ones(2)})
    with pytest.raises(ValueError, match="do not fit the model that it describes"):
        checkpoint.load(path)


# -- writing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_intact(path, monkeypatch, fails):
    checkpoint.save(Gaussian(torch.zeros(2), torch.ones(2)), path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, fails, full)
    message = r"model\.safetensors could not be written \(No space left on device\); what was there is unchanged: free"
    with pytest.raises(OSError, match=message) as caught:
        checkpoint.save(Gaussian(torch.ones(2), torch.ones(2)), path)
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OSError, match=r"could not be written .*was removed meanwhile: make it again, then run"):
        checkpoint.write_atomically(tmp_path / "missing" / "file", b"")


def test_writing_replaces_the_whole_file(tmp_path):
    for content in (b"a longer text", b"short"):
        checkpoint.write_atomically(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == content
    assert os.listdir(tmp_path) == ["file"]


def test_tensors_and_what_they_are(path):
    x = torch.arange(6.0).reshape(2, 3)
    checkpoint.write_tensors(path, {"x": x.T, "grad": x.clone().requires_grad_()}, {"note": "é", "steps": [1, 2]})
    tensors, about = checkpoint.read_tensors(path)
    assert torch.equal(tensors["x"], x.T)
    assert torch.equal(tensors["grad"], x)
    assert (about["note"], about["steps"], about["format"]) == ("é", [1, 2], checkpoint.FORMAT)
