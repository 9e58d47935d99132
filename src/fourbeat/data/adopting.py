"""From somebody else's data to data whose batches can be found again."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule

from fourbeat.base.errors import DataError
from fourbeat.data.adopted import AdoptedData, has_hook
from fourbeat.data.data import Data

TRANSFER_HOOKS = ("on_before_batch_transfer", "on_after_batch_transfer")


def adopt(data: LightningDataModule | LightningModule, seed: int = 0) -> Any:
    """Return a data module whose batches come in an order that a resume and a replay find again.

    For ``trainer.fit(module, datamodule=fourbeat.adopt(data, seed=1))``.

    Args:
        data: A LightningDataModule, as its author wrote it, or a LightningModule that has loaders
            itself. A :class:`Data` is returned as it is.
        seed: Of the order of the epochs, and of what samples draw.

    Raises:
        DataError: It is neither.
    """
    if isinstance(data, Data):
        return data
    if isinstance(data, LightningModule):
        loaders = ModuleLoaders(seed)
        loaders.inner = data
        return loaders
    if not isinstance(data, LightningDataModule):
        raise DataError(
            f"fourbeat.adopt: takes a LightningDataModule, or a LightningModule with loaders, not "
            f"a {type(data).__name__}. LightningDataModule.from_datasets(...) makes one of data "
            "sets."
        )
    own = type(data)
    # By the name of its class Lightning finds its state in a checkpoint. A hook that it has not is
    # not to stand in the way of the module's.
    hooks = {n: getattr(data, n) for n in TRANSFER_HOOKS if has_hook(data, n)}
    calls = {n: staticmethod(hook) for n, hook in hooks.items()}
    kind = type(own.__name__, (AdoptedData,), {"__qualname__": own.__qualname__, **calls})
    return kind(data, seed)


class ModuleLoaders(AdoptedData):
    """The loaders that a LightningModule has itself: ``data=module``.

    Args:
        seed: Of the order of the epochs, and of what samples draw.

    Attributes:
        inner: The module, once it has been built; Lightning calls its other hooks.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__(LightningDataModule(), seed)  # one that does nothing in these hooks
