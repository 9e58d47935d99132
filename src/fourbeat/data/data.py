"""``Data``, the interface behind which every data set stands."""

from __future__ import annotations

import inspect
from typing import Any

from torch.utils.data import IterableDataset

from fourbeat.base.errors import Fault
from fourbeat.data.batches import Batch, Fetched
from fourbeat.data.checks import batch_faults, stream_faults, stream_length
from fourbeat.data.samples import SplitSizes
from fourbeat.data.seeding import Split
from fourbeat.data.split_loaders import SplitLoaders


class Data(SplitLoaders):
    """A data set of any samples.

    Your own is a subclass with a method ``dataset``::

        class Images(fourbeat.Data):
            def __init__(self, *, root: str, **common: Any) -> None:
                super().__init__(**common)
                self.root = root

            def dataset(self, split):
                return ImageFolder(f"{self.root}/{split}", AUGMENT if split == "train" else PLAIN)

    What its samples draw while they are fetched, and their collation, is seeded batch by batch: it
    is the same with any number of worker processes, and after a resume.

    Args:
        batch_size: Samples per batch and process.
        shuffle: New order of the training samples in each epoch.
        num_workers: Loading processes; 0 is fastest for data in memory.
        pin_memory: Page-locked memory, from which copies to a GPU overlap with the training.
        drop_last: Drop the last training batch when it is short.
        seed: Seed of the order of the epochs, and of what samples draw.
        steps_per_epoch: Batches of an epoch of a stream, which continues in the next one where it
            stood, and begins again where it ends; None: each epoch is a pass over the data.

    Attributes:
        num_classes: Number of classes, if there are any: names the rows of the confusion matrix.
    """

    num_classes: int | None = None

    def __init__(
        self,
        *,
        batch_size: int = 32,
        shuffle: bool = True,
        num_workers: int = 0,
        pin_memory: bool = False,
        drop_last: bool = False,
        seed: int = 0,
        steps_per_epoch: int | None = None,
    ) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self.drop_last = drop_last
        self.seed = seed
        self.steps_per_epoch = steps_per_epoch

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Spell out ``**common`` in the signature, so that a config can be checked against it."""
        super().__init_subclass__(**kwargs)
        _, *own = inspect.signature(cls.__init__, eval_str=True).parameters.values()
        parent = next(base for base in cls.__mro__[1:] if issubclass(base, Data))
        inherited = inspect.signature(parent, eval_str=True).parameters
        if own and own[-1].kind is inspect.Parameter.VAR_KEYWORD:
            named = {parameter.name: parameter for parameter in own[:-1]}
            own = list({**named, **{k: v for k, v in inherited.items() if k not in named}}.values())
        cls.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]

    def example(self) -> Batch | None:
        """Return a batch like those of training, for the check; None: the first one is taken."""
        return None

    def example_batch(self) -> Batch:
        """Return :meth:`example`, or the first batch of training, which is fetched for it."""
        example = self.example()
        if example is not None:
            return example
        order = self._order("train")
        return Fetched.of(self._source("train", order)[next(iter(order))]).batch

    @property
    def known_batch_size(self) -> int | None:
        """Samples per batch, as far as that is known before one is loaded."""
        return self.batch_size

    @property
    def loss(self) -> str:
        """Dotted path of the loss that ``loss=auto`` is."""
        return "fourbeat.tasks.NoLoss"

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their labels; empty where there are none."""
        return tuple(str(label) for label in range(self.num_classes or 0))

    @property
    def split_sizes(self) -> SplitSizes:
        """Numbers of samples; -1 for a stream of unknown length, 0 for a split that is missing."""
        return SplitSizes(*(self._size_of(split) for split in ("train", "val", "test")))

    def _size_of(self, split: Split) -> int:
        dataset = self._dataset(split)
        if dataset is None:
            return 0
        if not isinstance(dataset, IterableDataset):
            return len(dataset)
        length = stream_length(dataset)
        return -1 if length is None else length

    def num_batches(self, split: Split, world_size: int = 1) -> int:
        """Count the batches of an epoch that each process gets, without any limit; -1: unknown.

        Args:
            split: ``train``, ``val`` or ``test``.
            world_size: Number of processes.
        """
        if self._dataset(split) is None:
            return 0
        order = self._order(split, rank=0, world_size=world_size)
        return order.num_batches if order.has_length else -1

    def faults(self) -> list[Fault]:
        """Find what is wrong with the settings; asks for the samples if nothing else is.

        Returns:
            All faults; none if the data can be loaded.
        """
        _, world_size = self._rank_and_world_size()
        settings = [
            *self._batch_faults(0, world_size),
            *self._seed_faults(),
            *self._trainer_faults(),
        ]
        train = None if settings else self._dataset("train")
        stream = train if isinstance(train, IterableDataset) else None
        return (
            settings
            or stream_faults(stream, self.steps_per_epoch)
            or self.sharing_faults(world_size)
        )

    def sharing_faults(self, world_size: int) -> list[Fault]:
        """Find what is wrong with the division into batches, for so many processes."""
        return self._batch_faults(self.split_sizes.train, world_size)

    def _batch_faults(self, num_train: int, world_size: int) -> list[Fault]:
        return batch_faults(
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            drop_last=self.drop_last,
            num_train=num_train,
            world_size=world_size,
        )

    def _seed_faults(self) -> list[Fault]:
        if self.seed >= 0:
            return []
        negative = "must be a whole number of at least 0"
        return [Fault("out-of-range", "data.seed", str(self.seed), negative, "Try data.seed=0.")]

    def _trainer_faults(self) -> list[Fault]:
        overfit_batches = getattr(self.trainer, "overfit_batches", 0)
        if not overfit_batches:
            return []
        # Lightning would put a sampler of single samples in the place of ours.
        allowed = "fetches single samples, while this data comes in whole batches"
        hint = "Use data.shuffle=false trainer.limit_train_batches=1, which sees one batch only."
        key, value = "trainer.overfit_batches", str(overfit_batches)
        return [Fault("impossible-together", key, value, allowed, hint)]
