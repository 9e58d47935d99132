"""L6: sweeps: checking their overrides, and one table at the end. Hydra imports this at start."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from fourbeat.config.compose import compose

TABLE_FILE = "sweep.csv"

_failed = 0


def num_failed() -> int:
    """Return how many jobs of this process's sweep failed; 0 when there was no sweep."""
    return _failed


class SweepTable(Callback):
    """Prints the jobs of a multirun, best first, and writes them as CSV into the sweep's folder."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Read the job folders and compare them."""
        global _failed
        from fourbeat.run import collect, table, write_csv

        folder = Path(config.hydra.sweep.dir)
        trials = collect(folder)
        _failed = sum(trial.status == "failed" for trial in trials)
        print()
        print(table(trials, config.sweep.metric, config.sweep.mode))
        write_csv(trials, folder / TABLE_FILE, config.sweep.metric, config.sweep.mode)
        print(f"table        {folder / TABLE_FILE}")
        print(f"TensorBoard  tensorboard --logdir {folder}", flush=True)


def check_overrides(overrides: Sequence[str], script: str) -> None:
    """Check each value of a sweep by itself: does its option, or its key, exist?

    Whether a combination can be run is for the jobs to find out.

    Raises:
        ConfigError: With one fault for each override that does not fit.
    """
    parser = OverridesParser.create()
    try:
        parsed = parser.parse_overrides(list(overrides))
    except Exception:  # compose says which one it is, and why
        compose(overrides, script)
        raise
    fixed = [o.input_line or "" for o in parsed if not o.is_sweep_override()]
    single = [values for o in parsed if o.is_sweep_override() for values in _each(o)]
    compose(fixed, script)
    for value in single:
        compose([*fixed, value], script)


def _each(override: Override) -> list[str]:
    """The values of a finite sweep, each as an override of its own; a continuous one by its key."""
    if not override.is_discrete_sweep():
        return []
    values = override.sweep_string_iterator()
    return [f"{override.get_key_element()}={value}" for value in values]
