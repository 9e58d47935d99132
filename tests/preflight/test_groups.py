"""Each group of the config is of use, or a fault."""

from __future__ import annotations

import pytest
from support.project import compose

from fourbeat.base.errors import ConfigError

MODULE = "experiment=lightning_module"


@pytest.mark.one_in(4)
@pytest.mark.parametrize(
    ("override", "key", "hint"),
    [
        ("model=mlp", "model", "Use model=none."),
        ("loss=mse", "loss", "Use loss=none."),
        ("metrics=auto", "metrics", "Use metrics=none."),
        ("optim=sgd", "optim", "Use optim=none."),
        ("optim=gan", "optim.d", "Use optim=none."),
        ("scheduler=cosine", "scheduler", "Use scheduler=none."),
        ("freeze=[net.*]", "freeze", "Freeze them in the class, and drop the key."),
        ("loop=four_beat", "loop.name", "Use loop=automatic."),
        ("loop.compile=true", "loop.compile", "Call torch.compile in its class."),
    ],
    ids=lambda value: value if "=" in value and " " not in value else "",
)
def test_a_lightning_module_uses_no_group_of_a_tasks(override: str, key: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(MODULE, override)
    faults = [fault for fault in caught.value.faults if fault.key == key]
    assert [fault.hint for fault in faults] == [hint]
    assert {fault.code for fault in caught.value.faults} <= {
        "without-effect",
        "impossible-together",
    }


@pytest.mark.parametrize("group", ["model", "optim", "scheduler"])
def test_a_task_needs_its_groups(group: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(f"{group}=none")
    assert [(f.code, f.key) for f in caught.value.faults] == [("missing", group)]


def test_only_a_lightning_module_has_loaders_of_its_own() -> None:
    with pytest.raises(ConfigError, match=r"data\._target_=.*is a Task"):
        compose(
            "data=module", "task=digits", "model.in_features=2", "model.out_features=2", "loss=mse"
        )


def test_a_lightning_module_beside_the_groups_of_a_task_is_one_fault() -> None:
    with pytest.raises(ConfigError) as caught:
        compose("task=lit_digits", "data._target_=fourbeat.data.ModuleLoaders")
    (fault,) = caught.value.faults
    assert (fault.code, fault.key) == ("impossible-together", "task._target_")
    assert fault.hint == "Add experiment=lightning_module."
