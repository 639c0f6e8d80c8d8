"""Writes scikit-learn's handwritten digits to a file: 1,797 images of 8 x 8 pixels with values from 0 to 16.

python examples/digits.py digits.npy
scorefield fit digits.npy -o run --minutes 2
"""

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

path = Path(sys.argv[1] if len(sys.argv) > 1 else "digits.npy")
path.parent.mkdir(parents=True, exist_ok=True)
images = load_digits().images.astype(np.uint8)
np.save(path, images)
print(f"{path}: {images.dtype} {images.shape}")
