"""How a whole batch of samples, or a whole execution of batches, is fetched at once."""

from __future__ import annotations

import signal
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fourbeat.base.generators import generator_states, generators_seeded, same_states
from fourbeat.base.shapes import Int64, Shaped
from fourbeat.data.executions import Chosen, Execution, gather
from fourbeat.data.order import EpochOrder


@runtime_checkable
class Gatherable(Protocol):
    """A data set that gathers the samples of a whole batch in one go."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Int64[Tensor, " batch"], /) -> tuple[Tensor, Tensor]: ...


class TensorBatches(Dataset[tuple[Tensor, Tensor]]):
    """Inputs and targets in memory, from which a batch is gathered by one operation per tensor.

    The usual way (sample by sample, then stacked) costs 170 to 400 us more per batch of 32.

    Args:
        inputs: All inputs.
        targets: All targets, in the same order.
    """

    def __init__(
        self,
        inputs: Shaped[Tensor, "samples ..."],
        targets: Shaped[Tensor, "samples ..."],
    ) -> None:
        self.inputs = inputs
        self.targets = targets

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.inputs)

    @property
    def is_on_device(self) -> bool:
        """Whether the samples are on a GPU, so that a batch needs no copy from the host."""
        return self.inputs.device.type != "cpu"

    def __getitem__(
        self, indices: Int64[Tensor, " batch"]
    ) -> tuple[Shaped[Tensor, "batch ..."], Shaped[Tensor, "batch ..."]]:
        return gather(self.inputs, self.targets, indices)


class ExecutionBatches(Dataset[Any]):
    """Gathers what a sampler chose: a batch, or the batches of an execution.

    Args:
        samples: Where from.
        leaves_gathering: Leave it to the execution, where the samples lie in memory: only within
            the process that trains.
    """

    def __init__(self, samples: Gatherable, *, leaves_gathering: bool = False) -> None:
        self.samples = samples
        self.leaves_gathering = leaves_gathering

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.samples)

    def __getitem__(self, chosen: Tensor | Chosen) -> tuple[Tensor, Tensor] | Execution:
        if isinstance(chosen, Tensor):
            return self.samples[chosen]
        samples, about = self.samples, (chosen.sizes, chosen.batch_idx)
        if chosen.is_execution and self.leaves_gathering and isinstance(samples, TensorBatches):
            return Execution(samples.inputs, samples.targets, *about, chosen.indices)
        inputs, targets = self._gathered(chosen)
        return Execution(inputs, targets, *about) if chosen.is_execution else (inputs, targets)

    def _gathered(self, chosen: Chosen) -> tuple[Tensor, Tensor]:
        """With seeds, one by one: what is drawn must not depend on the execution."""
        if not chosen.seeds:
            return self.samples[chosen.indices]
        gathered = []
        batches = torch.split(chosen.indices, list(chosen.sizes))
        for seed, indices in zip(chosen.seeds, batches, strict=True):
            with generators_seeded(seed):
                gathered.append(self.samples[indices])
        inputs, targets = zip(*gathered, strict=True)
        return torch.cat(inputs), torch.cat(targets)


def draws_numbers(samples: Gatherable) -> bool:
    """Return whether gathering a batch draws random numbers, as augmentations do: tries it."""
    if isinstance(samples, TensorBatches) or not len(samples):
        return False
    with generators_seeded():
        before = generator_states()
        samples[torch.arange(min(2, len(samples)))]
        return not same_states(before, generator_states())


def batch_loader(
    samples: Gatherable, order: EpochOrder, *, num_workers: int = 0, pin_memory: bool = False
) -> DataLoader[Any]:
    """Build the loader that fetches whole batches in the given order.

    Args:
        samples: The samples of the split.
        order: Which samples make up which batch; Lightning finds it as ``loader.sampler``.
        num_workers: Loading processes; 0 loads in this one, which is fastest for data in memory.
        pin_memory: Copy batches to page-locked memory for faster transfer; done only where there is
            a device that can use it.

    Returns:
        A loader of ``(inputs, targets)`` batches, or of :class:`Execution` if the order has a plan.
    """
    return DataLoader(
        ExecutionBatches(samples, leaves_gathering=num_workers == 0),
        sampler=order,
        batch_size=None,
        num_workers=num_workers,
        pin_memory=pin_memory and _can_pin_memory(),
        collate_fn=_as_it_is,
        persistent_workers=num_workers > 0,
        worker_init_fn=_ignore_interrupts,
        # Without it, each epoch takes the workers' base seed from the global random state.
        generator=torch.Generator().manual_seed(order.seed),
    )


def count_loaded_batches(loader: DataLoader[Any]) -> int:
    """Count the mini-batches of an epoch, which a loader may yield in executions."""
    order = loader.sampler
    return order.num_batches if isinstance(order, EpochOrder) else len(loader)


def _as_it_is(batch: Any) -> Any:
    """Torch's default would search every element of it for numpy arrays."""
    return batch


def _ignore_interrupts(worker_id: int) -> None:
    """A terminal sends Ctrl-C to all processes; only the one that trains knows when to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _can_pin_memory() -> bool:
    device = torch.accelerator.current_accelerator(check_available=True)
    return device is not None and device.type != "mps"
