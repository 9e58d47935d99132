"""Warnings of libraries that do not ask the user to act."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from torch.jit._trace import TracerWarning


@contextmanager
def expected_warnings() -> Iterator[None]:
    """Silence, by their text, the remarks that do not ask the user to act."""
    with warnings.catch_warnings():
        # Data in memory is gathered faster than a worker could pass it on.
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        # TensorBoardLogger draws the graph by tracing.
        warnings.filterwarnings("ignore", ".*torch.jit.trace.* is deprecated")
        warnings.filterwarnings("ignore", category=TracerWarning)
        # So does torchmetrics, when the tracing reads all of a module's attributes.
        warnings.filterwarnings("ignore", "This property will be removed in 2.0.0")
        # A resume may drop a callback, e.g. callbacks.early_stopping=null.
        warnings.filterwarnings("ignore", ".*callbacks used to create the checkpoint need to be")
        # Lightning 2.6 asks torch >= 2.10 in a deprecated way; nothing that a user could mend.
        warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated")
        # Short epochs: the interval runs on across them, it is counted in steps of the whole run.
        warnings.filterwarnings("ignore", ".*is smaller than the logging interval")
        # What is asked for: the weights after so many steps.
        warnings.filterwarnings("ignore", "Using ModelCheckpoint with manual optimization")
        # Its order knows where in the epoch it continues, though Lightning cannot see that.
        warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before")
        # A resumed run writes into the folder of its checkpoints.
        warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
        yield
