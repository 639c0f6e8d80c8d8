"""Networks F(x, c): they know no diffusion."""

from .choose import choose as choose
from .embed import Fourier as Fourier
from .mlp import MLP as MLP
from .unet import UNet as UNet
