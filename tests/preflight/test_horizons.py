from __future__ import annotations

from pathlib import Path

import pytest
from support.project import build, compose

from fourbeat.base.errors import ConfigError
from fourbeat.config.leaves import instantiate
from fourbeat.optim.scheduler import Horizon
from fourbeat.preflight.horizons import plan_horizon


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("overrides", "horizon"),
    [
        ([], Horizon(20 * 40, 20)),  # 1257 samples, 32 at a time
        (["data.drop_last=true"], Horizon(20 * 39, 20)),
        (["loop.accumulate_grad_batches=3"], Horizon(20 * 14, 20)),
        (["trainer.limit_train_batches=7"], Horizon(20 * 7, 20)),
        (["trainer.limit_train_batches=0.25"], Horizon(20 * 10, 20)),
        (["trainer.max_steps=100"], Horizon(100, 3)),
        (["trainer=ddp_cpu"], Horizon(20 * 20, 20)),
        (["data=mnist"], Horizon(20 * 1688, 20)),  # 54000 samples, not loaded
    ],
    ids=lambda value: value[0] if isinstance(value, list) and value else "",
)
def test_the_horizon_is_known_before_the_data(overrides: list[str], horizon: Horizon) -> None:
    cfg = compose(*overrides)
    assert plan_horizon(cfg, instantiate(cfg.data.leaf())) == horizon


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    "overrides",
    [
        ["loop.accumulate_grad_batches=3", "data.drop_last=true"],
        ["trainer.limit_train_batches=0.33"],
        ["trainer.max_steps=11", "data=diabetes"],
    ],
    ids=" ".join,
)
def test_it_is_the_horizon_that_the_module_counts_from_the_loader(
    overrides: list[str], tmp_path: Path
) -> None:
    cfg = compose("trainer=cpu", "logger=none", "callbacks.progress=none", *overrides)
    components = build(cfg, tmp_path)
    components.datamodule.setup("fit")
    components.module.trainer = components.trainer
    components.trainer.datamodule = components.datamodule  # type: ignore[attr-defined]
    assert plan_horizon(cfg, components.datamodule) == components.loop.horizon()


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("override", "batches"),
    [
        ("trainer.limit_train_batches=0.02", 40),
        ("trainer.limit_val_batches=0.1", 9),
        ("trainer.limit_test_batches=0.1", 9),
    ],
    ids=["train", "val", "test"],
)
def test_a_fraction_below_one_batch_is_a_fault(override: str, batches: int) -> None:
    with pytest.raises(ConfigError) as raised:
        compose(override)
    (fault,) = raised.value.faults
    assert (fault.code, f"{fault.key}={fault.value}") == ("no-batches", override)
    assert f"none of the {batches} batches" in fault.allowed


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    "overrides",
    [
        ["trainer.limit_train_batches=0.025"],
        ["trainer.limit_val_batches=0.12", "trainer.limit_test_batches=1"],
        ["trainer.limit_test_batches=0"],
        ["data.test_fraction=0", "trainer.limit_test_batches=0.001"],
    ],
    ids=["just_one", "one_each", "none_on_purpose", "nothing_to_limit"],
)
def test_a_limit_that_leaves_a_batch_or_none_on_purpose_is_no_fault(overrides: list[str]) -> None:
    assert compose(*overrides)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "key", "fact"),
    [
        (["data.batch_size=700", "data.drop_last=true"], "data.batch_size", "must be 628 or less"),
        (
            ["data=diabetes", "data.val_fraction=0.003", "metrics=none"],
            "data.val_fraction",
            "a split of 1 samples",
        ),
    ],
    ids=["batch", "split"],
)
def test_a_split_that_is_too_small_for_its_processes_is_a_fault(
    overrides: list[str], key: str, fact: str
) -> None:
    assert compose(*overrides)  # enough for one
    with pytest.raises(ConfigError) as raised:
        compose("trainer=ddp_cpu", *overrides)
    (fault,) = raised.value.faults
    assert (fault.code, fault.key) == ("too-few-samples", key)
    assert fact in fault.allowed
    assert "2 processes" in fault.allowed
