"""What the config says of single parameters is compared with the network before it is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.finished_runs import FinishedRuns
from support.project import compose
from torch import nn

from fourbeat.base.errors import ConfigError
from fourbeat.config.schema import TrainConfig
from fourbeat.preflight.parameters import parameter_faults
from project.models import MLP

BASE = ("data=circles", "model=mlp", "model.hidden_features=[8]")


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("overrides", "code", "key"),
    [
        (["freeze=[layer.*]"], "unmatched-pattern", "freeze"),
        (["freeze=*"], "not-trained", "model"),
        (
            ["optim.groups=[{params:head.*}]"],
            "unmatched-pattern",
            "optim.groups.0.params",
        ),
        (["+optim.params=layers.0.*"], "not-trained", "optim"),
        (["init_from=absent.ckpt"], "no-such-file", "init_from"),
        (["init_from=."], "no-such-file", "init_from"),
    ],
    ids=["freeze", "all", "groups", "unowned", "absent", "folder"],
)
def test_what_does_not_fit_the_network_is_a_fault_of_the_check(
    overrides: list[str], code: str, key: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        compose(*BASE, *overrides)
    assert [(fault.code, fault.key) for fault in raised.value.faults] == [(code, key)]


def test_what_is_frozen_may_be_left_to_no_optimizer() -> None:
    assert compose(*BASE, "+optim.params=layers.0.*", "freeze=[layers.2]").freeze == ["layers.2"]


def test_a_file_that_does_not_fit_or_needs_code_is_a_fault(tmp_path: Path) -> None:
    cfg = compose(*BASE)
    for content, code in (
        (nn.Linear(3, 3).state_dict(), "wrong-weights"),
        (nn.Linear(3, 3), "not-readable"),
        (MLP(2, 5, hidden_features=[8]).state_dict(), None),
    ):
        torch.save(content, tmp_path / "file.pt")
        changed = cfg.model_copy(update={"init_from": str(tmp_path / "file.pt")})
        assert [fault.code for fault in parameter_faults(changed)] == [code] * (code is not None)


def test_a_run_in_the_place_of_a_file_names_the_file(
    finished: FinishedRuns,
) -> None:
    run = finished()
    for value in (str(run.dir), "last"):
        changes = [*BASE, f"init_from={value}", f"paths.output_dir={run.dir.parent}"]
        with pytest.raises(ConfigError) as raised:
            compose(*changes)
        (fault,) = raised.value.faults
        assert (fault.code, fault.key, fault.value) == ("no-such-file", "init_from", value)
        assert f"init_from={run.dir.parent}" in fault.hint
        assert fault.hint.endswith("best.ckpt.")


def test_several_optimizers_are_compared_with_the_network() -> None:
    plain = compose(*BASE).plain()
    leaf = {**plain["optim"], "params": "layers.0.*"}
    plain["optim"] = {"d": leaf, "g": {**leaf, "params": "layers.1.*"}}
    (fault,) = parameter_faults(TrainConfig.model_validate(plain))
    assert (fault.code, fault.key) == ("unmatched-pattern", "optim.g.params")


class Drawing(nn.Module):
    """Cannot be built without numbers, and draws some."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.scale = float(torch.rand(1))


def test_a_network_that_needs_numbers_is_built_with_them_and_draws_none_of_the_runs() -> None:
    target = f"{Drawing.__module__}.{Drawing.__qualname__}"
    cfg = compose(*BASE)
    model = cfg.model.model_validate({"_target_": target})
    before = torch.get_rng_state()
    (fault,) = parameter_faults(cfg.model_copy(update={"model": model, "freeze": ["scale"]}))
    assert fault.code == "unmatched-pattern"
    assert torch.equal(torch.get_rng_state(), before)
