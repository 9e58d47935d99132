import math

import pytest
import torch

from fourbeat.modules.accumulation import AccumulationGroup


@pytest.mark.parametrize(
    ("batch_idx", "num_batches", "full_size", "expected"),
    [
        pytest.param(0, 7, 1, (0, 1, True, True, False), id="no accumulation"),
        pytest.param(0, 7, 3, (0, 3, True, False, False), id="first of a full group"),
        pytest.param(5, 7, 3, (2, 3, False, True, False), id="last of a full group"),
        pytest.param(6, 7, 3, (0, 1, True, True, True), id="a short group of one"),
        pytest.param(6, 8, 3, (0, 2, True, False, False), id="first of a short group"),
        pytest.param(7, 8, 3, (1, 2, False, True, True), id="last of a short group"),
        pytest.param(0, 2, 5, (0, 2, True, False, False), id="an epoch shorter than a group"),
        pytest.param(4, math.inf, 3, (1, 3, False, False, False), id="no length"),
    ],
)
def test_a_micro_batch_knows_its_group(
    batch_idx: int, num_batches: float, full_size: int, expected: tuple
) -> None:
    group = AccumulationGroup.of(batch_idx, num_batches, full_size)
    found = (group.position, group.size, group.is_first, group.is_last, group.ends_epoch)
    assert found == expected


def test_a_loader_without_length_steps_at_its_end() -> None:
    assert AccumulationGroup.of(4, math.inf, 3, ends_epoch=True).is_last


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_the_mean_divides_by_the_real_size(size: int) -> None:
    group = AccumulationGroup(position=0, size=size, full_size=7)
    loss = torch.tensor(3.14159)
    torch.testing.assert_close(group.mean(loss), loss / size, rtol=1e-6, atol=0)


def test_a_full_group_is_divided_once() -> None:
    loss = torch.tensor(3.14159)
    assert torch.equal(AccumulationGroup(0, 3, 3).mean(loss), loss / 3)
