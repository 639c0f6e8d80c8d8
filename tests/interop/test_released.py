"""Released files: tensors, numbers, lists and dicts are read, pickled objects are refused."""

from __future__ import annotations

import fractions

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from scorefield.interop.released import fill, is_state, read_released, without_prefix


@pytest.mark.parametrize("new", [True, False], ids=["zip", "before 1.6"])
def test_lists_dicts_and_tensors_are_read(tmp_path, new):
    layer = nn.Linear(2, 1)
    content = [layer.state_dict(), torch.optim.Adam(layer.parameters()).state_dict(), 3, {"shadow": torch.ones(2)}]
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=new)
    found = read_released(tmp_path / "a.pth")
    assert found[2] == 3
    assert torch.equal(found[3]["shadow"], torch.ones(2))
    save_file({"a": torch.ones(3)}, tmp_path / "a.safetensors")
    assert read_released(tmp_path / "a.safetensors")["a"].shape == (3,)


def test_pickled_objects_are_refused(tmp_path):
    path = tmp_path / "whole.pth"
    torch.save({"value": fractions.Fraction(1, 2)}, path)
    with pytest.raises(ValueError, match=r"whole\.pth holds a pickled fractions\.Fraction, but only tensors"):
        read_released(path)
    torch.save(nn.Linear(1, 1), path)
    with pytest.raises(ValueError, match=r"pickled torch\.nn\.modules\.linear\.Linear.*save the state_dict\(\) alone"):
        read_released(path)


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
@pytest.mark.parametrize("content", [b"", b"neither", b"PK\x03\x04 and then nothing"])
def test_broken_files(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"is truncated or damaged.* \(.+\): download it again"):
        read_released(tmp_path / name)


def test_truncated_and_missing_files(tmp_path):
    path = tmp_path / "a.pth"
    torch.save(torch.ones(1000), path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"a\.pth is truncated or damaged"):
        read_released(path)
    with pytest.raises(FileNotFoundError, match=r"there is no checkpoint .*b\.pth: did you mean"):
        read_released(tmp_path / "b.pth")
    with pytest.raises(ValueError, match="is a folder, which cannot be read as a checkpoint"):
        read_released(tmp_path)


def test_state_dicts_are_recognized():
    assert is_state({"a": torch.ones(1)})
    for other in ({}, [], {"a": 1}, {1: torch.ones(1)}, torch.ones(1)):
        assert not is_state(other)
    assert list(without_prefix({"module.a": torch.ones(1), "b.module.c": torch.ones(1)})) == ["a", "b.module.c"]


def test_weights_are_loaded_by_name_and_shape():
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    state = {k: torch.ones_like(v).double() for k, v in network.state_dict().items()}
    fill(network, state, "it")
    assert network[0].weight.dtype == torch.float32
    assert float(network(torch.ones(1, 2))) == 10
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert network[0].weight.data_ptr() != state["0.weight"].data_ptr()


def test_names_and_shapes_that_differ_are_listed():
    network = nn.Sequential(*(nn.Linear(2, 2) for _ in range(3)))
    state = network.state_dict()
    broken = {"2.bias": torch.full((2,), torch.nan)}
    with pytest.raises(ValueError, match=r"NaN or infinite weights: 1 \(2\.bias\): use an earlier one"):
        fill(network, state | broken, "it")
    state = {f"net.{k}" if k.startswith("0") else k: v for k, v in state.items() if "1" not in k}
    state["2.bias"] = torch.ones(5)
    expected = (
        r"does not fit it: 4 missing \(0\.weight, 0\.bias, 1\.weight, and 1 more\); "
        r"2 unknown \(net\.0\.weight, net\.0\.bias\); 1 of another shape \(2\.bias has shape \(5,\), not \(2,\)\): "
        "is it of another network"
    )
    with pytest.raises(ValueError, match=expected) as found:
        fill(network, state, "it")
    assert "\n" not in str(found.value)
