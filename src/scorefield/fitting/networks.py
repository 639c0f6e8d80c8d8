"""The network: the user's own, once it has been tried, or one that suits the data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..context import Context
from ..nn import FourierFeatures, choose
from ..noise_levels import NoiseLevels
from ..settings import Network
from .options import GIVEN, Choice
from .prepared import Prepared

__all__ = ["network_for"]


def network_for(prepared: Prepared, wish: nn.Module | Network, levels: NoiseLevels) -> tuple[nn.Module, Choice]:
    """The network with its first weights, and the reason; a ValueError if that of the user does not fit the data."""
    context = None if prepared.context is None else prepared.context.context
    if isinstance(wish, nn.Module):
        _try(wish, prepared.shape, context)
        return wish, Choice("network", _in_words(wish), GIVEN)
    size = 0 if context is None else context.size
    fields = context is not None and bool(context.shape)
    sizes = (0, size) if fields else (size, 0)  # as numbers, or as channels on the grid of the data
    cell = prepared.finest_cell
    step = cell / prepared.scale if levels.tail and cell is not None else None
    options = (wish.widths, wish.depth, wish.patch, wish.attention, wish.periodic)
    with torch.random.fork_rng():  # first weights come from PyTorch's own generator, which is left as it was
        torch.manual_seed(prepared.seed)
        network, reason = choose(prepared.shape, len(prepared.split.train), *options, *sizes, step=step)
    return network, Choice("network", _in_words(network), reason)


def _try(network: nn.Module, shape: tuple[int, ...], context: Context | None) -> None:
    """Calls a given network once: an answer of another shape could broadcast, and be trained in silence."""
    p = next(network.parameters(), torch.empty(0))
    x = torch.zeros(2, *shape, dtype=p.dtype, device=p.device)
    before = {module: module.training for module in network.modules()}
    with torch.no_grad(), torch.random.fork_rng():
        missing = () if context is None else (context.empty().expand(2, *context.row_shape).to(x),)
        answer = network.eval()(x, x.new_zeros(2), *missing)
    for module, training in before.items():
        module.training = training
    if not isinstance(answer, Tensor) or answer.shape != x.shape:
        got = f"shape {tuple(answer.shape)}" if isinstance(answer, Tensor) else f"a {type(answer).__name__}"
        need = f"x of shape {tuple(x.shape)} and c of shape (2,) with the shape of x"
        raise ValueError(f"the network must answer {need}, got {got}: its first and last layer must fit the data")


def _in_words(network: nn.Module) -> str:
    count = sum(p.numel() for p in network.parameters())
    inner = network.network if isinstance(network, FourierFeatures) else network
    return f"{type(inner).__name__}, {count:,} parameters"
