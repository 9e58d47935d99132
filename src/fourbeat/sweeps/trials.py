"""The trials of a Hydra multirun, read from their folders and compared in one table."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fourbeat.base.errors import RunError
from fourbeat.base.files import write_whole
from fourbeat.base.text import align_columns
from fourbeat.config.sections import Mode
from fourbeat.run.manifest import MANIFEST_FILE, Manifest, Status
from fourbeat.sweeps.callback import ERROR_FILE


@dataclass(frozen=True)
class Trial:
    """One job of a sweep.

    Attributes:
        number: The job's number, which is its folder's name.
        dir: The job's folder.
        status: How it stands; ``failed`` if it left no manifest.
        reason: Why it stopped early, was interrupted or failed; empty otherwise.
        overrides: The job's overrides in order; empty when not even Hydra got to write them.
        metrics: The last value of each.
    """

    number: int
    dir: Path
    status: Status
    reason: str = ""
    overrides: tuple[str, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, str]:
        """The overrides as key to value, without ``+``; ``~key`` has the value ``(deleted)``."""
        pairs = [override.lstrip("+").partition("=") for override in self.overrides]
        return {
            key.lstrip("~"): "(deleted)" if key.startswith("~") else value
            for key, _, value in pairs
        }


def read_trials(sweep_dir: Path) -> list[Trial]:
    """Return the jobs of a sweep in their order.

    Args:
        sweep_dir: The sweep's folder, with the jobs in folders 0, 1, 2, ...

    Raises:
        RunError: There is no such folder, or no job in it.
    """
    sweep_dir = Path(sweep_dir)
    if not sweep_dir.is_dir():
        raise RunError(f"{sweep_dir}: there is no such sweep folder.")
    jobs = [place for place in sweep_dir.iterdir() if place.name.isdecimal() and place.is_dir()]
    if not jobs:
        raise RunError(
            f"{sweep_dir}: is not a sweep folder: it has no jobs (folders 0, 1, 2, ...). "
            "Start a sweep with: python scripts/train.py -m optim=sgd,adam"
        )
    return [_trial(job) for job in sorted(jobs, key=lambda place: int(place.name))]


def format_table(trials: Sequence[Trial], metric: str, mode: Mode) -> str:
    """Return the jobs as aligned text: the best first, those that failed last and why they did.

    Shown are the overrides in which the jobs differ, and of the metrics ``metric`` and those of
    validation and test.

    Args:
        trials: As `read_trials` returns them.
        metric: What the jobs are sorted by, e.g. ``val/loss``; a job in which it is missing, NaN
            or infinite comes after those that have it.
        mode: Whether the smallest or the largest value is best.
    """
    ranked = _ranked(trials, metric, mode)
    settings, metrics = _differing(trials), [metric, *_measured(trials, metric)]
    rows = [["job", "status", *settings, *metrics]]
    for trial in ranked:
        values = [trial.settings.get(key, "-") for key in settings]
        numbers = [f"{trial.metrics[m]:.4g}" if m in trial.metrics else "-" for m in metrics]
        rows.append([str(trial.number), trial.status, *values, *numbers])
    reasons = [f"job {t.number}: {t.reason.splitlines()[0]}" for t in ranked if _failed(t)]
    return "\n".join(align_columns(rows) + reasons)


def write_csv(trials: Sequence[Trial], path: Path, metric: str, mode: Mode) -> None:
    """Write the jobs as CSV, in the order of `format_table`: all overrides, all metrics in full.

    Args:
        trials: As `read_trials` returns them.
        path: The file; its folder must exist.
        metric: What the jobs are sorted by.
        mode: Whether the smallest or the largest value is best.

    Raises:
        RunError: The file cannot be written.
    """
    settings = _union(trial.settings for trial in trials)
    metrics = _union(trial.metrics for trial in trials)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["job", "status", "reason", *settings, *metrics])
    for t in _ranked(trials, metric, mode):
        values = [t.settings.get(key, "") for key in settings]
        numbers = [t.metrics.get(name, "") for name in metrics]
        writer.writerow([t.number, t.status, t.reason, *values, *numbers])
    write_whole(Path(path), text.getvalue().encode())


def _trial(job: Path) -> Trial:
    number, error = int(job.name), _error(job)
    if not (job / MANIFEST_FILE).exists():
        reason = error or f"it left no {MANIFEST_FILE}: it was killed or never began"
        return Trial(number, job, "failed", reason, _hydra_overrides(job))
    try:
        manifest = Manifest.read(job)
    except RunError as damage:
        return Trial(number, job, "failed", str(damage), _hydra_overrides(job))
    status, reason = manifest.outcome.status, manifest.outcome.reason
    if status == "running" and error:  # it failed where nobody could write the manifest any more
        status = "failed"
    if status == "failed":
        reason = reason or error or "it left no reason"
    return Trial(number, job, status, reason, tuple(manifest.overrides), manifest.metrics)


def _error(job: Path) -> str:
    path = job / ERROR_FILE
    if not path.is_file():
        return ""
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    if not text.startswith("Traceback"):
        return text
    # The last line that is not indented has the exception's name and the start of its message.
    return [line for line in text.splitlines() if line and not line[0].isspace()][-1]


def _hydra_overrides(job: Path) -> tuple[str, ...]:
    path = job / ".hydra" / "overrides.yaml"
    if not path.is_file():
        return ()
    from omegaconf import OmegaConf  # 50 ms, and only for a job that failed

    # Unresolved: an override may hold ${...}, which means something in the job's config only.
    overrides: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    return tuple(overrides)


def _failed(trial: Trial) -> bool:
    return trial.status == "failed"


def _ranked(trials: Sequence[Trial], metric: str, mode: Mode) -> list[Trial]:
    def place(trial: Trial) -> tuple[bool, bool, float, int]:
        value = trial.metrics.get(metric, math.nan)
        usable = math.isfinite(value)
        signed = (value if mode == "min" else -value) if usable else 0.0
        return (_failed(trial), not usable, signed, trial.number)

    return sorted(trials, key=place)


def _differing(trials: Sequence[Trial]) -> list[str]:
    known = [trial.settings for trial in trials if trial.overrides]
    return [key for key in _union(known) if len({job.get(key) for job in known}) > 1]


def _measured(trials: Sequence[Trial], metric: str) -> list[str]:
    names = [name for name in _union(t.metrics for t in trials) if name != metric]
    return [n for n in names if n.startswith("val/")] + [n for n in names if n.startswith("test/")]


def _union(mappings: Iterable[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))
