"""Warnings of libraries that do not ask the user to act.

Each is silenced by what it says, its kind, and the library's module that says it: the same words
from a user's own code are shown.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.loggers import Logger

from fourbeat.lightning.torch_jit import TracerWarning


class Remark(NamedTuple):
    """A warning, by what it says (a regular expression), its kind, and the module that says it."""

    text: str
    kind: type[Warning]
    module: str


_LOOPS = r"lightning\.pytorch\.loops"
_MODEL_CHECKPOINT = r"lightning\.pytorch\.callbacks\.model_checkpoint$"
_OF_A_TRAINING = (
    # Data in memory is gathered faster than a worker could pass it on.
    Remark(
        "The '.*' does not have many workers",
        PossibleUserWarning,
        r"lightning\.pytorch\.trainer\.connectors\.data_connector$",
    ),
    # A resume may drop a callback, e.g. callbacks.early_stopping=null.
    Remark("Be aware that when using `ckpt_path`", UserWarning, r"lightning\.pytorch\.trainer\."),
    # Lightning 2.6 asks torch >= 2.10 in a deprecated way; nothing that a user could mend.
    Remark(".*LeafSpec.* is deprecated", FutureWarning, r"lightning\.pytorch\.utilities\._pytree$"),
    # Short epochs: the interval runs on across them, it is counted in steps of the whole run.
    Remark(".*is smaller than the logging interval", PossibleUserWarning, rf"{_LOOPS}\.fit_loop$"),
    # What is asked for: the weights after so many steps.
    Remark("Using ModelCheckpoint with manual optimization", UserWarning, _MODEL_CHECKPOINT),
    # Our data has a hook for each split; of one that is there it is said at the start.
    Remark(
        "You passed in a `val_dataloader` but have no `validation_step`",
        UserWarning,
        r"lightning\.pytorch\.trainer\.configuration_validator$",
    ),
    # A resumed run writes into the folder of its checkpoints.
    Remark("Checkpoint directory .* exists and is not empty", UserWarning, _MODEL_CHECKPOINT),
)
_OF_FROZEN_LAYERS = (
    # They keep their statistics.
    Remark("Found .* in eval mode at the start", PossibleUserWarning, rf"{_LOOPS}\.fit_loop$"),
)
# A logger draws the graph by tracing the network: once, and nothing else comes of it.
_OF_A_DRAWING = (
    Remark(r"`torch\.jit\.trace.* is deprecated", DeprecationWarning, r"torch\.jit\._trace$"),
    Remark(r"`torch\.jit\.trace.* is deprecated", FutureWarning, r"torch\.jit\._trace$"),  # 2.14
    # Said of a line of the user's forward, and of what the tracing might do elsewhere.
    Remark("", TracerWarning, ""),
    # The tracing reads all attributes of a module, and its metrics are among them.
    Remark("This property will be removed in 2.0.0", DeprecationWarning, r"torchmetrics\."),
)


@contextmanager
def expected_warnings(
    loggers: Sequence[Logger] = (), frozen_layers: Sequence[str] = ()
) -> Iterator[None]:
    """Silence the remarks of libraries that do not ask the user to act.

    Args:
        loggers: Those of the Trainer. What torch says of tracing is silenced while one of them
            draws the graph, and at no other time.
        frozen_layers: Layers that stay in evaluation mode, as they should.
    """
    with ExitStack() as stack:
        for logger in loggers:
            stack.enter_context(_quiet_graph(logger))
        stack.enter_context(warnings.catch_warnings())
        _silence(_OF_A_TRAINING)
        _silence(_OF_FROZEN_LAYERS if frozen_layers else ())
        yield


@contextmanager
def _quiet_graph(logger: Logger) -> Iterator[None]:
    own = vars(logger).get("log_graph")
    setattr(logger, "log_graph", partial(_draw, logger.log_graph))  # noqa: B010
    try:
        yield
    finally:
        del vars(logger)["log_graph"]
        if own is not None:
            setattr(logger, "log_graph", own)  # noqa: B010


def _draw(log_graph: Any, *args: Any, **kwargs: Any) -> None:
    with warnings.catch_warnings():
        _silence(_OF_A_DRAWING)
        log_graph(*args, **kwargs)


def _silence(remarks: Sequence[Remark]) -> None:
    for remark in remarks:
        warnings.filterwarnings("ignore", remark.text, remark.kind, remark.module)
