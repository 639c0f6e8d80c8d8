"""A device as the choice of a network and a batch sees it: nominal figures, which no clock measures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ..distributed import decided

__all__ = ["Hardware"]

_CPU = 3e11  # operations per second in training: about two cores with bfloat16
_PROCESSOR = ((10, 2.5e12), (9, 1.5e12), (8, 5e11), (0, 1e11))  # of a GPU, from this compute capability on


@dataclass(frozen=True)
class Hardware:
    """A device in nominal figures, so that what is chosen by them is a function of its kind: each CPU has the same ones.

    Arguments:
        kind: The type of the device: "cpu", "cuda", …
        rate: Operations per second that training a network makes of it, about a fifth of the peak of a GPU.
        memory: Bytes of its own memory; inf where it is that of the machine.

    Raises:
        ValueError: If a figure is not positive.

    Example:
        >>> Hardware.of(torch.device("cpu"))
        Hardware(kind='cpu', rate=300000000000.0, memory=inf)
        >>> f"{Hardware.of_gpu(132, 9, 80e9).rate:.3g}"
        '1.98e+14'
    """

    kind: str = "cpu"
    rate: float = _CPU
    memory: float = math.inf

    def __post_init__(self) -> None:
        if not (self.rate > 0 and self.memory > 0):
            raise ValueError(f"a device has a positive rate and memory, got rate={self.rate}, memory={self.memory}")

    @property
    def gpu(self) -> bool:
        """Whether it is a GPU whose figures are known."""
        return self.kind == "cuda"

    @property
    def speed(self) -> float:
        """How many times as fast as the CPU that budgets and networks are made for."""
        return self.rate / _CPU

    @classmethod
    def of_gpu(cls, processors: int, capability: int, memory: float) -> Hardware:
        """A GPU, by the number of its multiprocessors, its compute capability (the first number) and its bytes of memory."""
        each = next(rate for least, rate in _PROCESSOR if capability >= least)
        return cls("cuda", processors * each, memory)

    @classmethod
    def of(cls, device: torch.device) -> Hardware:
        """That of a device; where several processes share a fit, that of process 0."""
        if device.type != "cuda":
            return cls(device.type)

        def known() -> list[float]:
            found = torch.cuda.get_device_properties(device)
            return [found.multi_processor_count, found.major, found.total_memory]

        processors, capability, memory = decided(known)
        return cls.of_gpu(processors, capability, memory)
