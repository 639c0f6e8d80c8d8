"""Class-conditional digits: one model of scikit-learn's handwritten digits, sampled for each class with and without guidance.

    python examples/conditional_digits.py [--minutes 2] [-o conditional_digits.png]

One row per class; left, samples from the conditional distribution; right, with classifier-free guidance (weight 2). A
nearest-neighbour classifier, fitted to the data, measures how many samples belong to the requested class.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

import scorefield
from scorefield import Training

TOP = 16.0  # the largest grey level


def mosaic(images: np.ndarray, columns: int, scale: int = 5) -> np.ndarray:
    tiles = [np.pad(255 * (1 - image.clip(0, TOP) / TOP), 1, constant_values=255.0) for image in images.astype(float)]
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    return np.kron(np.vstack(rows), np.ones((scale, scale)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--count", type=int, default=100, help="samples per class that are classified")
    parser.add_argument("-o", "--output", type=Path, default=Path("conditional_digits.png"))
    options = parser.parse_args()
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8).astype(np.uint8)
    model = scorefield.fit(images, context=labels, training=Training(minutes=options.minutes))
    classifier = KNeighborsClassifier(3).fit(images.reshape(-1, 64), labels)
    classes = np.arange(10)
    pages = []
    for weight in (1.0, 2.0):
        # Sample i has the context of row i mod 10: every tenth sample is of the same class.
        drawn = np.asarray(model.given(label=classes, guidance=weight).sample(10 * options.count))
        correct = np.mean(classifier.predict(drawn.reshape(-1, 64)) == np.tile(classes, options.count))
        spread = np.mean([drawn[c::10].reshape(options.count, -1).std(0).mean() for c in classes])
        print(
            f"weight {weight:g}: {correct:.1%} are of the requested class; standard deviation within a class {spread:.2f}"
        )
        pages.append(mosaic(np.concatenate([drawn[c::10][: min(10, options.count)] for c in classes]), 10))
    held = np.mean([images[labels == c].reshape(-1, 64).std(0).mean() for c in classes])
    print(f"standard deviation within a class of the data {held:.2f}")
    gap = np.full((pages[0].shape[0], 40), 255.0)
    Image.fromarray(np.hstack([pages[0], gap, pages[1]]).astype(np.uint8)).save(options.output, optimize=True)
    print(options.output)


if __name__ == "__main__":
    main()
