from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from torch import Tensor

from fourbeat.config.schema import OptimConfig
from fourbeat.config.signatures import fits, leaf_faults, signature_faults

CIRCLES = "project.data.Circles"
MLP = "project.models.MLP"
HERE: dict[str, Any] = {"_target_": MLP, "in_features": 2, "out_features": 1}


def faults_in(leaf: dict[str, Any], key: str = "model", **known: Any) -> list[str]:
    """The code, the key and the value of each fault."""
    found = signature_faults(key, leaf, **known)
    return [f"{fault.code} {fault.key}={fault.value}" for fault in found]


@pytest.mark.parametrize(
    "leaf",
    [
        HERE,
        {**HERE, "hidden_features": [4, 4], "dropout": 0.5, "activation": "tanh"},
        {**HERE, "in_features": "${from_data:num_features}", "_partial_": True},
        {"_target_": "${from_data:loss}", "anything": 1},
        {"_target_": CIRCLES, "batch_size": 4, "noise": 0.2},
        {"_target_": "builtins.zip", "a": 1},
        {"_target_": "torch.nn.Sequential"},
    ],
    ids=["plain", "options", "deferred", "deferred_target", "spelled", "no_signature", "varargs"],
)
def test_a_leaf_that_fits_its_target_has_no_fault(leaf: dict[str, Any]) -> None:
    assert faults_in(leaf) == []


@pytest.mark.parametrize(
    ("change", "fault", "allowed", "hint"),
    [
        ({"droput": 0.1}, "unknown-argument model.droput=0.1", "of project.models.MLP", "dropout"),
        ({"dropout": "abc"}, "wrong-type model.dropout=abc", "a number", "model.dropout=0.0"),
        ({"dropout": None}, "wrong-type model.dropout=null", "a number", "model.dropout=0.0"),
        ({"in_features": 2.5}, "wrong-type model.in_features=2.5", "a whole number", "Leave"),
        (
            {"hidden_features": [1, "a"]},
            "wrong-type model.hidden_features=[1,a]",
            "each a whole number",
            "[128]",
        ),
        ({"hidden_features": 3}, "wrong-type model.hidden_features=3", "a list", "[128]"),
        ({"activation": "selu"}, "not-a-choice model.activation=selu", "gelu, silu or", "relu"),
        ({"_target_": CIRCLES}, "unknown-argument model.in_features=2", "Circles", ""),
    ],
    ids=["unknown", "text", "null", "fraction", "inside_a_list", "no_list", "choice", "target"],
)
def test_a_key_that_does_not_fit_is_a_fault(
    change: dict[str, Any], fault: str, allowed: str, hint: str
) -> None:
    first = signature_faults("model", {**HERE, **change})[0]
    assert faults_in({**HERE, **change})[0] == fault
    assert allowed in first.allowed
    assert hint in first.hint


def test_an_argument_that_is_needed_is_a_fault_unless_the_program_gives_it() -> None:
    leaf = {"_target_": "torch.optim.SGD", "lr": 0.1, "ours": 1}
    assert faults_in(leaf, "optim", own={"ours"}, supplied={"params"}) == []
    assert faults_in(leaf, "optim", own={"ours"}) == ["missing optim.params="]


def test_what_the_program_gives_is_not_offered() -> None:
    leaf = {"_target_": "torch.optim.SGD", "param": 1}
    (fault,) = signature_faults("optim", leaf, supplied={"params"})
    assert "params" not in fault.hint


def test_a_target_without_arguments_takes_none() -> None:
    leaf = {"_target_": "fourbeat.config.deferred.register", "a": 1}
    (fault,) = signature_faults("model", leaf)
    assert (fault.code, fault.key) == ("unknown-argument", "model.a")
    assert "takes no arguments" in fault.hint


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("nope.X", "cannot be imported: No module named 'nope'"),
        ("MLP", "is not a dotted path"),
        ("project.models.Mlp", "there is no Mlp in project.models"),
        ("project.models.Zzz", "there is no Zzz in project.models"),
        ("torch.pi", "Expected a callable target, got '3.14"),
        ("builtins.eval", "Target 'builtins.eval' is blocklisted"),
        ("os.system", "Target 'os.system' is blocklisted"),
    ],
    ids=["module", "no_dot", "misspelt", "unlike_any", "number", "blocked", "blocked_too"],
)
def test_a_target_that_cannot_be_imported_is_a_fault(target: str, reason: str) -> None:
    (fault,) = signature_faults("model", {"_target_": target})
    assert (fault.code, fault.key, fault.value) == ("not-importable", "model._target_", target)
    assert fault.allowed.startswith(reason)


def test_a_module_that_raises_while_it_is_imported_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_module.py").write_text("raise RuntimeError('half done')")
    monkeypatch.syspath_prepend(tmp_path)
    (fault,) = signature_faults("model", {"_target_": "broken_module.Net"})
    assert (fault.code, fault.value) == ("not-importable", "broken_module.Net")
    assert fault.allowed == "cannot be imported: half done"


@pytest.mark.parametrize(
    ("value", "hint", "answer"),
    [
        (1, int, True),
        (1, float, True),
        (1.0, int, False),
        (True, int, False),
        ([1, 2], tuple[int, int], True),
        ([1, 2], Sequence[int], True),
        ("ab", Sequence[int], False),
        ("a", Literal["a"], True),
        (1.0, float | Tensor, True),
        ("x", float | Tensor, False),
        ("folder", str | Path, True),
        ({"_target_": "x"}, int, True),
        ("${from_data:num_features}", int, True),
    ],
    ids=str,
)
def test_a_value_fits_a_hint_or_not(value: Any, hint: Any, answer: bool) -> None:
    assert fits(value, hint) is answer


def test_several_arguments_of_another_target_are_one_fault() -> None:
    leaf = {"_target_": "torch.optim.RMSprop", "lr": 0.1, "betas": [0.9, 0.99], "amsgrad": False}
    (fault,) = leaf_faults("optim", OptimConfig.model_validate(leaf))
    assert (fault.code, fault.key) == ("unknown-argument", "optim._target_")
    assert "betas, amsgrad" in fault.allowed
    assert "Write conf/optim/NAME.yaml" in fault.hint


def test_a_name_that_is_near_another_is_a_fault_of_its_own() -> None:
    leaf = {"_target_": "torch.optim.RMSprop", "lrr": 0.1, "betas": [0.9, 0.99]}
    faults = leaf_faults("optim", OptimConfig.model_validate(leaf))
    assert {fault.key for fault in faults} == {"optim.lrr", "optim.betas"}
