from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from torch import Tensor

from fourbeat.config.signatures import fits, signature_faults

CIRCLES = "project.data.Circles"
MLP = "project.models.MLP"
HERE: dict[str, Any] = {"_target_": MLP, "in_features": 2, "out_features": 1}


def faults_in(leaf: dict[str, Any], key: str = "model", **known: Any) -> list[str]:
    return [str(fault) for fault in signature_faults(key, leaf, **known)]


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
    ("change", "message"),
    [
        ({"droput": 0.1}, "model.droput=0.1: is not an argument of project.models.MLP. Did you "),
        ({"dropout": "abc"}, "model.dropout=abc: must be a number. The default is model.dropout=0"),
        ({"dropout": None}, "model.dropout=null: must be a number."),
        ({"in_features": 2.5}, "model.in_features=2.5: must be a whole number. Leave model.in_fea"),
        ({"hidden_features": [1, "a"]}, "model.hidden_features=[1,a]: must be a list, each a whol"),
        ({"hidden_features": 3}, "model.hidden_features=3: must be a list, each a whole number."),
        ({"activation": "selu"}, "model.activation=selu: must be relu, leaky_relu, gelu, silu or"),
        ({"_target_": CIRCLES}, "model.in_features=2: is not an argument of project.data.Circles"),
    ],
    ids=["unknown", "text", "null", "fraction", "inside_a_list", "no_list", "choice", "target"],
)
def test_a_key_that_does_not_fit_is_a_fault(change: dict[str, Any], message: str) -> None:
    assert faults_in({**HERE, **change})[0].startswith(message)


def test_an_argument_that_is_needed_is_a_fault_unless_the_program_gives_it() -> None:
    leaf = {"_target_": "torch.optim.SGD", "lr": 0.1, "ours": 1}
    assert faults_in(leaf, "optim", own={"ours"}, supplied={"params"}) == []
    assert faults_in(leaf, "optim", own={"ours"}) == [
        "optim.params: is needed by torch.optim.SGD. Add +optim.params=VALUE."
    ]


def test_what_the_program_gives_is_not_offered() -> None:
    leaf = {"_target_": "torch.optim.SGD", "param": 1}
    (message,) = faults_in(leaf, "optim", supplied={"params"})
    assert "params" not in message


def test_a_target_without_arguments_takes_none() -> None:
    leaf = {"_target_": "fourbeat.config.deferred.register", "a": 1}
    assert faults_in(leaf) == [
        "model.a=1: is not an argument of fourbeat.config.deferred.register. "
        "Leave model.a out: it takes no arguments."
    ]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nope.X", "cannot be imported: No module named 'nope'."),
        ("MLP", "is not a dotted path."),
        ("project.models.Mlp", "there is no Mlp in project.models. Did you mean"),
        ("project.models.Zzz", "there is no Zzz in project.models. Give the dotted path"),
        ("torch.pi", "Expected a callable target, got '3.14"),
        ("builtins.eval", "Target 'builtins.eval' is blocklisted"),
        ("os.system", "Target 'os.system' is blocklisted"),
    ],
    ids=["module", "no_dot", "misspelt", "unlike_any", "number", "blocked", "blocked_too"],
)
def test_a_target_that_cannot_be_imported_is_a_fault(target: str, message: str) -> None:
    (line,) = faults_in({"_target_": target})
    assert line.startswith(f"model._target_={target}: {message}")


def test_a_module_that_raises_while_it_is_imported_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_module.py").write_text("raise RuntimeError('half done')")
    monkeypatch.syspath_prepend(tmp_path)
    (line,) = faults_in({"_target_": "broken_module.Net"})
    assert line.startswith("model._target_=broken_module.Net: cannot be imported: half done.")


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
