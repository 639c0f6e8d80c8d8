"""Noise levels, their number, and the steps of annealed Langevin dynamics, chosen by the data, each with its reason."""

from .choose import choose_noise_levels as choose_noise_levels, ncsnv2_smallest_level as ncsnv2_smallest_level
from .distances import Diameter as Diameter, diameter as diameter
from .ladder import PUBLISHED_OVERLAP as PUBLISHED_OVERLAP, Ladder as Ladder, gap as gap, overlap as overlap
from .langevin import (
    Annealing as Annealing,
    after as after,
    best_ratio as best_ratio,
    fixed_point as fixed_point,
    one_level as one_level,
)
from .levels import NoiseLevels as NoiseLevels

__all__ = [
    "Annealing",
    "Diameter",
    "Ladder",
    "NoiseLevels",
    "PUBLISHED_OVERLAP",
    "after",
    "best_ratio",
    "choose_noise_levels",
    "diameter",
    "fixed_point",
    "gap",
    "ncsnv2_smallest_level",
    "one_level",
    "overlap",
]
