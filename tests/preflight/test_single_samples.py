"""Batches and splits of one sample, found before anything is trained."""

import pytest
from support.project import compose
from support.settings import CIRCLES
from torch import Tensor, nn

from fourbeat.base.errors import ConfigError


class Normed(nn.Module):
    def __init__(self, in_features: int = 2, out_features: int = 1) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(in_features)
        self.head = nn.Linear(in_features, out_features)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.norm(inputs))


def refused(*overrides: str) -> tuple[str, str, str]:
    with pytest.raises(ConfigError) as raised:
        compose(*overrides)
    (fault,) = raised.value.faults
    return fault.code, fault.key, fault.hint


@pytest.mark.one_in(2)
@pytest.mark.parametrize("size", [13, 1])
def test_a_batch_norm_cannot_train_on_one_sample(size: int) -> None:
    code, key, hint = refused(*normed(), f"data.batch_size={size}")
    assert (code, key) == ("too-few-samples", "data.batch_size")
    assert size == 1 or "data.drop_last=true" in hint


def normed() -> list[str]:
    dropped = [f"~model.{name}" for name in compose(*CIRCLES).model.leaf() if name not in KEPT]
    return [*SIZES, f"model._target_={Normed.__module__}.Normed", *dropped]


# 92 samples for training: of 13, the last batch has 1.
SIZES = (*CIRCLES, "data.num_samples=132")
KEPT = ("_target_", "in_features", "out_features")


@pytest.mark.one_in(5)
@pytest.mark.parametrize(
    "override",
    [
        "data.drop_last=true",
        "trainer.limit_train_batches=7",
        "trainer.max_steps=7",
        "freeze=[norm]",
        "data.batch_size=12",
    ],
)
def test_where_no_such_batch_comes_all_is_well(override: str) -> None:
    size = [] if "batch_size" in override else ["data.batch_size=13"]
    compose(*normed(), *size, override)


def test_other_networks_train_on_one_sample() -> None:
    compose(*SIZES, "data.batch_size=13")


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["data.val_fraction=0.003"], "data.val_fraction"),
        (["data.test_fraction=0.003"], "data.test_fraction"),
        (["data.batch_size=1", "trainer.limit_val_batches=1"], "trainer.limit_val_batches"),
        (["data.batch_size=1", "trainer.num_sanity_val_steps=1"], "trainer.num_sanity_val_steps"),
    ],
    ids=["val", "test", "limit", "sanity"],
)
def test_there_is_no_r2_of_one_sample(overrides: list[str], key: str) -> None:
    code, found, _ = refused("data=diabetes", *overrides)
    assert (code, found) == ("too-few-samples", key)


@pytest.mark.slow
def test_one_sample_has_other_metrics() -> None:
    compose("data=diabetes", "data.val_fraction=0.003", "metrics=none")
    compose("data=diabetes", "data.test_fraction=0.003", "test=false")
