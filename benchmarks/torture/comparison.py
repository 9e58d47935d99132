"""Whether a training that was killed ended as the one that was not."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.compat.proto.summary_pb2 import Summary

from fourbeat.recorder.block import Block
from fourbeat.recorder.store import PLUGIN

# Of a manifest, what does not say when, where and how often it was run.
COMPARED = ("outcome", "num_epochs", "num_steps", "metrics", "checkpoints")


def differences(whole: Path, killed: Path) -> Iterator[str]:
    """Yield what is not bitwise identical in two run folders.

    Args:
        whole: The run that was not interrupted.
        killed: The run that was interrupted and resumed.
    """
    manifests = [json.loads((f / "manifest.json").read_text()) for f in (whole, killed)]
    for name in COMPARED:
        ours, theirs = (manifest[name] for manifest in manifests)
        if ours != theirs:
            yield f"manifest, {name}: {ours} became {theirs}"
    names = [sorted(map(_name, f.glob("checkpoints/best*.ckpt"))) for f in (whole, killed)]
    if names[0] != names[1]:
        yield f"checkpoints: {names[0]} became {names[1]}"
        return
    for name in (*names[0], "last.ckpt"):
        states = [torch.load(f / "checkpoints" / name, weights_only=True) for f in (whole, killed)]
        for part in ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "epoch"):
            if not same(states[0][part], states[1][part]):
                yield f"{name}, {part}"
    logs = [logged(folder) for folder in (whole, killed)]
    for tag in sorted(logs[0].keys() | logs[1].keys()):
        if logs[0][tag] != logs[1][tag]:
            steps = [[step for step, _ in log[tag]] for log in logs]
            yield f"TensorBoard, {tag}: {steps[0]} became {steps[1]}"
    # Sorted: the training's own rows are written about once a second, between those of others.
    files = [folder / "csv" / "metrics.csv" for folder in (whole, killed)]
    tables = [sorted(f.read_text().split()) if f.exists() else [] for f in files]  # nothing logged
    if tables[0] != tables[1]:
        yield "metrics.csv"


def _age(path: Path) -> list[int]:
    """The numbers in an event file's name: its second, its process, and which of that's files."""
    return [int(number) for number in re.findall(r"\d+", path.name)]


def _name(path: Path) -> str:
    return path.name


def same(one: Any, other: Any) -> bool:
    """Return whether two nested values are bitwise equal."""
    if isinstance(one, torch.Tensor):
        return bool(torch.equal(one, other))
    if isinstance(one, dict):
        keys = list(one)
        return keys == list(other) and all(same(one[key], other[key]) for key in keys)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def logged(folder: Path) -> dict[str, list[tuple[int, bytes]]]:
    """Return the steps and values of each tag in a run's event files, in the order written.

    Args:
        folder: The run folder.
    """
    values: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
    for path in sorted(folder.rglob("events.out.tfevents.*"), key=_age):
        for event in LegacyEventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == PLUGIN:
                    values[value.tag] += _rows(value)
                # The start of a session has its time in it.
                elif not value.tag.startswith("_hparams_"):
                    values[value.tag].append((event.step, value.SerializeToString()))
    return values


def _rows(value: Summary.Value) -> list[tuple[int, bytes]]:
    """Records step by step: where a block of them ends, and so its columns, depend on the clock."""
    block = Block.decode(*value.tensor.string_val)
    each = (dict(zip(block.columns, row.tolist(), strict=True)) for row in block.values)
    rows = [sorted(numbers.items()) for numbers in each]
    found = [[(name, number) for name, number in row if number == number] for row in rows]
    return [(int(s), repr(row).encode()) for s, row in zip(block.steps, found, strict=True)]
