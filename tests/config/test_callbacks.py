"""The group callbacks composes: files of ours, files of the user's, leaves, some switched off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback
from support.project import build, compose, resume, train

from fourbeat.config.schema import STANDARD_CALLBACKS
from fourbeat.config.stored import in_current_form

SMALL = ("data=circles", "model=circles", "trainer=cpu", "trainer.max_epochs=1", "logger=none")
ALL = set(STANDARD_CALLBACKS.model_dump())


class Ema(Callback):
    """A callback of the user's."""

    def __init__(self, decay: float = 0.9) -> None:
        self.decay = decay


TARGET = f"{Ema.__module__}.{Ema.__qualname__}"


@pytest.fixture
def search(tmp_path: Path) -> str:
    """Where a user's conf/callbacks/my_ema.yaml lies."""
    folder = tmp_path / "conf" / "callbacks"
    folder.mkdir(parents=True)
    (folder / "my_ema.yaml").write_text(f"my_ema: {{_target_: {TARGET}, decay: 0.99}}\n")
    return f"hydra.searchpath=['file://{tmp_path / 'conf'}']"


def switched_on(*words: str) -> set[str]:
    values: dict[str, Any] = compose(*SMALL, *words).callbacks.model_dump()
    return {name for name, value in values.items() if value not in (None, False, "none")}


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["callbacks=[default,my_ema]"], ALL | {"my_ema"}),
        (["callbacks=[default]"], ALL),
        (["callbacks=default"], ALL),
        (["callbacks=none"], set()),
        (["callbacks=[model_checkpoint,my_ema]"], {"model_checkpoint", "my_ema"}),
        (["callbacks=my_ema"], {"my_ema"}),
        (["callbacks=no_early_stopping"], ALL - {"early_stopping"}),
        (["callbacks=[no_early_stopping,my_ema]"], (ALL | {"my_ema"}) - {"early_stopping"}),
        (["~callbacks.early_stopping"], ALL - {"early_stopping"}),
        (["callbacks.early_stopping=null"], ALL - {"early_stopping"}),
        (["callbacks=[default,my_ema]", "callbacks.my_ema=null"], ALL),
        (["callbacks=[default,my_ema]", "experiment=circles", "debug=limit"], ALL | {"my_ema"}),
        ([f"+callbacks.mine._target_={TARGET}"], ALL | {"mine"}),
        ([f"+callbacks.extra.mine._target_={TARGET}"], ALL | {"mine"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_group_composes(search: str, words: list[str], expected: set[str]) -> None:
    assert switched_on(search, *words) == expected


def test_a_callback_of_the_users_is_built_with_its_values(search: str, tmp_path: Path) -> None:
    words = ("callbacks=[default,my_ema]", "callbacks.my_ema.decay=0.5")
    callbacks = build(compose(search, *SMALL, *words), tmp_path / "run").callbacks
    assert [c.decay for c in callbacks if isinstance(c, Ema)] == [0.5]


@pytest.mark.slow
def test_a_run_without_any_callback_trains(tmp_path: Path) -> None:
    run = train(compose(*SMALL, "callbacks=none"), tmp_path / "run")
    assert run.manifest.num_epochs == 1
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.slow
def test_callbacks_that_an_earlier_version_stored_keep_their_place(tmp_path: Path) -> None:
    words = ("callbacks=[model_checkpoint,recorder]", f"+callbacks.mine._target_={TARGET}")
    run = train(compose(*SMALL, *words, "test=false"), tmp_path)
    path = tmp_path / "manifest.json"
    manifest = json.loads(path.read_text())
    stored = manifest["config"]["callbacks"]
    # As it was: more callbacks under extra, and what is not named is the default.
    former = {"model_checkpoint": stored["model_checkpoint"], "progress": "none"}
    manifest["config"]["callbacks"] = {**former, "extra": {"mine": stored["mine"]}}
    path.write_text(json.dumps(manifest))
    again = resume(tmp_path, ["trainer.max_epochs=2"]).config["callbacks"]
    assert again["mine"] == {"_target_": TARGET}
    assert "extra" not in again
    assert again["recorder"] == {"layers_every_n_steps": 100}
    assert again["early_stopping"] is not None
    assert run.config["callbacks"]["early_stopping"] is None


@pytest.mark.parametrize("callbacks", [None, {}, {"extra": {"_target_": "a.b"}}, {"mine": 1}])
def test_a_config_of_today_stays_as_it_is(callbacks: Any) -> None:
    assert in_current_form({"callbacks": callbacks}) == {"callbacks": callbacks}
