"""Where the command line finds what writes samples: `scorefield.data`, beside what reads them."""

from ..data import check, lost, write

__all__ = ["check", "lost", "write"]
