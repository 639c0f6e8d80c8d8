"""Networks F(x, c): they know no diffusion."""

from .choose import choose as choose
from .embed import Fourier as Fourier
from .gaussian import ConditionalGaussian as ConditionalGaussian
from .mlp import MLP as MLP
from .ncsnpp import NCSNpp as NCSNpp
from .potential import Potential as Potential
from .recognizer import Recognizer as Recognizer
from .refinenet import RefineNet as RefineNet
from .tutorial import SigmaUNet as SigmaUNet, TutorialUNet as TutorialUNet
from .unet import UNet as UNet
from .waves import Waves as Waves
