"""Of mixtures that are trained side by side, those that are far behind are given up."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from scorefield.interop.mixture_likelihood import _Attempt, _race


class Runner:
    """A training whose held-out log-densities follow a function of the share of its steps."""

    def __init__(self, value, spread: float = 0.0) -> None:
        self.value, self.spread, self.share = value, spread, 0.0

    def run(self, share: float) -> None:
        self.share = share

    @property
    def values(self) -> torch.Tensor:
        return self.value(self.share) + self.spread * torch.linspace(-1, 1, 101).double()


def attempts(*runners: Runner) -> list[_Attempt]:
    return [_Attempt(SimpleNamespace(), runner, str(i)) for i, runner in enumerate(runners)]


@pytest.mark.parametrize(
    ("other", "runs", "wins"),
    [
        (Runner(lambda share: -1.0), 0.2, 0),  # far behind
        (Runner(lambda share: -0.05), 1.0, 0),  # a little behind
        (Runner(lambda share: share / 4 - 0.1), 1.0, 1),  # a little behind, and better in the end
        (Runner(lambda share: -1.0, spread=20.0), 1.0, 0),  # far behind, but not for sure
        (Runner(lambda share: -share / 3), 0.4, 0),  # further behind at the second look
    ],
)
def test_a_rival_is_given_up_that_is_far_behind_for_sure(other, runs, wins):
    best = Runner(lambda share: 0.0)
    found = _race(attempts(best, other))
    assert found.name == str(wins) and best.share == 1.0
    assert other.share == runs
