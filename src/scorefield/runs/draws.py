"""Samples that several processes draw: each into parts of its own next to the output, until all are there."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..blockwise import regrouped
from ..distributed import barrier, decided, first, launched, rank, size
from ..reading import reading
from ..replacing import clear, replacing
from ..samplers import SamplingLike
from .shared_folder import check_shared

__all__ = ["drawn"]

_PARTS, _BATCHES = 256, 16  # that many parts at least, if there are as many batches; batches in a part, at most
_ASKED = "asked.json"


class _Draws(Protocol):
    """What draws batches of samples: a model."""

    def batch_size(self, sampler: SamplingLike = None, batch: int | None = None) -> int: ...

    def batches(
        self,
        count: int,
        seed: int = 0,
        sampler: SamplingLike = None,
        *,
        batch: int | None = None,
        chosen: Sequence[int] | None = None,
    ) -> Iterator[Tensor]: ...


@contextlib.contextmanager
def drawn(
    model: _Draws, count: int, output: Path, asked: str, seed: int, sampling: SamplingLike, batch: int | None = None
) -> Iterator[Iterator[Tensor]]:
    """The batches of `model.batches`, drawn by all processes; those that are killed go on where they were.

    Process r draws every r-th part into a hidden folder next to the output, which is removed when the block has written the
    output. The batches are the same for any number of processes. One process that `torchrun` has not started draws them on the
    way, unless there is such a folder already.

    Arguments:
        model: What draws.
        count: The number of samples.
        output: The file that the batches are for.
        asked: All that the samples depend on, as a text.
        seed, sampling, batch: As for `model.batches`.

    Returns:
        In process 0 the batches; in the others none.

    Raises:
        ValueError: If the folder holds samples that were drawn with other options, or other processes do not find it.
        RuntimeError: If other processes draw for the same output.
        OSError: If the folder cannot be written.
    """
    folder = output.expanduser().absolute()
    folder = folder.with_name(f".{folder.name}.parts")
    if not launched() and not folder.exists():
        yield model.batches(count, seed, sampling, batch=batch)
        return
    rows, asked = model.batch_size(sampling, batch), json.dumps([asked, count, seed, batch])
    with contextlib.ExitStack() as held:
        decided(lambda: held.enter_context(_begun(folder, asked)))
        check_shared(folder / _ASKED)
        parts = _Parts(folder, model, count, seed, sampling, batch, rows)
        parts.draw()
        yield parts.read() if first() else iter(())
        decided(lambda: shutil.rmtree(folder))


@contextlib.contextmanager
def _begun(folder: Path, asked: str) -> Iterator[None]:
    """Makes a folder for parts, and keeps others out; what was drawn before must have been asked for in the same words."""
    from filelock import FileLock, Timeout  # comes with PyTorch

    folder.mkdir(exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        what = f"other processes are drawing into {folder}"
        raise RuntimeError(f"{what}: wait until they end, or name another output") from error
    try:
        clear(folder)
        before = (folder / _ASKED).read_text() if (folder / _ASKED).exists() else asked
        if before != asked:
            what = f"{folder} holds samples that were not finished, drawn with {_differing(before, asked)}"
            raise ValueError(f"{what}: ask for the same to go on, or remove that folder")
        with replacing(folder / _ASKED) as part:
            part.write_text(asked)
        yield
    finally:
        lock.release()


def _differing(before: str, asked: str) -> str:
    """In words, what was asked for before where it was something else."""
    try:
        pairs = list(zip(("options", "count", "seed", "batch"), json.loads(before), json.loads(asked), strict=True))
    except ValueError:  # as another version wrote it
        return "other options"
    differ = [(name, there, now) for name, there, now in pairs if there != now]
    return ", ".join(
        f"other {name}" if name == "options" else f"{name} {there}, not {now}" for name, there, now in differ
    )


class _Parts:
    """Parts of some batches each, as .npy files of a folder."""

    def __init__(
        self,
        folder: Path,
        model: _Draws,
        count: int,
        seed: int,
        sampling: SamplingLike,
        batch: int | None,
        rows: int,
    ) -> None:
        self.folder, self.model, self.count, self.rows, self.batch = folder, model, count, rows, batch
        self.seed, self.sampling = seed, sampling
        self.batches = -(-count // rows)
        self.each = max(1, min(_BATCHES, self.batches // _PARTS))

    def draw(self) -> None:
        """Draws what is not there yet, each process its share."""
        absent = decided(lambda: [i for i in range(-(-self.batches // self.each)) if not self._whole(i)])
        mine = absent[rank() :: size()]
        numbers = [n for i in mine for n in self._numbers(i)]
        batches = self.model.batches(self.count, self.seed, self.sampling, batch=self.batch, chosen=numbers)
        for i in mine:
            x = torch.cat([next(batches) for _ in self._numbers(i)])
            with replacing(self._file(i)) as part, open(part, "wb") as file:
                np.save(file, x.numpy())
        barrier()

    def read(self) -> Iterator[Tensor]:
        """The batches in their order, as one process draws them."""
        parts = (self._read(i) for i in range(-(-self.batches // self.each)))
        return regrouped(parts, self.batch or self.rows)

    def _read(self, i: int) -> Tensor:
        with reading(self._file(i), "remove it, and run the same again"):
            return torch.from_numpy(np.load(self._file(i), allow_pickle=False))

    def _numbers(self, i: int) -> range:
        """The numbers of the batches in a part."""
        return range(i * self.each, min((i + 1) * self.each, self.batches))

    def _file(self, i: int) -> Path:
        return self.folder / f"{i:06}.npy"

    def _whole(self, i: int) -> bool:
        """Whether a part is there; it is written whole or not at all."""
        return self._file(i).is_file()
