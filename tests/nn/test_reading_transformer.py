"""The network of readings: it does not know their order, and what is absent takes no part."""

from __future__ import annotations

import pytest
import torch

from scorefield.nn import ReadingTransformer

LENGTH = 6


def network(frequencies: int = 8) -> ReadingTransformer:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = ReadingTransformer(LENGTH, 2, frequencies, 20.0, width=16, depth=2)
        for p in made.parameters():
            torch.nn.init.normal_(p, std=0.3)
    return made.double()


def batch(count: int = 3) -> torch.Tensor:
    """Rows with random values, times, channels and status, of which the last readings are absent: `(B, 9, L)`."""
    rng = torch.Generator().manual_seed(1)
    x = torch.zeros(count, 9, LENGTH, dtype=torch.float64)
    x[:, :2] = torch.randn(count, 2, LENGTH, generator=rng, dtype=torch.float64)
    x[:, 2] = torch.randint(1, 3, (count, LENGTH), generator=rng).double()
    x[:, 3] = (torch.rand(count, LENGTH, generator=rng) < 0.4).double()
    x[:, 6, 4:], x[:, :6, 4:] = 1.0, 0.0
    return x


@pytest.mark.parametrize("frequencies", [0, 8])
def test_a_permutation_of_readings_permutes_the_answers(frequencies):
    made, x, c = network(frequencies), batch(), torch.tensor([0.1, -0.5, 0.3]).double()
    order = torch.tensor([3, 5, 0, 4, 2, 1])
    answers, permuted = made(x.flatten(1), c), made(x[:, :, order].flatten(1), c)
    assert torch.allclose(permuted[:, :LENGTH], answers[:, :LENGTH][:, order], atol=1e-6, rtol=0)
    assert answers[:, :4].abs().min() > 1e-4


def test_absent_readings_are_as_if_they_were_not_there():
    x, c = batch(), torch.zeros(3).double()
    x[:, :3, 5] = 7.0  # of an absent reading
    short = ReadingTransformer(4, 2, 8, 20.0, width=16, depth=2).double()
    short.load_state_dict(network().state_dict())
    assert torch.allclose(network()(x.flatten(1), c)[:, :4], short(x[:, :, :4].flatten(1), c)[:, :4], atol=1e-12)
    assert network()(x.flatten(1), c)[:, 4:].abs().max() == 0


def test_rows_of_all_lengths_have_the_answers_that_they_have_alone():
    """Within a batch they are computed with others of about their length: to rounding, and without absent ones."""
    made = ReadingTransformer(40, 2, 8, 20.0, width=16, depth=2).double()
    rng = torch.Generator().manual_seed(5)
    for parameter in made.parameters():
        parameter.data.add_(0.2 * torch.randn(parameter.shape, generator=rng, dtype=torch.float64))
    x, counts = torch.randn(41, 9, 40, generator=rng, dtype=torch.float64), torch.arange(41)
    x[:, 2], x[:, 3:] = 1.0, 0.0
    x[:, 6] = (torch.arange(40) >= counts[:, None]).double()
    x, c = x.flatten(1), torch.randn(41, generator=rng, dtype=torch.float64)
    together, alone = made(x, c), torch.cat([made(x[i : i + 1], c[i : i + 1]) for i in range(41)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-10)
    assert [int((row != 0).sum()) for row in together] == counts.tolist()


def test_members_of_a_set_are_told_apart_only_by_what_belongs_together():
    x, c = batch(), torch.zeros(3).double()
    x[:, 1, :4] = torch.tensor([0.0, 0.0, 1.0, 1.0])
    renamed = x.clone()
    renamed[:, 1, :4] = torch.tensor([1.0, 1.0, 0.5, 0.5])
    paired = x.clone()
    paired[:, 1, :4] = torch.tensor([0.0, 1.0, 0.0, 1.0])
    made = network(0)
    answer, same, other = (made(each.flatten(1), c)[:, :4] for each in (x, renamed, paired))
    assert torch.allclose(answer, same, atol=1e-12)
    assert (answer - other).abs().max() > 1e-3


def test_sizes_are_checked():
    with pytest.raises(ValueError, match=r"^readings need positive sizes, and a highest frequency above 0\.5, got"):
        ReadingTransformer(0)
