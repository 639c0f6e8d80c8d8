"""A local page to play with a model: draw, condition, paint, interpolate, log-densities, and the report of the run."""

from .application import create_app
from .limits import Limits
from .serving import serve

__all__ = ["Limits", "create_app", "serve"]
