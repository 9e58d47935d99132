from __future__ import annotations

import pytest

from fourbeat.config.suggest import did_you_mean, nearest_key

OPTIONS = ["adam", "adamw", "momentum", "sgd"]
CONFIG = {
    "optim": {"_target_": "torch.optim.Adam", "lr": 0.1, "betas": [0.9, 0.999]},
    "loop": {"gradient_clip_val": None},
    "trainer": {"max_epochs": 20, "max_steps": -1},
    "seed": 42,
}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("adamm", "Did you mean optim=adam or optim=adamw?"),
        ("sdg", "Did you mean optim=sgd?"),
        ("mom", "Did you mean optim=momentum?"),
        ("ADAMW", "Did you mean optim=adamw or optim=adam?"),
        ("lbfgs", "Choose from: adam, adamw, momentum, sgd."),
        ("", "Choose from: adam, adamw, momentum, sgd."),
    ],
    ids=["two_near", "swapped", "beginning", "capitals", "none_near", "empty"],
)
def test_the_nearest_names_are_offered_or_all(name: str, sentence: str) -> None:
    assert did_you_mean(name, OPTIONS, "optim=") == sentence


def test_nothing_is_offered_where_there_is_nothing() -> None:
    assert did_you_mean("adam", []) == ""


def test_a_long_list_need_not_be_shown() -> None:
    assert did_you_mean("lbfgs", OPTIONS, lists_all=False) == ""


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("optim.lrr", "1", "Did you mean optim.lr=1?"),
        ("optim.lrr", "", "Did you mean optim.lr?"),
        ("trainer.gradient_clip_val", "1", "Did you mean loop.gradient_clip_val=1?"),
        ("lr", "1", "Did you mean optim.lr=1?"),
        ("optimizer", "adam", "Did you mean optim=adam?"),
        ("sead", "1", "Did you mean seed=1?"),
        ("optm.lr", "1", "Did you mean optim.lr=1?"),
        ("optm.foo", "1", "Did you mean optim?"),
        ("optim.target", "1", "Choose from: betas, lr."),
        ("trainer.max", "1", "Did you mean trainer.max_epochs=1 or trainer.max_steps=1?"),
    ],
    ids=[
        "beside",
        "deleted",
        "at_home_elsewhere",
        "without_its_group",
        "group",
        "top",
        "group_misspelt",
        "group_and_key_misspelt",
        "hydras_own_keys_are_not_told",
        "beginning",
    ],
)
def test_a_key_is_offered_with_its_value(key: str, value: str, sentence: str) -> None:
    assert nearest_key(key, value, CONFIG) == sentence


def test_the_wrong_key_itself_is_never_offered() -> None:
    wrong = {**CONFIG, "sead": 1}
    assert nearest_key("sead", "1", wrong) == "Did you mean seed=1?"
