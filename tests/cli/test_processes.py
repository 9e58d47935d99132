"""What only a process of its own can show: exit codes, signals, what has been imported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.errors import InstantiationException

Command = Callable[..., Any]

TRAIN = Path(__file__).parents[2] / "scripts" / "train.py"

MY_CODE = """
import lightning.pytorch
import torch


class Net(torch.nn.Module):

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(784, 10)

    def forward(self, x):
        if x.count_nonzero():
            raise ZeroDivisionError("the net has met real data")
        return self.linear(x.flatten(1))


class Callback(lightning.pytorch.Callback):
    def __init__(self):
        raise ZeroDivisionError("the callback cannot be built")
"""


def outcomes(place: Path) -> list[str]:
    manifests = place.rglob("manifest.json")
    return [json.loads(path.read_text())["outcome"]["status"] for path in manifests]


def test_a_wrong_override_ends_with_code_2_and_one_message(process: Command, place: Path) -> None:
    done = process("train.py", "optim.lr=-1", "trainer.max_epochs=0")
    assert done.code == 2
    assert done.out == ""
    assert done.err.splitlines() == [
        "fourbeat: 2 faults in the config; nothing was run.",
        "  trainer.max_epochs=0: must be -1 or a whole number above 0. "
        "The default is trainer.max_epochs=20.",
        "  optim.lr=-1: must be a number above 0. Try optim.lr=0.001.",
    ]
    assert not list(place.iterdir())


@pytest.mark.slow
def test_a_leaf_is_refused_without_the_shape_checks_of_the_tests_too(
    process: Command, place: Path
) -> None:
    done = process("train.py", "model.dropout=2", "data=mnist", "data.download=false")
    assert done.code == 2
    assert [line.split(": ")[0] for line in done.err.splitlines()] == [
        "fourbeat",
        "  data.data_dir=data",
        "  model.dropout=2",
    ]
    assert not list(place.iterdir())


@pytest.mark.slow
def test_hydra_full_error_shows_the_traceback(process: Command, place: Path) -> None:
    done = process("train.py", "optim.lr=-1", HYDRA_FULL_ERROR="1")
    assert done.code == 2
    assert "Traceback (most recent call last)" in done.err
    assert done.err.endswith(
        "fourbeat: 1 fault in the config; nothing was run.\n"
        "  optim.lr=-1: must be a number above 0. Try optim.lr=0.001.\n"
    )
    assert not list(place.iterdir())


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    "words",
    [["optim.lr=-1"], ["optim=foo", "+x.y=1"], ["-m", "optim=sgd,foo"], ["--help"], ["--cfg=job"]],
    ids=" ".join,
)
def test_torch_is_not_imported_before_our_own_keys_are_good(words: list[str], place: Path) -> None:
    assert_not_imported(TORCH, words, place)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("words", [["--help"], ["--cfg=job"]], ids=" ".join)
def test_what_only_prints_does_without_the_schema(words: list[str], place: Path) -> None:
    assert_not_imported((*TORCH, "pydantic"), words, place)


def assert_not_imported(unwanted: tuple[str, ...], words: list[str], place: Path) -> None:
    code = f"""
import runpy, sys
sys.argv = [{str(TRAIN)!r}, *{words!r}]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print({set(unwanted)!r} & sys.modules.keys())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1] == "set()", done.stderr


TORCH = ("torch", "lightning", "sklearn")


OTHER_KEYS = ["in_features", "out_features", "hidden_features", "activation", "dropout", "norm"]


RAISING = ["logger=none", "model._target_=my_code.Net", *(f"~model.{key}" for key in OTHER_KEYS)]


@pytest.mark.slow
def test_what_a_model_raises_on_real_data_is_left_to_python(
    script: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "my_code.py").write_text(MY_CODE)
    monkeypatch.syspath_prepend(place)
    monkeypatch.delitem(sys.modules, "my_code", raising=False)
    with pytest.raises(ZeroDivisionError, match="the net has met real data") as raised:
        script("train.py", *RAISING)
    assert raised.traceback[-1].path == place / "my_code.py"
    assert outcomes(place) == ["failed"]


@pytest.mark.slow
def test_a_model_that_raises_on_real_data_shows_its_traceback(
    process: Command, place: Path
) -> None:
    (place / "my_code.py").write_text(MY_CODE)
    done = process("train.py", *RAISING, PYTHONPATH=str(place))
    assert done.code == 1
    assert "Traceback (most recent call last)" in done.err
    assert "my_code.py" in done.err
    assert "ZeroDivisionError: the net has met real data" in done.err
    assert outcomes(place) == ["failed"]


def test_a_callback_that_cannot_be_built_shows_its_traceback(
    script: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "my_code.py").write_text(MY_CODE)
    monkeypatch.syspath_prepend(place)
    monkeypatch.delitem(sys.modules, "my_code", raising=False)
    with pytest.raises(InstantiationException, match="the callback cannot be built") as raised:
        script("train.py", "+callbacks.mine._target_=my_code.Callback")
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    assert outcomes(place) == []


def test_data_that_cannot_be_had_is_one_message_and_a_failed_run(
    script: Command, place: Path
) -> None:
    # There is no server on port 9 of this machine.
    nobody = ["data.mirrors=['http://127.0.0.1:9']", "data.retries=0", "data.timeout_s=1.0"]
    done = script("train.py", "data=mnist", "logger=none", "callbacks.progress=none", *nobody)
    assert done.code == 2
    assert done.err.startswith("fourbeat: train-images-idx3-ubyte.gz")
    assert "Traceback" not in done.err
    assert "Error executing job" not in done.err
    assert outcomes(place) == ["failed"]


@pytest.mark.slow
@pytest.mark.parametrize("ignores", [False, True], ids=["terminal", "background"])
def test_ctrl_c_saves_the_state_and_ends_with_code_130(place: Path, ignores: bool) -> None:
    """Not where a shell started it in the background, ignoring Ctrl-C."""
    handler = signal.SIG_IGN if ignores else signal.SIG_DFL
    words = ["trainer.max_epochs=-1", "trainer.max_steps=100000", "callbacks.progress=lines"]
    with subprocess.Popen(
        [sys.executable, str(TRAIN), *words, "callbacks.early_stopping=null"],
        cwd=place,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, handler),
    ) as running:
        assert running.stdout is not None
        assert any(line.startswith("epoch 2") for line in running.stdout)
        time.sleep(0.05)  # somewhere in the epoch, not at its end
        running.send_signal(signal.SIGINT)
        if ignores:
            assert any(line.startswith("epoch 4") for line in running.stdout)
            running.terminate()
        _, err = running.communicate(timeout=60)
    if ignores:
        assert running.returncode == 143
        assert "SIGINT" not in err
        return
    assert running.returncode == 130
    assert [line for line in err.splitlines() if "fourbeat" in line] == [
        "fourbeat: SIGINT: stops as soon as the state can be saved; again: at once",
        "fourbeat: interrupted; to resume the newest run: python scripts/train.py resume=last",
    ]
    assert "Traceback" not in err
    assert outcomes(place) == ["interrupted"]
