"""The Hydra callback that prints one table at the end of a sweep. Imported at every start."""

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

TABLE_FILE = "sweep.csv"
ERROR_FILE = "error.txt"
"""In the folder of a job that failed before its manifest could say why: the reason."""

_failed = 0


def num_failed() -> int:
    """Return the number of failed jobs in this process's sweep; 0 when there was no sweep."""
    return _failed


class SweepTable(Callback):
    """Prints the trials of a multirun, best first, and writes them as CSV to the sweep's folder."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Read the folders of all jobs, print the table and write ``sweep.csv``."""
        global _failed
        from fourbeat.sweeps.trials import format_table, read_trials, write_csv

        folder = Path(config.hydra.sweep.dir)
        trials = read_trials(folder)
        _failed = sum(trial.status == "failed" for trial in trials)
        print()
        print(format_table(trials, config.sweep.metric, config.sweep.mode))
        write_csv(trials, folder / TABLE_FILE, config.sweep.metric, config.sweep.mode)
        print(f"table        {folder / TABLE_FILE}")
        print(f"TensorBoard  tensorboard --logdir {folder}", flush=True)
