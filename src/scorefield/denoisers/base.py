"""The denoiser, the one quantity that is learned, and the conditional denoiser, which gives one for each context."""

from __future__ import annotations

import abc
import copy
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.nn as nn
from torch import Tensor

from ..nn.backpropagation import Autograd, Backpropagation
from ..rng import Rng
from ..tensors import sum_events

__all__ = ["ConditionalDenoiser", "Denoiser", "DenoiserModule", "PreconditionedNetwork"]

_Module = TypeVar("_Module", bound=nn.Module)
_CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.Sequential)


class DenoiserModule(nn.Module, abc.ABC):
    """What denoisers and conditional denoisers have in common: they rebuild themselves around changed parts.

    A wrapper of your own needs no code for any of this. Keep the denoisers that it wraps as submodules (lists and dicts
    of torch count), and it follows contexts and precision.
    """

    takes_context = False
    """Whether it needs a context before it can denoise."""

    unconditional: bool = True
    """Whether it knows the distribution of data without a context."""

    completes: bool = False
    """Whether it knows the conditional distribution of any variables given any others: then `given_variables` gives it."""

    @abc.abstractmethod
    def conditioned_on(self, context: Tensor | None) -> Denoiser:
        """The denoiser for a context, or without one.

        Arguments:
            context: As the network takes it, one row for all samples or a row for each, `(M, size, *S)`; None for none.

        Raises:
            ValueError: If it takes no context, or has not learned to do without one.
        """

    @property
    def contexts(self) -> int:
        """How many different contexts it holds: sample i of a batch has context i modulo this number."""
        return max((part.contexts for part in _parts(self)), default=1)

    @property
    def work(self) -> int:
        """How many times the work of a vector of numbers a sample takes, roughly: for blocks of samples."""
        return max((part.work for part in _parts(self)), default=1)

    @property
    def distilled_from(self) -> str | None:
        """The name of a model, if this is the flow map of that model, a consistency function, and not a denoiser; else None."""
        names = (part.distilled_from for part in _parts(self))
        return next((name for name in names if name is not None), None)

    def check_mean(self, what: str) -> None:
        """Whether it answers with E[x_0 | x], which a consistency function does not.

        Arguments:
            what: What needs the mean, for the message.

        Raises:
            ValueError: If it is a consistency function; says which model to ask.
        """
        name = self.distilled_from
        if name is not None:
            whose = f"from {name}: ask that one" if name else "from another: ask that one"
            made = "this model draws samples in a few evaluations, and knows no scores or densities"
            raise ValueError(f"{what} needs a denoiser; {made}; it was distilled {whose}")

    @property
    def preconditioned(self) -> PreconditionedNetwork | None:
        """Itself, if it is a network between affine maps and nothing more; training prepares batches of these ahead."""
        return None

    def rebuild(self: _Module, change: Callable[[DenoiserModule], DenoiserModule]) -> _Module:
        """The same module around changed parts.

        Arguments:
            change: Called with each denoiser or conditional denoiser that this one holds directly; gives its replacement.

        Returns:
            A shallow copy that shares everything else, or the module itself if nothing changed.
        """
        return _rebuilt(self, change)

    def trusting(self: _Module, level: float) -> _Module:
        """The same module, sharing its weights, whose networks are not asked above a level, if they correct a baseline.

        Arguments:
            level: The level above which the answer is that of the baseline.
        """
        return _rebuilt(self, lambda part: part.trusting(level))

    def full_precision(self: _Module) -> _Module:
        """The same module, sharing its weights, with no computation below 32 bits."""
        whole = _rebuilt(self, lambda part: part.full_precision())
        own = (*whole.parameters(), *whole.buffers())
        if not any(_is_short(tensor) for tensor in own):
            return whole
        other = copy.deepcopy(whole)
        other._apply(lambda tensor: tensor.float() if _is_short(tensor) else tensor)  # type: ignore[no-untyped-call]
        return other

    def single_precision(self: _Module) -> _Module:
        """The same module around networks that compute in 32 bits; everything else in it keeps its type."""
        return _rebuilt(self, lambda part: part.single_precision())


