"""Which of the measured metrics belong to a state, whatever a module calls them."""

from __future__ import annotations

import pytest

from fourbeat.state.ranking import select_metrics

MEASURED = {"train_loss": 1.0, "val_loss": 2.0, "val_acc": 3.0, "test_loss": 4.0}


@pytest.mark.parametrize(
    ("monitor", "validated", "expected"),
    [
        ("val_loss", True, {"val_loss": 2.0, "val_acc": 3.0}),
        ("val_loss", False, None),
        ("train_loss", False, {"train_loss": 1.0}),
        ("train_loss", True, {"train_loss": 1.0, "val_loss": 2.0, "val_acc": 3.0}),
        ("val/loss", True, None),
    ],
)
def test_names_with_an_underscore_are_of_their_split(
    monitor: str, validated: bool, expected: dict[str, float] | None
) -> None:
    assert select_metrics(MEASURED, monitor, validated=validated) == expected
