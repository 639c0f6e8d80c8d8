from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from scorefield import checkpoint, spec
from scorefield.nn import TokenBlocks, TokenTransformer

D = torch.float64


def awake(network: Any) -> Any:
    """The same network in float64 with no weight at zero."""
    generator, network = torch.Generator().manual_seed(1), network.double()
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=generator, dtype=D))
    return network


def normal(*shape: int, seed: int = 2) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=D)


def asked(network: TokenTransformer, count: int = 5, absent: tuple[int, ...] = ()) -> torch.Tensor:
    """States at random, some of whose variables are absent."""
    x = normal(count, network.size + 2 * network.count)
    x[:, network.size :] = 0
    for v in absent:
        x[:, network.size + network.count + v] = 1
    return x


def places(network: TokenTransformer, v: int) -> list[int]:
    """The coordinates of a variable."""
    if v < network.numbers:
        return [v]
    start = network.numbers + sum(network.levels[: v - network.numbers])
    return list(range(start, start + network.levels[v - network.numbers]))


def influences(network: TokenTransformer, x: torch.Tensor) -> torch.Tensor:
    """Whether the value of variable b, a column, changes the answer of variable a, a row."""
    found = torch.zeros(network.count, network.count, dtype=torch.bool)
    answer = network(x, normal(len(x)))
    for b in range(network.count):
        other = x.clone()
        other[:, places(network, b)] += normal(len(x), len(places(network, b)), seed=3)
        moved = (network(other, normal(len(x))) - answer).abs().amax(0)
        for a in range(network.count):
            found[a, b] = bool(moved[places(network, a)].max() > 1e-9)
    return found


@pytest.mark.parametrize("heads", [1, 4])
def test_a_permutation_of_tokens_permutes_the_result(heads):
    blocks, h, known = awake(TokenBlocks(8, 2, heads, known=3)), normal(4, 6, 8), normal(4, 3, seed=4)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    found = blocks(h, known)
    torch.testing.assert_close(blocks(h[:, order], known), found[:, order], rtol=0, atol=1e-6)
    bias = normal(4, 1, 6, 6, seed=5)
    permuted = bias[:, :, order][:, :, :, order]
    torch.testing.assert_close(
        blocks(h[:, order], known, permuted), blocks(h, known, bias)[:, order], rtol=0, atol=1e-6
    )
    assert not torch.allclose(found, blocks(h, known, bias)) and not torch.allclose(found, blocks(h, 2 * known))


def test_blocks_are_the_identity_at_first():
    blocks, h = TokenBlocks(8, 3).double(), normal(2, 5, 8)
    torch.testing.assert_close(blocks(h, normal(2, 64)), torch.nn.functional.layer_norm(h, (8,)))


def test_one_block_is_attention_and_a_perceptron():
    """By the formulas, with one head and a bias."""
    blocks, h, known, bias = awake(TokenBlocks(4, 1, 1, known=3)), normal(2, 5, 4), normal(2, 3), normal(2, 1, 5, 5)
    block = blocks.blocks[0]
    q, k, v = block.mixed(block.before(h)).split(4, 2)
    shares = torch.softmax(q @ k.transpose(1, 2) / 2 + bias[:, 0], 2)
    middle = h + block.joined(shares @ v)
    inner = block.first(block.norm(middle)) + block.shift(known)[:, None]
    expected = blocks.norm(middle + block.second(torch.nn.functional.silu(inner)))
    torch.testing.assert_close(blocks(h, known, bias), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("numbers", "levels", "context"), [(1, (), 0), (3, (), 0), (0, (3, 2), 0), (2, (4, 2), 3)])
def test_everything_that_goes_in_matters(numbers, levels, context):
    """The output is 0 at initialization; after that every input and every parameter matter."""
    network = TokenTransformer(numbers, levels, width=8, depth=2, context=context).double()
    x, c, given = asked(network), normal(5), (normal(5, context),) if context else ()
    assert torch.equal(network(x, c, *given), torch.zeros(5, network.size, dtype=D))
    out = awake(network)(x, c, *given)
    assert out.shape == (5, network.size) and not torch.equal(out, network(x, c + 1, *given))
    for i in range(network.size + network.count):  # the coordinates, and the flags that they are given
        changed = network(x + torch.eye(x.shape[1], dtype=D)[i], c, *given)
        assert bool(((changed - out).abs().amax(0) > 1e-9).all())  # every answer depends on it
    out.square().sum().backward()
    assert all(p.grad is not None and bool((p.grad != 0).any()) for p in network.parameters())
    if context:
        assert not torch.equal(out, network(x, c, 2 * given[0]))
        message = r"^this network needs a context of 3 values and got none: pass context$"
        with pytest.raises(ValueError, match=message):
            network(x, c)


