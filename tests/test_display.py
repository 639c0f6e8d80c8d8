"""What models, runs and results show of themselves: a few lines of plain text, and the same as HTML."""

from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import scorefield
from scorefield.diagnostics import Diagnosis, ScoreCheck
from scorefield.display import as_html, as_text
from scorefield.fitting import Fitted
from scorefield.likelihood import LogProb

HERE = Path(__file__).parent / "v0_1_0"


def load(name):
    return scorefield.load(HERE / "models" / f"{name}.safetensors")


def text_of(page):
    """The words of a small table, line by line."""
    cells = re.findall(r"<b>(.*?)</b>|<td>(.*?)</td><td>(.*?)</td>", page)
    return [" ".join(" ".join(filter(None, cell)).split()) for cell in cells]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("table", ["Model of vectors", "dataframe", "height, count, flag", "MLP, 315 parameters", "EDM(", "steps=32"]),
        ("grid_rgb_last", ["Model of grids", "uint8, shape (8, 8, 3)", "UNet", "ExponentialAdams(order=2"]),
        ("labels_free", ["context", "label (may be left out)"]),
        ("labels_only", ["label (needed)"]),
        ("labels_given_guided", ["conditions", "1 context, guidance 2"]),
        ("led", ["class 1 of a classifier, weight 1.5"]),
        ("posterior_default", ["a measurement by", "MomentMatching"]),
    ],
)
def test_a_model_says_what_it_is(name, words):
    model = load(name)
    text = repr(model)
    assert all(word in text for word in words), text
    assert len(text.splitlines()) <= 8
    assert text_of(model._repr_html_()) == [html.escape(" ".join(line.split())) for line in text.splitlines()]


def test_conditions_are_seen():
    model = load("labels_free")
    assert "conditions" not in repr(model)
    assert "2 contexts, guidance 3" in repr(model.condition(label=[0, 1], guidance=3.0))


def test_results_say_what_they_are():
    model = load("vector_float64")
    found = model.log_prob(np.zeros((3, 2)))
    assert repr(found).startswith("LogProb of 3 rows, in nats\n  value        mean ")
    assert f"{float(found.value.mean()):.4g}" in repr(found)
    nothing = LogProb(*[torch.zeros(0)] * 6)
    assert repr(nothing) == "LogProb of no rows"
    record = {
        "weights": "last step",
        "held_out_loss": 1.5,
        "steps": 1200,
        "stopped": "the budget is used",
        "warning": "",
    }
    assert repr(Fitted(model, record)).splitlines()[0] == "Fitted"
    assert "1,200" in repr(Fitted(model, record))
    assert "warning" not in repr(Fitted(model, record))
    assert "memorized" in repr(Fitted(model, record | {"warning": "it memorized"}))
    checks = (ScoreCheck("curl", 0.5, 0.1, True, "", ""), ScoreCheck("loss", 0.01, 0.1, False, "", ""))
    assert "curl  0.5, flagged" in repr(Diagnosis((1.0,), 10, checks))
    assert scorefield.Run(HERE / "runs" / "table")._repr_html_().count("<td>") == 2


def test_text_is_escaped_and_aligned():
    assert as_text("title", {}) == "title"
    assert as_text("t", {"a": "1", "bbb": "2"}) == "t\n  a    1\n  bbb  2"
    assert "<script>" not in as_html("<script>", {"<script>": "<script>"})
