"""Earlier states, from which a run is replayed."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from fourbeat.state.snapshots import Snapshots, find_snapshots, least_missed, remove_later_snapshots


def kept_after(folder: Path, num_kept: int, steps: range) -> list[int]:
    keeper = Snapshots(folder, num_kept)
    for step in steps:
        keeper.keep(step, {"step": step})
    return sorted(find_snapshots(folder))


def test_no_more_than_asked_for_are_kept_and_the_newest_always(tmp_path: Path) -> None:
    kept = kept_after(tmp_path, 8, range(10, 1001, 10))
    assert len(kept) == 8
    assert kept[-2:] == [990, 1000]


def test_they_are_denser_near_the_end(tmp_path: Path) -> None:
    kept = [0, *kept_after(tmp_path, 8, range(10, 1001, 10))]
    gaps = [after - before for before, after in itertools.pairwise(kept)]
    assert gaps[0] > gaps[-1]
    # From any step, the snapshot before it is at most as far as the end of the run.
    assert all(gap <= 1000 - before for before, gap in zip(kept, gaps, strict=False))


def test_none_are_kept_if_none_are_wanted(tmp_path: Path) -> None:
    assert kept_after(tmp_path / "snapshots", 0, range(3)) == []
    assert not (tmp_path / "snapshots").exists()


def test_a_file_becomes_a_snapshot_without_being_copied(tmp_path: Path) -> None:
    last = tmp_path / "last.ckpt"
    last.write_bytes(b"state")
    Snapshots(tmp_path / "snapshots", 2).keep(7, last)
    assert (tmp_path / "snapshots" / "step=7.ckpt").samefile(last)


def test_snapshots_after_the_resumed_state_are_removed(tmp_path: Path) -> None:
    kept_after(tmp_path, 9, range(1, 6))
    remove_later_snapshots(tmp_path, 3)
    assert sorted(find_snapshots(tmp_path)) == [1, 2, 3]


@pytest.mark.parametrize(
    ("steps", "removed"),
    [([1, 2], 1), ([10, 11, 100], 10), ([50, 90, 95, 100], 50), ([60, 90, 95, 100], 90)],
    ids=str,
)
def test_the_one_that_leaves_the_smallest_gap_is_removed(steps: list[int], removed: int) -> None:
    assert least_missed(steps) == removed