@pytest.mark.parametrize("absent", [(0,), (3,), (1, 4)])
def test_absent_variables_tell_nothing(absent):
    """Nothing of an absent variable reaches the others: those that are there answer as without it."""
    network = awake(TokenTransformer(3, (3, 2), width=16, depth=3))
    found = influences(network, asked(network, absent=absent))
    there = [v for v in range(network.count) if v not in absent]
    assert not bool(found[there][:, list(absent)].any())
    assert bool(found[there][:, there].all())


def test_an_absent_variable_is_as_none():
    """A network of three variables, one of them absent, is that of the two others with the same weights."""
    large, small = awake(TokenTransformer(3, width=8, depth=2)), TokenTransformer(2, width=8, depth=2).double()
    weights = {k: v[:2] if k in ("values", "names", "read", "output") else v for k, v in large.state_dict().items()}
    small.load_state_dict(weights)
    x, c = asked(large, absent=(2,)), normal(5)
    torch.testing.assert_close(large(x, c)[:, :2], small(x[:, [0, 1, 3, 4, 6, 7]], c), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("depth", "reach"), [(1, 1), (2, 2), (3, 3)])
def test_links_say_who_knows_of_whom(depth, reach):
    """In a chain A - B - C - D, a block carries what is known one link further, and no more."""
    network = awake(TokenTransformer(2, (3, 2), width=16, depth=depth, links=[(0, 1), (2, 1), (2, 3)]))
    distance = (torch.arange(4)[:, None] - torch.arange(4)).abs()
    assert torch.equal(influences(network, asked(network)), distance <= reach)
    alone = awake(TokenTransformer(2, (2,), width=16, depth=3, links=()))
    assert torch.equal(influences(alone, asked(alone)), torch.eye(3, dtype=torch.bool))


def test_all_links_are_dense_attention():
    pairs = [(a, b) for a in range(3) for b in range(a)]
    dense, linked = TokenTransformer(2, (2,), width=8), TokenTransformer(2, (2,), width=8, links=pairs)
    linked.double().load_state_dict(awake(dense).state_dict())
    x = asked(dense, absent=(1,))
    torch.testing.assert_close(linked(x, normal(5)), dense(x, normal(5)), rtol=1e-12, atol=1e-12)


def test_samples_of_a_batch_are_independent():
    network = awake(TokenTransformer(3, (3,), width=16))
    x, c = asked(network, 9), normal(9)
    for part in (slice(0, 1), slice(3, 5), slice(4, 9)):
        torch.testing.assert_close(network(x[part], c[part]), network(x, c)[part], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("links", [None, [(0, 1)]])
def test_the_constructor_is_the_configuration(links, tmp_path):
    network = awake(TokenTransformer(2, (3,), 8, 2, heads=2, context=1, pieces=5, links=links))
    described = json.loads(json.dumps(spec.describe(network)))
    assert spec.describe(spec.build(described)) == described
    checkpoint.save(network, tmp_path / "network.safetensors")
    again = checkpoint.load(tmp_path / "network.safetensors")
    x, c, context = asked(network), normal(5), normal(5, 1)
    assert torch.equal(again.double()(x, c, context), network(x, c, context))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"numbers": 0},
            r"^a transformer needs a variable, and two levels of a category or more, got numbers=0, levels=\(",
        ),
        (
            {"numbers": 1, "levels": (1,)},
            r"^a transformer needs a variable, and two levels .* levels=\(1,\), context=0$",
        ),
        ({"numbers": -1, "levels": (2, 2)}, "^a transformer needs a variable"),
        ({"numbers": 1, "context": -1}, "^a transformer needs a variable"),
        (
            {"numbers": 2, "width": 30},
            "^tokens need positive sizes, and heads that divide the width, got width=30, depth=3, ",
        ),
        ({"numbers": 2, "depth": 0}, "^tokens need positive sizes"),
        ({"numbers": 2, "heads": 0}, "^tokens need positive sizes"),
        ({"numbers": 2, "pieces": 0}, "^numbers are encoded by one piece or more, got pieces=0$"),
        ({"numbers": 2, "links": [(0, 2)]}, r"^there are 2 variables, counted from 0, got the link \(0, 2\)$"),
        ({"numbers": 2, "links": [(-1, 0)]}, r"^there are 2 variables, counted from 0, got the link \(-1, 0\)$"),
    ],
)
def test_what_cannot_be_meant(arguments, message):
    with pytest.raises(ValueError, match=message):
        TokenTransformer(**arguments)
