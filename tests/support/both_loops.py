"""A run in both loops, compared bitwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from fourbeat.config.deferred import register
from fourbeat.run import Run
from support.project import compose, train
from support.settings import SMALL

register()  # which a deletion of a reference, the first override of all, needs

LOOPS = {
    "four_beat": ("loop=four_beat",),
    "executions of 5": ("loop=four_beat", "loop.steps_per_execution=5"),
    "automatic": ("loop=automatic",),
}
COMPARED = ("state_dict", "optimizer_states", "lr_schedulers", "global_step")
PLAIN = ("~model.hidden_features", "~model.activation", "~model.in_features")
BARE_OPTIM = tuple(f"~optim.{key}" for key in ("betas", "fused", "amsgrad", "eps", "weight_decay"))


def model(name: str) -> list[str]:
    """Return the overrides of a network without arguments."""
    words = [*PLAIN, "~model.out_features"]
    return [f"model._target_=support.user_hooks.{name}", *words]


def optim(target: str) -> list[str]:
    """Return the overrides of an optimizer that has a rate alone."""
    return [f"optim._target_={target}", "optim.lr=0.05", *BARE_OPTIM]


def leaf(target: str, arguments: dict[str, Any]) -> str:
    """Return the override that adds a callback."""
    return f"+callbacks.mine={text_of({'_target_': target, **arguments})}"


def text_of(value: Any) -> str:
    """Return a value as Hydra's command line takes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {text_of(v)}" for k, v in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def same(one: Any, other: Any) -> bool:
    """Return whether two states are bitwise the same."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def last_state(run_dir: Path) -> dict[str, Any]:
    """Return the last state of a run."""
    files = sorted(run_dir.glob("checkpoints/last*.ckpt"), key=lambda path: path.stat().st_mtime_ns)
    if not files:  # it was stopped before its first step
        return dict.fromkeys(COMPARED)
    found = files[-1]
    state: dict[str, Any] = torch.load(found, weights_only=True)
    return state


def logged_rows(run_dir: Path) -> list[str]:
    """Return what the CSV logger has of a run; rows of a step may come in another order."""
    return sorted((run_dir / "csv" / "metrics.csv").read_text().splitlines())


def train_each(folder: Path, *overrides: str) -> dict[str, Run]:
    """Train with each of the :data:`LOOPS`, and assert that all end, and log, alike."""
    runs = {
        name: train(compose(*SMALL, "logger=csv", *words, *overrides), folder / name)
        for name, words in LOOPS.items()
    }
    states = {name: last_state(run.dir) for name, run in runs.items()}
    for name, run in runs.items():
        assert (name, run.outcome) == (name, runs["automatic"].outcome)
        assert (name, run.metrics) == (name, runs["automatic"].metrics)
        assert (name, logged_rows(run.dir)) == (name, logged_rows(runs["automatic"].dir))
        assert not [k for k in COMPARED if not same(states[name][k], states["automatic"][k])]
    return runs
