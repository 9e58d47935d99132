"""How many states a run keeps, so that they fit into what it may take of the disk."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from fourbeat.state.plain import find_tensors

GIB = 2**30


@dataclass(frozen=True)
class NumKept:
    """How many states of each kind are to be on the disk.

    Attributes:
        last: Of the last states.
        best: Of the best states.
        snapshots: Of the earlier states for replays.
    """

    last: int
    best: int
    snapshots: int

    @property
    def total(self) -> int:
        """The most files that these may be; some are links to one file."""
        return self.last + self.best + self.snapshots

    def within(self, state_bytes: int, max_bytes: float) -> NumKept:
        """Return how many of them fit: of snapshots first fewer, then of last, then of best states.

        One last and one best state stay in any case, if they were wanted.

        Args:
            state_bytes: Bytes of a state.
            max_bytes: Bytes that all of them may take.
        """
        kept = self
        while kept.total * state_bytes > max_bytes:
            if kept.snapshots:
                kept = replace(kept, snapshots=kept.snapshots - 1)
            elif kept.last > 1:
                kept = replace(kept, last=kept.last - 1)
            elif kept.best > 1:
                kept = replace(kept, best=kept.best - 1)
            else:
                break
        return kept

    def describe(self) -> str:
        """Return it as text."""
        return f"{self.last} last, {self.best} best, {self.snapshots} snapshots"


def describe_limit(wanted: NumKept, kept: NumKept, state_bytes: int, max_bytes: float) -> str:
    """Return the line that says that there will be fewer states than were asked for.

    Args:
        wanted: What was asked for.
        kept: What fits.
        state_bytes: Bytes of a state.
        max_bytes: Bytes that all of them may take.
    """
    size, total = state_bytes / GIB, wanted.total * state_bytes / GIB
    line = (
        f"callbacks.model_checkpoint.max_disk_gib={max_bytes / GIB:g}: a state takes about "
        f"{size:.3g} GiB, all that are to be kept ({wanted.describe()}) {total:.3g} GiB; kept are "
        f"{kept.describe()}"
    )
    least = kept.total * state_bytes
    return line if least <= max_bytes else f"{line}, the least, which take {least / GIB:.3g} GiB"


def estimate_state_bytes(trainer: Trainer, module: LightningModule) -> int:
    """Estimate the size of a state, which the tensors of weights and optimizers make up.

    Args:
        trainer: Whose optimizers they are.
        module: What it trains.
    """
    states = [optimizer.state for optimizer in trainer.optimizers]
    tensors = [*module.parameters(), *module.buffers(), *find_tensors(states)]
    sizes = {id(tensor): tensor.nbytes for tensor in tensors}
    return sum(sizes.values()) + _bytes_to_come(trainer)


def _bytes_to_come(trainer: Trainer) -> int:
    """Before its first step, an optimizer has no state: Adam's would be two numbers a weight."""
    fresh = [optimizer for optimizer in trainer.optimizers if not optimizer.state]
    groups = [group for optimizer in fresh for group in optimizer.param_groups]
    weights: list[Tensor] = [weight for group in groups for weight in group["params"]]
    return 2 * sum(weight.nbytes for weight in weights)