class Denoiser(DenoiserModule):
    """The posterior mean  D(x, σ) = E[x_0 | x_0 + σ z = x]  at every noise level σ.

    It does not depend on a noise process: a state x_t of any process is one division away,
    E[x_0 | x_t] = D(x_t / α_t, σ_t / α_t). To add one, write `forward`.
    """

    has_log_prob: bool = False
    """Whether it knows its log-density: then `log_prob` gives it."""

    gaussian: bool = False
    """Whether the data are Gaussian, so that it is affine at every level: then posteriors of linear measurements are."""

    def __call__(self, x: Tensor, level: Tensor) -> Any:  # a Tensor; as that of modules
        """`forward`, whose answer is checked, and is not less precise than the state.

        Raises:
            TypeError: If it is anything but a real tensor of the shape of `x`.
        """
        mean = super().__call__(x, level)
        if not isinstance(mean, Tensor) or mean.shape != x.shape or not mean.is_floating_point():
            tensor = f"a tensor of shape {tuple(mean.shape)} and {mean.dtype}" if isinstance(mean, Tensor) else None
            what = f"{type(self).__name__} returned {tensor or type(mean).__name__}"
            raise TypeError(f"{what}: forward(x, level) must return a real tensor of the shape of x, {tuple(x.shape)}")
        return mean if mean.dtype == x.dtype else mean.to(torch.promote_types(mean.dtype, x.dtype))

    @abc.abstractmethod
    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """Denoises.

        Arguments:
            x: Data plus noise, of shape `(B, *D)`.
            level: The noise level σ > 0, in the units of `x`, which broadcasts against it.

        Returns:
            The mean of the data given `x`, of shape `(B, *D)`.
        """

    def log_prob(self, x: Tensor, level: Tensor | float) -> Tensor:
        """The log-density in nats of the data plus noise, `(B, *D)` to `(B,)`, if `has_log_prob`.

        Raises:
            TypeError: If its log-density is not known.
        """
        raise TypeError(f"{type(self).__name__} has no log_prob: integrate the flow, scorefield.likelihood.log_prob")

    def denoising_loss(self, x0: Tensor, level: Tensor, weight: Tensor, rng: Rng) -> Tensor:
        """The loss of denoising data plus noise: w ‖D(x_0 + σ z, σ) - x_0‖² / n.

        A denoiser that knows more about x_0 than its mean, such as the probabilities of categories, replaces it by another
        loss with the same minimizer.

        Arguments:
            x0: Data, of shape `(B, *D)`.
            level: Their noise levels σ, which broadcast against them.
            weight: The weights w, of the shape of `level`.
            rng: The source of the noise.

        Returns:
            The losses, of shape `(B,)`.
        """
        error = self(x0 + level * rng.normal_like(x0), level) - x0
        return sum_events(weight * error**2) / x0[0].numel()

    def given_variables(self, values: Tensor, status: Tensor) -> Denoiser:
        """The denoiser of the conditional distribution of some variables given others, if it `completes`.

        Arguments:
            values: States that hold the given values, `(M, *D)`; sample i has row i modulo M.
            status: FREE, GIVEN or ABSENT (`data.variables`) for each variable, `(M, V)`.

        Returns:
            A denoiser of whole states: at given variables its answer is their value.

        Raises:
            TypeError: If it has not learned conditionals.
        """
        raise TypeError(f"{type(self).__name__} has not learned conditionals: observe a measurement instead")

    def asked_for(self, free: Tensor) -> bool:
        """Whether training asked for these variables given all others, or some of them, and not by chance.

        Arguments:
            free: True for them, `(V,)`.
        """
        return False

    def restricted(self, values: Tensor, status: Tensor) -> Denoiser:
        """The denoiser of the numbers that are free, given other variables, for log-densities, if it `completes`.

        Arguments:
            values: As in `given_variables`.
            status: As in `given_variables`; the same variables are free in each row, and all of them are numbers.

        Returns:
            A denoiser of states that hold the free numbers alone, `(B, n_free)`.

        Raises:
            TypeError: If it has not learned conditionals.
            ValueError: If a category is free, or the rows differ in what is.
        """
        raise TypeError(f"{type(self).__name__} has not learned conditionals: observe a measurement instead")

    def category_log_probs(self, values: Tensor, status: Tensor, category: int) -> Tensor:
        """The log-probabilities of the levels of a category given the variables that are given, if it `completes`.

        Arguments:
            values: As in `given_variables`.
            status: As in `given_variables`; all variables that are not given are left out.
            category: The number of the category, from 0.

        Returns:
            The logarithms of the probabilities of its K levels, `(M, K)`.

        Raises:
            TypeError: If it has not learned conditionals.
        """
        raise TypeError(f"{type(self).__name__} has not learned conditionals: observe a measurement instead")

    def conditioned_on(self, context: Tensor | None) -> Denoiser:
        if context is not None:
            raise ValueError(f"a {type(self).__name__} takes no context: only conditional denoisers do")
        return self

    def unguided(self) -> Denoiser:
        """The denoiser without guidance: one whose derivative is a covariance, Cov[x_0 | x] = σ² ∂D/∂x.

        That of an extrapolation from one denoiser to another is not: it may have negative eigenvalues.
        """
        return _rebuilt(self, lambda part: part.unguided() if isinstance(part, Denoiser) else part)

    def samples(self, index: Tensor) -> Denoiser:
        """The denoiser for some samples of a batch: contexts that belong to samples follow them.

        Arguments:
            index: Which samples, of shape `(B,)`, whole numbers.

        Returns:
            A denoiser of batches of B states, or this one if it treats all samples alike.
        """
        if self.contexts == 1:
            return self
        return _rebuilt(self, lambda part: part.samples(index) if isinstance(part, Denoiser) else part)


