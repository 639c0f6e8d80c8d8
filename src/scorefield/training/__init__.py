"""Training."""

from .average import PowerAverage, exponent
from .classifier import train_classifier
from .feed import Feed
from .flat import Flat
from .gaussian import train_gaussian
from .held_out import held_out_losses, losses_by_level, parts_of
from .loop import Progress, Trainer
from .optimizer import Optimizer

__all__ = ["Feed", "Flat", "Optimizer", "PowerAverage", "Progress", "Trainer", "exponent", "held_out_losses"]
__all__ += ["losses_by_level", "parts_of", "train_classifier", "train_gaussian"]
