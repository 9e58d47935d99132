"""Every record column is declared once, and what is declared is written, read and described."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.records_page import columns_page
from support import project
from support.settings import SMALL
from torch import nn

import fourbeat
from fourbeat.recorder import Records, read_records
from fourbeat.recorder.block import LAYERS_TAG, STEPS_TAG
from fourbeat.recorder.columns import (
    COLUMNS,
    current_name,
    get_column,
    rank_column,
    split_columns,
)
from fourbeat.recorder.store import Table

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "records_v1"


def assert_declared(table: Table, tag: str) -> None:
    for name in table.columns:
        column = get_column(name)
        assert column is not None, f"{name} is written, but recorder/columns.py has no such column"
        assert column.table == tag, name
        assert ("/" in name) == bool(column.per), name


def test_a_training_writes_the_declared_columns_and_no_others(tmp_path: Path) -> None:
    each = "callbacks.recorder.layers_every_n_steps=1"
    project.train(project.compose(*SMALL, each, "trainer.max_steps=2"), tmp_path)
    records = read_records(tmp_path)
    assert_declared(records.steps, STEPS_TAG)
    assert_declared(records.layers, LAYERS_TAG)
    written = {name.partition("/")[0] for name in (*records.steps.columns, *records.layers.columns)}
    # Several losses and optimizers have theirs: tests/programs.
    assert written == {column.name for column in COLUMNS} - {"turn", "named_loss"}


def records_of_a_plain_loop(folder: Path) -> Records:
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with fourbeat.watch(model, optimizer, folder=folder, layers_every_n_steps=1):
        model(torch.ones(4, 3)).sum().backward()
        optimizer.step()
    return read_records(folder)


def test_a_plain_loop_writes_declared_columns(tmp_path: Path) -> None:
    records = records_of_a_plain_loop(tmp_path)
    assert_declared(records.steps, STEPS_TAG)
    assert_declared(records.layers, LAYERS_TAG)


# As files have them, which a reader of the bytes may rely on.
STEPS = ["epoch", "batch_idx", "applied", "loss_scale", "lr/0", "loss"]
STEPS += ["grad_norm_clipped", "grad_norm/0"]
LAYERS = ["weight_norm/0", "update_norm/0"]
LAYERS += [f"activation_{name}/{leaf}" for leaf in (0, 1) for name in ("mean", "std", "dead")]


def test_the_order_of_the_written_columns_stays(tmp_path: Path) -> None:
    records = records_of_a_plain_loop(tmp_path)
    assert list(records.steps.columns) == STEPS
    assert list(records.layers.columns) == LAYERS


def test_columns_are_ranked_in_the_order_of_the_beats() -> None:
    names = ["epoch", "batch_idx", "lr/1", "activation_std/a", "loss", "loss_scale", "grad_norm/b"]
    names += [
        "grad_norm_clipped",
        "applied",
        "update_norm/a",
        "weight_norm/a",
        "of a later version",
    ]
    assert sorted(names, key=rank_column) == names
    assert get_column("later") is None


def test_only_columns_with_owners_are_split() -> None:
    values = np.arange(6).reshape(3, 2)
    split = split_columns("grad_norm", ["a", "b"], values)
    assert {name: column.tolist() for name, column in split.items()} == {
        "grad_norm/a": [0, 2, 4],
        "grad_norm/b": [1, 3, 5],
    }
    with pytest.raises(AssertionError, match="loss has no owners"):
        split_columns("loss", ["a", "b"], values)


def test_the_page_is_what_the_declaration_gives() -> None:
    page = ROOT / "docs" / "records.md"
    hint = "docs/records.md is out of date: python -m benchmarks.records_page > docs/records.md"
    assert page.read_text(encoding="utf-8") == columns_page(), hint


# Written by fourbeat before the columns had their present names: two epochs in 16-mixed precision,
# the fourth step skipped.


@pytest.fixture(scope="module")
def golden() -> Records:
    return read_records(GOLDEN)


@pytest.mark.parametrize("table", ["steps", "layers"])
def test_an_old_file_is_read_for_ever(golden: Records, table: str) -> None:
    expected = json.loads((GOLDEN / "expected.json").read_text())[table]
    found: Table = getattr(golden, table)
    assert found.steps.tolist() == expected["steps"]
    columns = {current_name(name): values for name, values in expected["columns"].items()}
    assert list(found.columns) == list(columns)
    for name, values in columns.items():
        assert np.array_equal(found.columns[name], np.float32(values), equal_nan=True), name


def test_a_column_of_an_old_file_has_its_present_name(golden: Records) -> None:
    assert golden.steps.columns["applied"].tolist() == [1, 1, 1, 0, *[1] * 8]
    assert "taken" not in golden.steps.columns
    assert current_name("grad_norm/taken") == "grad_norm/taken"  # a layer of that name
