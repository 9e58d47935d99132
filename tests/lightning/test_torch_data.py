"""What is said to worker processes."""

from __future__ import annotations

from typing import Any

from support.contracts import contract
from torch.utils.data import DataLoader, get_worker_info

from fourbeat.lightning.torch_data import show_dataset


class Asks(list[int]):
    def __getitem__(self, index: Any) -> Any:
        info = get_worker_info()
        assert info is not None
        return info.dataset, len(self)


def start(worker_id: int) -> None:
    show_dataset("another")


@contract("torch", "an attribute of a WorkerInfo is its own", see="get_worker_info")
def test_worker_processes_are_shown_a_data_set_and_fetch_from_theirs() -> None:
    loader = DataLoader(Asks([1, 2]), batch_size=None, num_workers=1, worker_init_fn=start)
    assert [*loader] == [["another", 2]] * 2
