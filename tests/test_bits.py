"""A sample has the same bits whatever the count, the batch, the threads and the process that draws it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from scorefield.blockwise import block_rows, in_one_thread, regrouped
from scorefield.posterior.methods import PosteriorMethod
from scorefield.rng import Mixed, Samples
from scorefield.samplers import Sampler

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import bits

VECTOR = [*bits.offered(Sampler), *[m for m in bits.offered(PosteriorMethod) if not isinstance(m, Sampler)]]
SLOW = {"AdaptiveSDE", "AnnealedLangevin", "DAPS", "DormandPrince", "ReplacementSMC", "TwistedParticles"}
SLOW |= {"MomentMatching", "PiGDM", "RePaint", "TMPD"}  # on grids


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def same_bits(kind: str, method: object, width: int, threads, counts: tuple[int, ...]) -> None:
    end = block_rows(bits.SHAPES[kind], getattr(method, "states", 1))  # of the first block
    whole = bits.draw(kind, method, max(end + 6, *counts), width=width)
    assert len(np.unique(whole)) > end  # draws, and not a constant
    for number in (1, 2):
        threads(number)
        for count in counts if number == 1 else counts[-1:]:
            assert bits.draw(kind, method, count, width=width).tobytes() == whole[:count].tobytes(), (number, count)
    across = bits.draw(kind, method, 4, start=end - 2, width=width)
    assert across.tobytes() == whole[end - 2 : end + 2].tobytes()


@pytest.mark.parametrize("method", VECTOR, ids=lambda m: type(m).__name__)
def test_vectors_have_the_same_bits(method, threads):
    same_bits("vectors", method, 128, threads, (1, 7, 64))


@pytest.mark.parametrize(
    "method",
    [pytest.param(m, marks=pytest.mark.slow) if type(m).__name__ in SLOW else m for m in VECTOR],
    ids=lambda m: type(m).__name__,
)
def test_grids_have_the_same_bits(method, threads):
    same_bits("grids", method, 64, threads, (1, 7))


@pytest.mark.slow
@pytest.mark.parametrize("kind", bits.KINDS)
def test_every_sampler_has_one_hash(kind, monkeypatch):
    """The table of the benchmark: two processes, two numbers of threads, all counts."""
    monkeypatch.setattr(sys, "argv", ["bits.py", "--kinds", kind, "--width", "64", "--counts", "1", "64", "130"])
    assert bits.main() == 0


def test_batches_and_pictures_have_the_same_bits():
    model = bits.model_of("vectors")
    count = block_rows(bits.SHAPES["vectors"]) + 6
    whole = model.sample(count, seed=3)
    for batch in (1, 7, 64, 500):
        parts = list(model.batches(count, seed=3, batch=batch))
        assert [len(part) for part in parts] == [min(batch, count - i) for i in range(0, count, batch)]
        assert torch.cat(parts).numpy().astype(whole.dtype).tobytes() == whole.tobytes()
    few, many = (list(model.trajectory(count, seed=3)) for count in (3, count))
    assert all(a[0] == b[0] and torch.equal(a[1], b[1][:3]) for a, b in zip(few, many, strict=True))
    between = (model.interpolate_seeds(count, frames=3) for count in (2, count))
    assert all(np.array_equal(a, b[:2]) for a, b in zip(*between, strict=True))


def test_blocks_hold_each_sample_once():
    for source in (Samples(1, 5, 130), Mixed(Samples(1, 5, 130), Samples(2, 5, 130), 0.3)):
        blocks = source.blocks(5 + torch.arange(130), 64)
        assert [len(block.numbers) for block in blocks] == [64, 64, 64]
        assert torch.cat([block.numbers[block.kept] for block in blocks]).tolist() == list(range(5, 135))
        drawn = torch.cat([block.rng.normal((64, 2))[block.kept] for block in blocks])
        assert torch.equal(drawn, source.normal((130, 2)))


def test_threads_are_as_they_were(threads):
    threads(2)
    assert list(in_one_thread(torch.get_num_threads() for _ in range(2))) == [1, 1]
    for kind in bits.KINDS:
        bits.draw(kind, bits.Heun(), 20, width=64)
        assert torch.get_num_threads() == 2
    assert block_rows((10_000,)) == 512 and block_rows((1, 256, 256)) == 4
    assert [len(part) for part in regrouped([torch.zeros(2)] * 3, 4)] == [4, 2]
