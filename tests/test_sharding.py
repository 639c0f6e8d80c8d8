"""Divided networks, where one process can say something of them; two processes: test_distributed.py."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import scorefield
from scorefield import Network, Training
from scorefield.denoisers import Gaussian, Preconditioned
from scorefield.distributed import ProcessLostError, connected
from scorefield.sharding import _failing, _parts, _Sum, divided, read_pieces, rows_of, whole, write_pieces
from scorefield.training.sharded import _networks

GRIDS = np.random.default_rng(0).normal(size=(60, 6, 6)).astype(np.float32).cumsum(1)


def fitted(run, steps=12, **training):
    how = Training(batch=16, shard=True, **training)
    return scorefield.fit(GRIDS, run, steps=12, network=Network(widths=(8, 16)), training=how, watch=stopping(steps))


def stopping(steps):
    def watch(progress):
        if progress.step == steps < 12:
            raise KeyboardInterrupt

    return watch


def test_the_order_of_parts_is_that_of_one_sum():
    pieces = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    total = _Sum()
    for piece in pieces:
        got = torch.empty(8)
        total(got, piece, None, None)
    assert torch.equal(got, pieces[0] + pieces[1] + pieces[2])
    with pytest.raises(RuntimeError, match="other parameters get gradients in one part of a step than in another"):
        total(torch.empty(4), pieces[0, :4], None, None)


@pytest.mark.parametrize(("count", "processes"), [(1, 2), (5, 2), (16, 4), (3, 8), (9, 4)])
def test_every_row_is_kept_by_one_process_as_pytorch_divides_them(monkeypatch, count, processes):
    monkeypatch.setattr("scorefield.sharding.size", lambda: processes)
    rows = [list(range(*rows_of(count, process))) for process in range(processes)]
    chunks = [chunk.tolist() for chunk in torch.arange(count).chunk(processes)]
    assert rows == chunks + [[]] * (processes - len(chunks))


def test_a_whole_in_one_process_is_its_piece():
    x = torch.arange(6.0).view(3, 2)
    assert torch.equal(whole(x, (3, 2)), x)


def test_large_parts_are_gathered_by_themselves_inner_ones_first():
    block = nn.Sequential(nn.Linear(8, 8), nn.ModuleList([nn.Linear(8, 8)]), nn.Linear(8, 1))
    found = list(_parts(nn.ModuleDict({"a": block, "b": nn.Linear(2, 2)}), 72))
    assert found == [block[0], block[1][0], block]


def test_pieces_are_read_back_in_place(tmp_path):
    x = torch.arange(12.0)
    write_pieces(tmp_path, {"a": x[:6].view(2, 3), "b": x[6:]})
    y = torch.zeros(12)
    read_pieces(tmp_path, {"a": y[:6].view(2, 3), "b": y[6:]})
    assert torch.equal(x, y)
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="could not be written or read by process 0"):
        write_pieces(tmp_path / "file" / "below", {"a": torch.zeros(2)})
    with pytest.raises(ValueError, match="could not be written or read by process 0"):
        read_pieces(tmp_path, {"a": torch.zeros(2)})


def test_old_versions_of_pytorch_are_named(monkeypatch):
    from torch.distributed.fsdp import FSDPModule

    monkeypatch.delattr(FSDPModule, "set_custom_reduce_scatter")
    with pytest.raises(
        RuntimeError, match="cannot divide a network as is needed here: update it, or fit without shard"
    ):
        divided([nn.Linear(2, 2)])


def test_what_cannot_be_divided_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="leave out gradient_sum or shard"):
        Training(shard=True, gradient_sum="any")
    for settings in ({"compile": True}, {"channels_last": True}):
        with pytest.raises(ValueError, match="leave out compile and channels_last, or shard"):
            Training(shard=True, **settings)
    with pytest.raises(ValueError, match="gradient_sum must be 'ordered' or 'any', got 'some'"):
        Training(gradient_sum="some")
    network = nn.Linear(2, 2)
    assert [*_networks(Preconditioned(network))] == [network]
    outside = Gaussian(torch.zeros(2), torch.ones(2))
    outside.factor = nn.Parameter(torch.ones(()))
    with pytest.raises(ValueError, match="Gaussian holds parameters outside of its network, which cannot be divided"):
        [*_networks(outside)]
    monkeypatch.setattr("scorefield.training.loop.size", lambda: 2)
    monkeypatch.setattr("scorefield.training.parts.size", lambda: 1)
    with pytest.raises(ValueError, match=r"SlicedScoreMatching of .* cannot be learned by a divided network"):
        scorefield.fit(GRIDS[:, 0], steps=2, objective="slicedscorematching", training=Training(shard=True))


def test_a_run_that_one_process_begins_is_divided_later_or_never(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "run", 5)
    assert (tmp_path / "run" / "training-5").is_dir()
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "run", 9)
    assert [path.name for path in (tmp_path / "run").glob("training-*")] == ["training-9"]
    model = fitted(tmp_path / "run").state_dict()
    other = scorefield.fit(GRIDS, steps=12, network=Network(widths=(8, 16)), training=Training(batch=16)).state_dict()
    assert all(torch.equal(value, other[name]) for name, value in model.items())


def test_a_state_without_its_weights_is_damaged(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path, 5)
    path = tmp_path / "training.safetensors"
    tensors, about = scorefield.checkpoint.read_tensors(path)
    scorefield.checkpoint.write_tensors(path, tensors, {**about, "pieces": "../elsewhere"})
    with pytest.raises(ValueError, match=r"cannot go on from .*it does not say which folder holds the weights"):
        fitted(tmp_path)
    scorefield.checkpoint.write_tensors(path, tensors, about)
    next((tmp_path / "training-5").iterdir()).unlink()
    with pytest.raises(ValueError, match="cannot go on from"):
        fitted(tmp_path)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_process_that_is_lost_while_all_write_is_named_as_such(tmp_path, wrapped):
    from torch.distributed.checkpoint.api import CheckpointException

    lost = RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer")
    with pytest.raises(ProcessLostError, match="has ended"), _failing(tmp_path):
        raise CheckpointException("", {1: (lost, None)}) if wrapped else lost


def test_errors_of_connections_are_those_of_other_processes():
    with pytest.raises(ProcessLostError, match="has ended"), connected():
        raise RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer")
    with pytest.raises(RuntimeError, match="of the user's"), connected():
        raise RuntimeError("an error of the user's")
