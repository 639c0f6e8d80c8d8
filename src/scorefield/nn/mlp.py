"""A multilayer perceptron for vectors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .backpropagation import Backpropagation, hooked
from .embed import FourierEmbedding
from .mlp_gradients import MLPGradients
from .renamed import load_under_old_names

__all__ = ["MLP"]

_OLD_NAMES = {"enter": "input", "leave": "output", "given": "embed_context", "lead": "modulate_layers"}


class MLP(nn.Module):
    """A network F(x, c): states x of shape `(B, features)` and their noise label c, `(B,)`, to `(B, features)`.

    The noise label scales and shifts the input layer, a(c) · W x + b(c); hidden layers of equal width follow. Each layer takes
    few operations, because their number limits the speed of small networks on a CPU. A context is embedded by two layers of
    its own and then scales and shifts the input of every layer. The output is 0 at initialization.

    Arguments:
        features: The number of features, from 1 to a few hundred.
        width: The width of the hidden layers.
        depth: The number of layers between the input and the output layer.
        context: The number of context values; 0 for none.
        extra: The number of further inputs in x that have no output, such as `FourierFeatures`; 0 for none.

    Raises:
        ValueError: If a size is not positive.
    """

    def __init__(self, features: int, width: int = 128, depth: int = 3, context: int = 0, extra: int = 0) -> None:
        super().__init__()
        if min(features, width, depth) < 1 or min(context, extra) < 0:
            got = f"features={features}, width={width}, depth={depth}, context={context}, extra={extra}"
            raise ValueError(f"MLP needs positive sizes, got {got}")
        self.features, self.width, self.depth = features, width, depth
        self.context, self.extra = context, extra
        self.label = FourierEmbedding(16)
        self.modulate = nn.Linear(32, 2 * width)
        self.input = nn.Linear(features + extra, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.output = nn.Linear(width, features)
        if context:
            self.embed_context = nn.Sequential(nn.Linear(context, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
            self.modulate_layers = nn.Linear(width, (depth + 1) * 2 * width)
        load_under_old_names(self, _OLD_NAMES)
        with torch.no_grad():
            self.modulate.bias[:width] += 1  # the scales, around one
            self.output.weight.zero_()
            self.output.bias.zero_()
            if context:
                self.modulate_layers.weight.zero_()
                self.modulate_layers.bias.zero_()

    @property
    def shares_label(self) -> bool:
        """Whether it takes one noise label, `(1,)`, for all states."""
        return type(self).forward is MLP.forward

    def forward(self, x: Tensor, c: Tensor, context: Tensor | None = None) -> Tensor:
        """Predicts: states `(B, features + extra)`, labels `(B,)` or `(1,)` and contexts `(B, context)` to `(B, features)`.

        Raises:
            ValueError: If the network has a context and none is passed.
        """
        scale, shift = self.modulate(self.label(c)).chunk(2, dim=1)
        if not self.context:
            h = F.silu(torch.addcmul(shift, self.input(x), scale))
            for layer in self.layers:
                h = F.silu(layer(h))
        else:
            if context is None:
                raise ValueError(f"this network needs a context of {self.context} values and got none: pass context")
            factors = self.modulate_layers(self.embed_context(context)).chunk(2 * self.depth + 2, dim=1)
            h = F.silu(torch.addcmul(shift + factors[1], self.input(x), scale + factors[0]))
            for layer, gain, offset in zip(self.layers, factors[2::2], factors[3::2]):
                h = F.silu(torch.addcmul(offset, layer(h), 1 + gain))
        prediction: Tensor = self.output(h)
        return prediction

    def backpropagation(self) -> Backpropagation | None:
        """Its gradients, written out; None where a subclass, a hook or another layer changes the answer.

        In small batches that is about twice as fast as autograd.
        """
        layers = [self.input, *self.layers, self.output]
        of_context = [self.embed_context[0], self.embed_context[2], self.modulate_layers] if self.context else []
        usual = all(type(layer) is nn.Linear for layer in (self.modulate, *layers, *of_context))
        learned = next(self.label.parameters(), None) is not None  # an embedding of the user's
        if type(self).forward is not MLP.forward or learned or not usual or hooked(self):
            return None
        return MLPGradients(self.label, self.modulate, layers, of_context)  # type: ignore[arg-type]
