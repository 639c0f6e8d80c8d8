"""A mixed distribution whose posteriors are sums of nine terms, and the network that knows it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from scorefield.data.variables import ABSENT, FREE, GIVEN, Variables

D = torch.float64
VARIABLES = Variables(2, (3, 2))
"""Two numbers, the component of a mixture as a category, and a noisy answer to whether it is the first."""
PRIOR = torch.tensor([0.5, 0.3, 0.2], dtype=D)
ANSWER = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]], dtype=D)
MEAN = torch.tensor([[-1.0, 0.5], [0.2, -0.7], [1.5, 1.0]], dtype=D)
STD = torch.tensor([[0.3, 0.6], [0.5, 0.2], [0.4, 0.9]], dtype=D)
TABLE = torch.log(PRIOR[:, None] * ANSWER).reshape(6)  # of the components and answers together
CORNERS = torch.cat((torch.eye(3, dtype=D).repeat_interleave(2, 0), torch.eye(2, dtype=D).repeat(3, 1)), 1)  # (6, 5)
COMPONENT = torch.arange(6) // 2


def draw(count: int, seed: int = 0) -> Tensor:
    """States `(count, 7)`."""
    generator = torch.Generator().manual_seed(seed)
    which = torch.multinomial(TABLE.exp(), count, True, generator=generator)
    k = COMPONENT[which]
    numbers = MEAN[k] + STD[k] * torch.randn(count, 2, dtype=D, generator=generator)
    return torch.cat((numbers, CORNERS[which]), 1)


def normal(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    return -((x - mean) ** 2) / (2 * variance) - torch.log(2 * math.pi * variance) / 2


def bayes(
    x: Tensor, level: Tensor, values: Tensor | None = None, status: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """E[x_0 | x, given values], `(B, 7)`, for states `(B, 7)`, and the log-probabilities of the six corners, `(B, 6)`."""
    values = torch.zeros_like(x) if values is None else values.expand_as(x)
    status = torch.zeros(len(x), 4, dtype=torch.long) if status is None else status.expand(len(x), -1)
    level = torch.as_tensor(level, dtype=D).reshape(-1, 1).expand(len(x), 1)
    means, logits = [], TABLE.expand(len(x), 6)
    for j in range(2):
        m, s = MEAN[COMPONENT, j], STD[COMPONENT, j]
        free = normal(x[:, j : j + 1], m, s**2 + level**2)
        given = normal(values[:, j : j + 1], m, (s**2).expand(len(x), 6))
        logits = logits + torch.where(
            status[:, j : j + 1] == FREE, free, torch.where(status[:, j : j + 1] == GIVEN, given, 0)
        )
        means.append(m + s**2 / (s**2 + level**2) * (x[:, j : j + 1] - m))
    for variable, (a, b) in zip((2, 3), ((2, 5), (5, 7))):
        corner = CORNERS[:, a - 2 : b - 2]
        free = -((x[:, None, a:b] - corner) ** 2).sum(2) / (2 * level**2)
        given = torch.log(values[:, a:b] @ corner.T)
        chosen = status[:, variable : variable + 1]
        logits = logits + torch.where(chosen == FREE, free, torch.where(chosen == GIVEN, given, 0.0))
    log_p = logits.log_softmax(1)
    numbers = [(log_p.exp() * mean).sum(1, keepdim=True) for mean in means]
    return torch.cat((*numbers, log_p.exp() @ CORNERS), 1), log_p


class Exact(nn.Module):
    """F(x, c) of the exact denoiser: it undoes the scaling of its input, and adds `error` to its answers."""

    def __init__(self, error: float = 0.0, place: int = 0) -> None:
        super().__init__()
        self.error, self.place = error, place

    def forward(self, x: Tensor, c: Tensor, context: Tensor | None = None) -> Tensor:
        level = torch.exp(4 * c)[:, None]
        status = (x[:, 7:11] == 1) * GIVEN + (x[:, 11:15] == 1) * ABSENT
        numbers = x[:, :2] * torch.where(status[:, :2] == FREE, torch.sqrt(1 + level**2), 1.0)
        table = TABLE.to(x).expand(len(x), 6)
        means = []
        for j in range(2):
            m, s = MEAN[COMPONENT, j].to(x), STD[COMPONENT, j].to(x)
            known = normal(numbers[:, j : j + 1], m, s**2 + torch.where(status[:, j : j + 1] == FREE, level**2, 0.0))
            table = table + torch.where(status[:, j : j + 1] == ABSENT, 0.0, known)
            means.append(m + s**2 / (s**2 + level**2) * (numbers[:, j : j + 1] - m))
        own = []
        for variable, (a, b) in zip((2, 3), ((2, 5), (5, 7))):
            p = (x[:, a:b] / math.sqrt(b - a) + 1 / (b - a)).clamp_min(1e-300)
            evidence = torch.log(p) @ CORNERS[:, a - 2 : b - 2].to(x).T
            own.append(torch.where(status[:, variable : variable + 1] == ABSENT, 0.0, evidence))
        whole = (table + own[0] + own[1]).softmax(1)
        number = torch.cat([(whole * mean).sum(1, keepdim=True) for mean in means], 1)
        answer = [(number - numbers / (1 + level**2)) * torch.sqrt(1 + level**2) / level]
        for mine, (a, b) in zip(own, ((2, 5), (5, 7))):
            others = (table + own[0] + own[1] - mine).softmax(1)
            answer.append(torch.log(others @ CORNERS[:, a - 2 : b - 2].to(x)))
        found = torch.cat(answer, 1)
        if self.error:
            found = found + self.error * (torch.arange(7) == self.place).to(found)
        return found if context is None else found + context[:, :1] * (torch.arange(7) == 0).to(found)
