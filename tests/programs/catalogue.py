"""The programs of the conformance suite: each an experiment in ``conf`` and a module of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONF = Path(__file__).parent / "conf"

# A whole run with all its files, on the CPU; how fast the machine is decides nothing.
BASE = (
    f"hydra.searchpath=['file://{CONF}']",
    *("trainer=cpu", "trainer.max_epochs=2", "trainer.log_every_n_steps=5"),
    *("callbacks.progress=none", "logger=[tensorboard,csv]"),
    *("callbacks.model_checkpoint.max_time_share=1", "callbacks.recorder.layers_every_n_steps=4"),
    *("callbacks.model_checkpoint.every_n_train_steps=8",),
    "callbacks.model_checkpoint.save_snapshots=20",
)


@dataclass(frozen=True)
class Program:
    """What is known of a program beside its files.

    Attributes:
        name: Of its experiment.
        losses: Names of its losses; empty: it has one without a name.
        turns: Of each step of a batch, the index of its optimizer.
        files: Key of each file or folder that it reads, and the fixture's name for it.
        other_workers: Another number of processes that may load its data; None: there is none.
        has_executions: Whether its mini-batches may be grouped.
        measured: The splits of which it logs something.
        is_task: Whether our loops play it, or Lightning's own does.
        is_quick: Whether its cheap checks are in the quick suite.
    """

    name: str
    losses: tuple[str, ...] = ()
    turns: tuple[int, ...] = (0,)
    files: tuple[tuple[str, str], ...] = ()
    other_workers: int | None = 2
    has_executions: bool = True
    measured: tuple[str, ...] = ("val", "test")
    is_task: bool = True
    is_quick: bool = False

    def overrides(self, files: Path) -> tuple[str, ...]:
        """Return what selects it.

        Args:
            files: The folder in which its files are.
        """
        read = (f"{key}={files / name}" for key, name in self.files)
        return (f"experiment={self.name}", *read)


def lightning(name: str, other_workers: int | None = None, **about: Any) -> Program:
    """A LightningModule and a LightningDataModule as their authors wrote them."""
    return Program(name, other_workers=other_workers, has_executions=False, is_task=False, **about)


PROGRAMS = (
    Program("rings"),
    Program("muon"),
    Program("images", files=(("data.root", "images"),), other_workers=0),
    Program("text"),
    Program("small_vae", losses=("reconstruction", "kl")),
    Program("small_gan", losses=("d", "g"), turns=(0, 1), is_quick=True),
    Program("wgan", losses=("critic", "generator"), turns=(0, 0, 0, 1)),
    Program("simclr"),
    Program("diffusion", has_executions=False),
    Program("unet"),
    Program("heads", losses=("form", "size")),
    Program("tagger"),
    Program("finetune", files=(("init_from", "backbone.pt"),)),
    Program("folds"),
    Program("stream", other_workers=None),
    Program("passing_stream", other_workers=None),
    Program("classes"),
    Program("curriculum"),
    lightning("boring", measured=()),
    lightning("lit_transformer", measured=()),
    lightning("lit_manual", measured=()),
    lightning("template_pair", other_workers=2, is_quick=True),
    lightning("lit_weighted", other_workers=2),
    lightning("lit_half", other_workers=2),
    lightning("lit_kept"),
    lightning("lit_ema", other_workers=2),
    lightning("lit_lbfgs", other_workers=2),
    lightning("lit_gan", turns=(0, 1), other_workers=2),
)
