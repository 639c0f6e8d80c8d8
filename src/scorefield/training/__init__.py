"""Training."""

from .average import PowerAverage as PowerAverage, exponent as exponent
from .classifier import train_classifier as train_classifier
from .feed import Feed as Feed
from .flat import Flat as Flat
from .gaussian import train_gaussian as train_gaussian
from .held_out import held_out_losses as held_out_losses, losses_by_level as losses_by_level, parts_of as parts_of
from .loop import Progress as Progress, Trainer as Trainer
from .optimizer import Optimizer as Optimizer

__all__ = [
    "Feed",
    "Flat",
    "Optimizer",
    "PowerAverage",
    "Progress",
    "Trainer",
    "exponent",
    "held_out_losses",
    "losses_by_level",
    "parts_of",
    "train_classifier",
    "train_gaussian",
]
