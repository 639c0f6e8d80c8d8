"""How the command line writes samples: as `scorefield.data` does."""

from ..data import check, lost, write

__all__ = ["check", "lost", "write"]
