"""Sources of random numbers.

Random numbers are *addressed*: they depend on a seed and an index, not on what was drawn before, so that a restart loses
nothing. `Samples` gives sample i of a seed the same noise in any batch; `Steps` gives step k of a training run the same
noise whatever happened before it.
"""

from __future__ import annotations

import abc
import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from operator import index
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["Mixed", "Rng", "SampleBlock", "Samples", "Steps", "generator", "passes", "permutation", "torch_seeded"]

Shape = Sequence[int]
Dtype = torch.dtype | None
Device = torch.device | None

_BLOCK_SIZE = 16_384  # random numbers per block of samples, about
_BLOCK_COUNT = 256  # samples per block, at most


def _key(*address: int | str) -> int:
    """A 128-bit key for an address."""
    address = tuple(part if isinstance(part, str) else index(part) for part in address)  # an integer of numpy is an int
    return int.from_bytes(hashlib.blake2b(repr(address).encode(), digest_size=16).digest(), "little")


def generator(seed: int) -> np.random.Generator:
    """NumPy's generator of a seed, which is any integer: NumPy itself takes none below 0.

    Example:
        >>> generator(7).random() == np.random.default_rng(7).random(), 0 <= generator(-7).random() < 1
        (True, True)
    """
    seed = index(seed)
    return np.random.default_rng(seed if seed >= 0 else _key("generator", seed))


@contextlib.contextmanager
def torch_seeded(seed: int) -> Iterator[None]:
    """Seeds PyTorch's own generator within, as first weights need it, and leaves it as it was.

    Arguments:
        seed: The seed, any integer: PyTorch itself takes those of 64 bits.

    Example:
        >>> with torch_seeded(2**70):
        ...     a = torch.rand(1)
        >>> with torch_seeded(2**70):
        ...     bool(a == torch.rand(1))
        True
    """
    seed = index(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed if -(2**63) <= seed < 2**64 else _key("torch", seed) & 0x7FFF_FFFF_FFFF_FFFF)
        yield


def permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order of an epoch: a permutation of `range(count)`, of shape `(count,)`.

    Arguments:
        count: The number of samples.
        seed: The seed.
        epoch: The number of the epoch.

    Example:
        >>> permutation(5, seed=0, epoch=1).tolist() == permutation(5, seed=0, epoch=1).tolist()
        True
    """
    return np.random.Generator(np.random.Philox(key=_key("permutation", seed, epoch))).permutation(count)


def passes(count: int, seed: int, number: int) -> np.ndarray:
    """Permutations of `range(count)`, joined to a length of at least about 16,384: `(k · count,)`, for several epochs.

    Arguments:
        count: The number of samples.
        seed: The seed.
        number: The number of this group of epochs.

    Example:
        >>> order = passes(5000, seed=0, number=2).reshape(-1, 5000)
        >>> order.shape, bool((np.sort(order) == np.arange(5000)).all())
        ((3, 5000), True)
    """
    orders = np.tile(np.arange(count), (max(1, _BLOCK_SIZE // count), 1))
    generator = np.random.Generator(np.random.Philox(key=_key("passes", seed, number)))
    return generator.permuted(orders, axis=1, out=orders).reshape(-1)


class Rng(abc.ABC):
    """A source of random tensors whose first dimension runs over samples."""

    @abc.abstractmethod
    def normal(self, shape: Shape, dtype: Dtype = None, device: Device = None) -> Tensor:
        """Independent standard normal numbers, of shape `(B, *D)`."""

    @abc.abstractmethod
    def uniform(self, shape: Shape, dtype: Dtype = None, device: Device = None) -> Tensor:
        """Independent numbers, uniform on [0, 1), of shape `(B, *D)`."""

    @abc.abstractmethod
    def stratified(self, count: int, dtype: Dtype = None, device: Device = None) -> Tensor:
        """Numbers uniform on [0, 1), of shape `(B,)`, stratified over the interval if the source can do that."""

    @abc.abstractmethod
    def child(self, purpose: str) -> Rng:
        """An independent source for the same samples, named by its purpose."""

    def blocks(self, numbers: Tensor, size: int) -> list[SampleBlock]:
        """The blocks of `size` samples that hold some samples; a source that does not number its samples is one block.

        Arguments:
            numbers: The numbers of the samples of this source, `(B,)`.
            size: How many samples a block has.

        Returns:
            Blocks whose kept samples, one after another, are those of this source.
        """
        return [SampleBlock(self, numbers, slice(None))]

    def normal_like(self, x: Tensor) -> Tensor:
        """Standard normal numbers of the shape, type and device of `x`."""
        return self.normal(x.shape, x.dtype, x.device)


class SampleBlock(NamedTuple):
    """Samples that are computed together.

    Arguments:
        rng: Their source.
        numbers: Their numbers, `(B,)`.
        kept: Which of them were asked for.
    """

    rng: Rng
    numbers: Tensor
    kept: slice


class Samples(Rng):
    """The random numbers of samples `start` to `start + count - 1` of a seed.

    The numbers of sample i depend on `(seed, i)` only: not on how many samples there are, nor on the batch or the worker that
    draws them. They are drawn in blocks of samples, each with its own counter-based generator (Philox; Salmon et al., 2011),
    and on the CPU, so that all devices use the same numbers.

    Arguments:
        seed: The seed, any integer.
        start: The index of the first sample.
        count: The number of samples.
        purpose: A name: sources with different names are independent.

    Raises:
        ValueError: If `start` is negative, `count` is below 1, or a shape does not begin with `count`.

    Example:
        >>> few = Samples(seed=5, start=0, count=20).normal((20, 3))
        >>> many = Samples(seed=5, start=10, count=1000).normal((1000, 3))
        >>> torch.equal(few[17], many[7])
        True
    """

    def __init__(self, seed: int, start: int = 0, count: int = 1, purpose: str = "") -> None:
        if start < 0 or count < 1:
            raise ValueError(f"Samples needs start >= 0 and count >= 1, got start={start}, count={count}")
        self.seed, self.start, self.count, self.purpose = seed, start, count, purpose
        self._streams: dict[int, list[np.random.Generator]] = {}

    def child(self, purpose: str) -> Samples:
        return Samples(self.seed, self.start, self.count, f"{self.purpose}/{purpose}")

    def blocks(self, numbers: Tensor, size: int) -> list[SampleBlock]:
        """Blocks that start at multiples of `size` and are whole: which samples share one depends on `size` alone."""
        end, found = self.start + self.count, list[SampleBlock]()
        for first in range(self.start - self.start % size, end, size):
            kept = slice(max(self.start - first, 0), min(end - first, size))
            source = Samples(self.seed, first, size, self.purpose)
            found.append(SampleBlock(source, first + torch.arange(size), kept))
        return found

    def normal(self, shape: Shape, dtype: Dtype = None, device: Device = None) -> Tensor:
        return self._draw("standard_normal", shape, dtype, device)

    def uniform(self, shape: Shape, dtype: Dtype = None, device: Device = None) -> Tensor:
        return self._draw("random", shape, dtype, device)

    def stratified(self, count: int, dtype: Dtype = None, device: Device = None) -> Tensor:
        return self.uniform((count,), dtype, device)

    def _draw(self, kind: str, shape: Shape, dtype: Dtype, device: Device) -> Tensor:
        shape = tuple(shape)
        if not shape or shape[0] != self.count:
            got = f"got shape {shape}: its first dimension must be {self.count}"
            raise ValueError(f"this source has {self.count} samples, {got}")
        dtype = dtype or torch.get_default_dtype()
        number = np.float64 if dtype == torch.float64 else np.float32
        event = int(np.prod(shape[1:], dtype=np.int64))
        size = max(1, min(_BLOCK_COUNT, _BLOCK_SIZE // max(event, 1)))
        first = self.start // size
        if size not in self._streams:
            blocks = range(first, (self.start + self.count - 1) // size + 1)
            keys = (_key("samples", self.seed, self.purpose, size, block) for block in blocks)
            self._streams[size] = [np.random.Generator(np.random.Philox(key=key)) for key in keys]
        streams = self._streams[size]
        drawn = np.empty((len(streams) * size, event), number)
        for i, stream in enumerate(streams):
            getattr(stream, kind)(out=drawn[i * size : (i + 1) * size], dtype=number)
        skip = self.start - first * size
        return torch.from_numpy(drawn[skip : skip + self.count]).reshape(shape).to(device=device, dtype=dtype)


class Steps(Rng):
    """The random numbers of training steps, each addressed by its number.

    Arguments:
        seed: The seed, any integer.
        device: The device on which the numbers are drawn.

    Example:
        >>> rng = Steps(seed=0)
        >>> once = rng.at(7).normal((4, 2)); later = rng.at(8); again = rng.at(7).normal((4, 2))
        >>> torch.equal(once, again)
        True
    """

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.seed = seed
        self.generator = torch.Generator(device)
        self._base = _key("steps", seed) & 0x7FFF_FFFF_FFFF_FFFF
        self._kind: tuple[int, torch.dtype, torch.device] | None = None
        self.at(0)

    def child(self, purpose: str) -> Steps:
        other = Steps(self.seed, self.generator.device)
        other._base = _key("steps", self._base, purpose) & 0x7FFF_FFFF_FFFF_FFFF
        return other.at(self._step)

    def at(self, step: int) -> Steps:
        """Moves to the start of the random numbers of `step` and returns itself."""
        # 0x9E37_79B9 is odd: the seeds of 2³² steps differ, and those of neighbouring steps are far apart.
        self._step = step
        self.generator.manual_seed((self._base + step * 0x9E37_79B9) & 0x7FFF_FFFF_FFFF_FFFF)
        return self

    def normal(self, shape: Shape, dtype: Dtype = None, device: Device = None) -> Tensor:
        z = torch.randn(shape, generator=self.generator, dtype=dtype, device=self.generator.device)
        return z if device is None else z.to(device)

    def uniform(self, shape: Shape, dtype: Dtype = None, device: Device = None) -> Tensor:
        u = torch.rand(shape, generator=self.generator, dtype=dtype, device=self.generator.device)
        return u if device is None else u.to(device)

    def stratified(self, count: int, dtype: Dtype = None, device: Device = None) -> Tensor:
        """A regular grid with a random shift (low discrepancy; Kingma et al., 2021, Appendix I.1)."""
        shift = self.uniform((1,), dtype, device)
        kind = (count, shift.dtype, shift.device)
        if self._kind != kind:  # many batches of one size follow each other
            self._kind, self._grid = kind, torch.arange(count, dtype=shift.dtype, device=shift.device) / count
        return (shift + self._grid) % 1


class Mixed(Rng):
    """Interpolates between two sources: cos φ a + sin φ b, from a at φ = 0 to b at φ = π/2.

    Mixed noise has the distribution of each source at every φ, so a sampler that uses it still draws from its own
    distribution, and its samples vary with φ as smoothly as they vary with the noise. This is the interpolation of NCSNv2
    (Song & Ermon, 2020), for any sampler.

    Arguments:
        first: A source.
        second: Another source, independent of the first.
        angle: The angle φ in radians.

    Example:
        >>> a, b = Samples(seed=0, count=2), Samples(seed=1, count=2)
        >>> halfway = Mixed(a, b, angle=np.pi / 4)
        >>> halfway.normal((2, 3)).shape
        torch.Size([2, 3])
    """

    def __init__(self, first: Rng, second: Rng, angle: float) -> None:
        self.first, self.second, self.angle = first, second, angle

    def child(self, purpose: str) -> Mixed:
        return Mixed(self.first.child(purpose), self.second.child(purpose), self.angle)

    def blocks(self, numbers: Tensor, size: int) -> list[SampleBlock]:
        pairs = zip(self.first.blocks(numbers, size), self.second.blocks(numbers, size), strict=True)
        return [SampleBlock(Mixed(a.rng, b.rng, self.angle), a.numbers, a.kept) for a, b in pairs]

    def normal(self, shape: Shape, dtype: Dtype = None, device: Device = None) -> Tensor:
        a, b = self.first.normal(shape, dtype, device), self.second.normal(shape, dtype, device)
        return float(np.cos(self.angle)) * a + float(np.sin(self.angle)) * b

    def uniform(self, shape: Shape, dtype: Dtype = None, device: Device = None) -> Tensor:
        u: Tensor = torch.special.ndtr(self.normal(shape, dtype, device))
        return u.clamp_max(1 - 2**-24)

    def stratified(self, count: int, dtype: Dtype = None, device: Device = None) -> Tensor:
        return self.uniform((count,), dtype, device)
