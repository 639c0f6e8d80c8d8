"""Datasets and loaders of torch: the rows are those that they hold, and what cannot be gathered is said in a line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, SubsetRandomSampler, TensorDataset

import scorefield
from scorefield.data import Schema, native, torch_datasets

X = torch.arange(300.0).reshape(150, 2)


class Rows(Dataset):
    """A list as a dataset; it counts how often it is read."""

    def __init__(self, rows) -> None:
        self.rows, self.read = rows, 0

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i):
        self.read += 1
        return self.rows[i]


class Endless(IterableDataset):
    def __iter__(self):
        return iter(X)


class Unsized(Dataset):
    def __getitem__(self, i):
        return X[i]


def images() -> list[Image.Image]:
    return [Image.fromarray(np.full((4, 6, 3), i, np.uint8)) for i in range(70)]


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (Rows(X), X),
        (Rows(X.numpy()), X),
        (Rows(X[:, 0].tolist()), X[:, 0].double()),
        (TensorDataset(X), X),
        (Subset(TensorDataset(X), [5, 3]), X[[5, 3]]),
        (Rows(images()), torch.arange(70, dtype=torch.uint8)[:, None, None, None].expand(70, 4, 6, 3)),
        (DataLoader(X, 7), X),
        (DataLoader(TensorDataset(X), 7), X),
        (DataLoader(X, 7, shuffle=True), X),
        (DataLoader(X, batch_size=None), X),
        (DataLoader(X, batch_sampler=[[4, 5], [1]]), X[[4, 5, 1]]),
        (DataLoader(TensorDataset(X, X), 7, collate_fn=lambda rows: torch.stack([row[1] for row in rows])), X),
    ],
    ids=lambda x: type(x).__name__,
)
def test_rows_are_those_of_the_data_set(x, expected):
    found = native(x)
    assert found.dtype == expected.dtype and torch.equal(found, expected)


def test_a_sampler_chooses_the_rows():
    found = native(DataLoader(X, 2, sampler=SubsetRandomSampler([3, 8, 9])))
    assert sorted(found[:, 0].tolist()) == X[[3, 8, 9], 0].tolist()


def test_a_fit_reads_each_row_once_and_learns_the_same_as_from_a_tensor():
    x = torch.randn(80, 2, generator=torch.Generator().manual_seed(0))
    data = Rows(x)
    model, other = scorefield.fit(data, steps=3), scorefield.fit(x, steps=3)
    assert data.read == len(x)
    assert torch.equal(model.sample(5), other.sample(5))
    assert torch.equal(model.log_prob(TensorDataset(x[:4])).value, model.log_prob(x[:4]).value)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (
            TensorDataset(X, X),
            TypeError,
            "rows of the TensorDataset have 2 parts, such as data and labels: pass the data",
        ),
        (DataLoader(TensorDataset(X, X)), TypeError, "rows of the DataLoader have 2 parts"),
        (Rows([{"image": X, "label": 1}]), TypeError, "rows of the Rows have the parts 'image', 'label'"),
        (Rows(["a"]), TypeError, "rows of the Rows must be numbers, got a str"),
        (Rows([object()]), TypeError, "rows must be numbers, got a object"),
        (Endless(), TypeError, "a Endless does not give rows by their number, and may have no end"),
        (DataLoader(Endless()), TypeError, "a Endless does not give rows by their number"),
        (Unsized(), TypeError, "a Unsized does not give rows by their number"),
        (Rows([]), ValueError, "there are no data: the Rows has no rows"),
        (Rows([X[0], X[0, :1]]), ValueError, "the rows have different shapes, (2,) and (1,): make them the same"),
        (
            Rows([X[0]] * 64 + [X[0, :1]]),
            ValueError,
            "the rows of the Rows have different shapes, got (1, 1) for 1 rows",
        ),
    ],
)
def test_what_cannot_be_gathered(x, error, message):
    with pytest.raises(error) as found:
        Schema.of(x)
    assert message in str(found.value) and "\n" not in str(found.value)


def test_more_than_there_is_memory(monkeypatch):
    def none_left(*shape, **how):
        raise RuntimeError("can't allocate memory")

    monkeypatch.setattr(torch_datasets.torch, "empty", none_left)
    with pytest.raises(ValueError, match=r"150 rows of \(2,\) take .* GiB, more than there is memory: write them to"):
        native(Rows(X))