class ConditionalDenoiser(DenoiserModule):
    """A family of denoisers E[x_0 | x_0 + σ z = x, context]: it does not denoise, it gives denoisers.

    To add one, write `given`; and `free`, with `unconditional = True`, if it has learned data without context.
    """

    takes_context = True
    unconditional = False

    @abc.abstractmethod
    def given(self, context: Tensor) -> Denoiser:
        """The denoiser for a context.

        Arguments:
            context: As the network takes it, one row for all samples or a row for each, `(M, size, *S)`.

        Raises:
            ValueError: If rows have another shape.
        """

    def free(self) -> Denoiser:
        """The unconditional denoiser.

        Raises:
            ValueError: If it has not been learned.
        """
        raise ValueError("this model has only learned data given a context, not data without one")

    def conditioned_on(self, context: Tensor | None) -> Denoiser:
        return self.free() if context is None else self.given(context)


class PreconditionedNetwork(abc.ABC):
    """A network between affine maps, as training uses it: D = center + known + c_out F(question, context)."""

    @abc.abstractmethod
    def coefficients(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """(c_skip, c_out), which broadcast against `coordinates`."""

    @abc.abstractmethod
    def center(self, context: Tensor | None) -> Tensor | None:
        """What is subtracted from states, of shape `(B, n)`, if anything is."""

    @abc.abstractmethod
    def coordinates(self, x: Tensor) -> Tensor:
        """States without their center in the coordinates in which the affine maps are diagonal, `(B, *D)`.

        They are orthonormal, and those of the answers that `backpropagation` gives.
        """

    @abc.abstractmethod
    def known(self, x: Tensor, level: Tensor, skip: Tensor, guess: Tensor | None) -> Tensor:
        """What is known before the network is asked, `(B, *D)`: c_skip x, or the answer of a baseline."""

    @abc.abstractmethod
    def guess(self, x: Tensor, level: Tensor) -> Tensor | None:
        """The answer of a baseline for states without their center, which the network corrects; None without one.

        Returns:
            The answer, of shape `(B, *D)`.
        """

    @abc.abstractmethod
    def question(self, x: Tensor, level: Tensor, guess: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The input of the network for states in `coordinates`, and the answer of a baseline for them, if there is one.

        Returns:
            c_in x `(B, *D)`, with the answer as further channels, and the noise label `(B,)`.
        """

    @abc.abstractmethod
    def answer(self, x: Tensor, c: Tensor, context: Tensor | None = None) -> Tensor:
        """The output of the network, of shape `(B, *D)`."""

    def backpropagation(self) -> Backpropagation:
        """The outputs of the network for batches, and gradients of losses, in the `.grad` of trained parameters."""
        return Autograd(self.answer)


def _parts(module: nn.Module) -> list[DenoiserModule]:
    """The denoisers that a module holds directly, those in containers among them."""
    found: list[DenoiserModule] = []
    for child in module.children():
        if isinstance(child, DenoiserModule):
            found.append(child)
        elif isinstance(child, _CONTAINERS):
            found += _parts(child)
    return found


def _rebuilt(module: _Module, change: Callable[[DenoiserModule], DenoiserModule]) -> _Module:
    replaced: dict[str, nn.Module] = {}
    for name, child in module.named_children():
        if isinstance(child, DenoiserModule):
            replaced[name] = change(child)
        elif isinstance(child, _CONTAINERS):
            replaced[name] = _rebuilt(child, change)
    if all(new is module._modules[name] for name, new in replaced.items()):
        return module
    other = shallow_copy(module)
    other._modules.update(replaced)
    return other


def shallow_copy(module: _Module) -> _Module:
    """A copy that shares parameters, buffers and submodules, each of which can be replaced without changing the original."""
    other = copy.copy(module)
    for name in ("_parameters", "_buffers", "_modules"):
        other.__dict__[name] = dict(module.__dict__[name])
    return other


def _is_short(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and torch.finfo(tensor.dtype).bits < 32
