"""Whether a logger can log: those that write nothing but files are tried in a folder of their own.

What such a logger passes on to a writer, or reckons with, shows in no signature.
"""

from __future__ import annotations

import tempfile

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from fourbeat.base.errors import Fault
from fourbeat.config.leaves import Leaf, instantiate
from fourbeat.config.sections import LeafSection
from fourbeat.config.signatures import builds_another
from fourbeat.config.trial import find_faults

WRITE_FILES = (CSVLogger, TensorBoardLogger)


def logger_faults(key: str, section: LeafSection) -> list[Fault]:
    """Find the keys with which a logger of files cannot be built, or cannot log a number.

    Args:
        key: The leaf's dotted key, e.g. ``logger.csv``.
        section: The leaf, which fits its signature. Of others than files, e.g. a server, nothing
            is tried.
    """
    if all(builds_another(section.target, kind) for kind in WRITE_FILES):
        return []
    return find_faults(key, section.leaf(), _log_a_number)


def _log_a_number(leaf: Leaf) -> None:
    with tempfile.TemporaryDirectory() as folder:
        logger: Logger = instantiate(leaf, save_dir=folder)
        logger.log_metrics({"trial": 0.0}, step=0)
        logger.finalize("success")
