"""What can be checked of a sweep before its first job runs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from fourbeat.base.errors import Fault, raise_faults
from fourbeat.config.compose import compose_good
from fourbeat.config.overrides import parse_overrides, text_of
from fourbeat.lightning.hydra import IntervalSweep, Override

# Values of one key that are checked before a sweep starts: each costs a composition, 50 ms.
MOST_TRIED = 20

FindFaults = Callable[[DictConfig], list[Fault]]


def check_sweep(
    conf_dir: Path, overrides: Sequence[str], config_name: str, find_more: FindFaults | None = None
) -> None:
    """Check each value of a sweep: does its option or its key exist, is it of the right kind?

    Composes the first job, and each job that differs from it in one value. Whether a combination
    can run is checked by its own job: an impossible one does not end the others.

    Args:
        conf_dir: The project's config folder.
        overrides: What a user typed after ``-m``.
        config_name: The primary config.
        find_more: Finds other faults of a composed job.

    Raises:
        ConfigError: With all faults of all these jobs.
    """
    from fourbeat.config.check import check_own_keys

    found, faults = parse_overrides(overrides, sweeps=True)
    for job in sample_jobs(found):
        composed, bad = compose_good(conf_dir, job, config_name)
        _, wrong = check_own_keys(composed)
        faults += [*bad, *wrong, *process_faults(composed)]
        faults += find_more(composed) if find_more else []
    raise_faults(faults)


def sample_jobs(overrides: Sequence[Override]) -> Iterator[list[str]]:
    """Yield the overrides of the first job, then of each that differs from it in one value."""
    values = [_each(override) for override in overrides]
    first = [choices[0] for choices in values]
    yield first
    for place, choices in enumerate(values):
        for choice in choices[1:]:
            yield [*first[:place], choice, *first[place + 1 :]]


def process_faults(composed: DictConfig) -> list[Fault]:
    """Return a fault if a job starts several processes: each would run the whole multirun again."""
    strategy = OmegaConf.select(composed, "trainer.strategy")
    if strategy in (None, "auto") or composed.trainer.devices == 1:
        return []
    hint = "Leave out -m and give one command for each, or use trainer.strategy=auto."
    why = "starts processes that would each run the whole sweep again"
    return [Fault("not-in-a-sweep", "trainer.strategy", str(strategy), why, hint)]


def _each(override: Override) -> list[str]:
    """The values that an override stands for, each as an override of its own."""
    if override.is_interval_sweep():
        interval = override.value()
        assert isinstance(interval, IntervalSweep)
        return [f"{override.get_key_element()}={interval.start}"]
    if not override.is_sweep_override():
        return [text_of(override)]
    values = itertools.islice(override.sweep_string_iterator(), MOST_TRIED)
    return [f"{override.get_key_element()}={value}" for value in values]
