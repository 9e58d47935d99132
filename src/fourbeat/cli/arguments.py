"""The command line as Hydra will read it."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fourbeat.base.errors import Fault, raise_faults
from fourbeat.config.overrides import parse_overrides
from fourbeat.lightning.hydra import parse_command_line

# Hydra's flags that cannot mean anything here: name, why, and what to do instead.
REFUSED = [
    (
        "config_path",
        "cannot be used: the configs are in conf",
        "Add a folder of your own with --config-dir, or put your YAML files into conf.",
    ),
    (
        "experimental_rerun",
        "cannot be used: reading a pickle runs what is in it",
        "Resume the run with resume=RUN, or measure it with scripts/eval.py run=RUN.",
    ),
]


@dataclass(frozen=True)
class Arguments:
    """What a script was called with.

    Attributes:
        overrides: What is to be composed, with those that flags stand for.
        is_informative: Whether Hydra is to print something and to run nothing.
        shows_config: Whether that is, or explains, the config that would be used.
        is_multirun: Whether a sweep is asked for.
        config_name: The primary config, where one is named; empty otherwise.
    """

    overrides: tuple[str, ...]
    is_informative: bool
    is_multirun: bool
    config_name: str = ""
    shows_config: bool = False

    @classmethod
    def of(cls, words: Sequence[str]) -> Arguments:
        """Parse the words after the script's name.

        Raises:
            ConfigError: With one fault for each word that is neither a flag nor an override.
        """
        flags, unknown = parse_command_line(words)
        raise_faults(_unknown(word) for word in unknown)
        raise_faults(_refused(flags))
        raise_faults(_missing_folder(flags.config_dir))
        informative = flags.help, flags.hydra_help, flags.cfg, flags.info, flags.shell_completion
        return cls(
            overrides=(*flags.overrides, *_searched(flags.config_dir)),
            is_informative=any(informative),
            is_multirun=flags.multirun or "hydra.mode=MULTIRUN" in flags.overrides,
            config_name=flags.config_name or "",
            shows_config=bool(flags.cfg or flags.info),
        )

    @property
    def resume(self) -> str | None:
        """What ``resume=`` names; None when it is not given, empty or null."""
        values = [o.partition("=")[2] for o in self.overrides if o.startswith("resume=")]
        return values[-1] if values and values[-1] not in ("", "null", "''", '""') else None

    @property
    def names_resume(self) -> bool:
        """Whether ``resume``, or a key below it, is given at all."""
        keys = (o.partition("=")[0].lstrip("+") for o in self.overrides)
        return any(key == "resume" or key.startswith("resume.") for key in keys)

    @property
    def base(self) -> str | None:
        """The run that ``from=`` names; None when it is not given, or null.

        Raises:
            ConfigError: It is no override, or names several runs.
        """
        given = [o for o in self.overrides if o.startswith("from=")]
        found, faults = parse_overrides(given[-1:], sweeps=True)
        raise_faults(faults)
        value = found[0].value() if found else None
        if found and found[0].is_sweep_override():
            why, hint = "must name one run", "Give one command for each."
            raise_faults([Fault("several-values", given[-1], "", why, hint)])
        return None if value is None else str(value)


def _unknown(word: str) -> Fault:
    if word.startswith("-"):
        hint = f"Write key=value without dashes, e.g. optim.lr=0.01 and not {word} 0.01."
        return Fault("unknown-flag", word, "", "is not a flag", hint)
    why = "is separated from the other overrides by a flag"
    return Fault("bad-syntax", word, "", why, "Put the flags first.")


def _refused(flags: Namespace) -> Iterator[Fault]:
    for name, why, hint in REFUSED:
        if (value := getattr(flags, name)) is not None:
            yield Fault("unknown-flag", f"--{name.replace('_', '-')}", value, why, hint)


def _missing_folder(path: str | None) -> list[Fault]:
    if path is None or Path(path).is_dir():
        return []
    hint = "Name a folder that has config groups in it, e.g. one with model/mine.yaml."
    return [Fault("not-a-folder", "--config-dir", path, "is no folder", hint)]


def _searched(config_dir: str | None) -> list[str]:
    return [f"hydra.searchpath=['file://{os.path.abspath(config_dir)}']"] if config_dir else []
