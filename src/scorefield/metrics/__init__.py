"""How far samples are from the data: distances beside their noise floor, and the search for copies."""

from .distances import Distance, energy_distance, sliced_wasserstein, with_floor
from .neighbours import Neighbours, memorization, nearest

__all__ = [
    "Distance",
    "Neighbours",
    "energy_distance",
    "memorization",
    "nearest",
    "sliced_wasserstein",
    "with_floor",
]
