"""What a model file may make a program do: no operation takes more than was counted before it was run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from scorefield.limits import BoundedTensors

A, B = torch.randn(6, 1), torch.rand(1, 5).double()
SQUARE = torch.eye(4) + 0.1
OPERATIONS: dict[str, Callable[[], object]] = {
    "broadcast": lambda: A * B + 1,
    "compared": lambda: (A > B, torch.isfinite(A), torch.allclose(A, A)),
    "complex": lambda: (torch.complex(B, B), A * 1j),
    "divided": lambda: torch.ones(7, dtype=torch.int64) / 2,
    "reduced": lambda: (A.sum(), B.amax(1), (A > 0).all(), (B > 0).any(0), A.std()),
    "joined": lambda: (torch.cat([A, A]), torch.stack([B, B, B])),
    "made": lambda: (
        torch.zeros(5, 3),
        torch.linspace(0, 1, 9),
        torch.eye(3),
        torch.arange(7),
        torch.full((2, 2), 1.0),
    ),
    "in place": lambda: torch.empty(8).uniform_().normal_().mul_(2).zero_(),
    "repeated": lambda: (A.repeat(3, 4), A.expand(6, 5).clone(), A.expand(6, 5) * 1),
    "multiplied": lambda: (A @ A.T, torch.outer(A[:, 0], A[:, 0])),
    "decomposed": lambda: (torch.linalg.eigh(SQUARE), torch.linalg.cholesky(SQUARE @ SQUARE.T)),
    "cast": lambda: (A.double(), A.half(), A.to(torch.complex64)),
    "sorted": lambda: (A.sort(), A.cumsum(0), torch.where(A > 0, A, B)),
}


class Allocated(TorchDispatchMode):
    """The bytes of all new tensors, after the fact."""

    made = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        old = {each.untyped_storage().data_ptr() for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
        new = [each for each in tree_leaves(found) if isinstance(each, Tensor)]
        self.made += sum(each.nbytes for each in new if each.untyped_storage().data_ptr() not in old)
        return found


@pytest.mark.parametrize("name", OPERATIONS)
def test_at_least_as_much_is_counted_as_is_taken(name):
    with Allocated() as allocated:
        OPERATIONS[name]()
    with BoundedTensors(10**6, 1000) as bounded:
        OPERATIONS[name]()
    assert allocated.made <= bounded.made <= 16 * allocated.made + 400


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.ones(10**12),
        lambda: torch.ones(10**6, 1) * torch.ones(1, 10**6),
        lambda: torch.ones(1).expand(10**12).clone(),
        lambda: torch.ones(1).expand(10**12) > 0,
        lambda: torch.cat([torch.ones(1).expand(10**12)] * 2),
        lambda: torch.ones(10**6).diag_embed(),
        lambda: torch.eye(10**6),
        lambda: torch.ones(10).repeat(10**11),
    ],
)
def test_a_terabyte_is_refused_before_it_is_taken(make):
    with (
        pytest.raises(ValueError, match="bytes are asked for, more than 100000000 can be needed here"),
        BoundedTensors(10**8, 100),
    ):
        make()
