"""Contract: Lightning's registry says how each strategy starts its processes."""

from __future__ import annotations

import pytest

from fourbeat.lightning.registered_strategies import registered_names, start_method_of

CHANGED = (
    "fourbeat.lightning.registered_strategies stands on StrategyRegistry[name]['init_params']; "
    "see lightning.pytorch.strategies.ddp, register_strategies."
)


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("ddp", "popen"),
        ("ddp_spawn", "spawn"),
        ("fsdp", None),
        ("no", None),
    ],
)
def test_the_registry_says_how_processes_are_started(name: str, method: str | None) -> None:
    assert start_method_of(name) == method, CHANGED


def test_the_registry_lists_its_names() -> None:
    assert {"ddp", "fsdp", "deepspeed", "single_device"} <= set(registered_names()), CHANGED
