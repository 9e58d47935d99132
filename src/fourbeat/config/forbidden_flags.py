"""Flags of Lightning's Trainer that the section ``trainer`` does not take, and why. No pydantic."""

from __future__ import annotations

from typing import Any, NamedTuple

from fourbeat.base.errors import Fault
from fourbeat.config.typed import format_value


class Home(NamedTuple):
    """Why a flag is not taken, and what to do instead.

    Attributes:
        reason: As the end of a sentence that begins with the flag.
        hint: The next thing to do.
    """

    reason: str
    hint: str


FORBIDDEN = {
    "logger": Home("is decided by the group logger", "Use e.g. logger=[tensorboard,csv]."),
    "callbacks": Home("is decided by the group callbacks", "Use +callbacks.NAME._target_=CLASS."),
    "enable_checkpointing": Home(
        "is decided by callbacks.model_checkpoint", "Use callbacks.model_checkpoint=null for none."
    ),
    "enable_progress_bar": Home(
        "is decided by callbacks.progress", "Use callbacks.progress=bar, lines or none."
    ),
    "enable_model_summary": Home(
        "is decided by the group callbacks",
        "Use +callbacks.summary._target_=lightning.pytorch.callbacks.ModelSummary.",
    ),
    "default_root_dir": Home(
        "is the run folder", "Use paths.output_dir=FOLDER, or hydra.run.dir=FOLDER for this run."
    ),
    "plugins": Home(
        "is decided by trainer.precision, and by how checkpoints are written",
        "Add a plugin in src/project/build.py.",
    ),
    "barebones": Home(
        "would forbid checkpoints, loggers and records, and nothing could be resumed",
        "Use callbacks=none logger=none.",
    ),
    "use_distributed_sampler": Home(
        "is always false: the order of an epoch knows its process, and a sampler of Lightning's "
        "would fetch samples one by one",
        "Leave it out.",
    ),
    "reload_dataloaders_every_n_epochs": Home(
        "would break resume: Lightning counts these epochs from where the process has started, so "
        "a resumed run would reload at other ones",
        "Let the data set depend on the epoch instead: each epoch has an order of its own.",
    ),
    "enable_autolog_hparams": Home(
        "is decided by the group logger: each logger gets the config and the final metrics",
        "Use logger=none for neither.",
    ),
    "model_registry": Home(
        "would upload checkpoints that callbacks.model_checkpoint has not written",
        "Upload best.ckpt from the run folder.",
    ),
}
"""Flag to the reason; what else Lightning's Trainer takes is a key of ``trainer`` or has one."""


def forbidden_fault(key: str, value: Any) -> Fault | None:
    """Return the fault of a flag that is not taken; None where there is no such rule.

    Args:
        key: The dotted key.
        value: Its value; empty text for none.
    """
    section, _, flag = key.partition(".")
    home = FORBIDDEN.get(flag.partition(".")[0]) if section == "trainer" else None
    if home is None:
        return None
    name = f"trainer.{flag.partition('.')[0]}"
    shown = value if isinstance(value, str) else format_value(value)
    return Fault("not-a-setting", name, shown if name == key else "", home.reason, home.hint)
