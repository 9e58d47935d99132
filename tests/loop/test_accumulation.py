import pytest
import torch

from fourbeat.loop.accumulation import AccumulationGroup


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
    ],
)
def test_a_micro_batch_knows_its_group(
    batch_idx: int, num_batches: int, full_size: int, expected: tuple
) -> None:
    group = AccumulationGroup.of(batch_idx, num_batches, full_size)
    found = (group.position, group.size, group.is_first, group.is_last, group.ends_epoch)
    assert found == expected


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_the_mean_divides_by_the_real_size(size: int) -> None:
    group = AccumulationGroup(batch_idx=9, position=0, size=size, full_size=7, ends_epoch=True)
    loss = torch.tensor(3.14159)
    torch.testing.assert_close(group.divide(group.compensate(loss)), loss / size, rtol=1e-6, atol=0)


def test_a_full_group_is_divided_once() -> None:
    loss = torch.tensor(3.14159)
    assert torch.equal(AccumulationGroup(0, 0, 3, 3, ends_epoch=False).divide(loss), loss / 3)
