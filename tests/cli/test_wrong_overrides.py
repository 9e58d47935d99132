"""Every wrong override: what kind of fault it is, of which key, and what is offered instead.

The faults are those of the commands' own checks, in process. Some are typed at the real scripts,
as samples of what is printed: to the letter, with exit code 2, and nothing written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from support.project import compose_good

from fourbeat.base.errors import ConfigError, Fault
from fourbeat.cli.arguments import Arguments
from fourbeat.cli.scripts.train import check
from fourbeat.sweeps.checks import check_sweep
from project import PROJECT

Command = Callable[..., Any]


class Row(NamedTuple):
    """A row of ``wrong_overrides.txt``."""

    typed: str
    code: str
    override: str
    offered: str

    @property
    def overrides(self) -> set[str]:
        """What the fault may name: the override that was typed last, with its + or without."""
        last = self.typed.split()[-1]
        return {last, last.lstrip("+")} if self.override == "=" else {self.override}


LINES = (Path(__file__).parent / "wrong_overrides.txt").read_text().splitlines()
ROWS = [Row(*line.split(" | ")) for line in LINES if line and not line.startswith("#")]

# Where there is no GPU.
NO_GPU = [
    Row("trainer=gpu", "no-such-device", "trainer.accelerator=gpu", "trainer=cpu"),
    Row("trainer=mps", "no-such-device", "trainer.accelerator=mps", "trainer=cpu"),
    Row("trainer=ddp", "no-such-device", "trainer.accelerator=gpu", "trainer=ddp_cpu"),
    Row(
        "trainer=fsdp trainer.accelerator=auto",
        "no-such-device",
        "trainer.strategy=fsdp",
        "trainer=ddp_cpu",
    ),
]


def override_of(fault: Fault) -> str:
    return f"{fault.key}={fault.value}" if fault.value else fault.key


def faults_of(typed: str) -> tuple[Fault, ...]:
    """The faults that ``scripts/train.py`` finds in what is typed after its name."""
    with pytest.raises(ConfigError) as raised:
        check_command(typed)
    return raised.value.faults


def check_command(typed: str) -> None:
    # Not shlex: what a shell would take away as quotes belongs to none of these.
    arguments = Arguments.of(typed.split())
    if arguments.is_multirun:
        check_sweep(PROJECT.conf_dir, arguments.overrides, "train")
    check(*compose_good(arguments.overrides))


def assert_refused(row: Row) -> None:
    (fault,) = faults_of(row.typed)
    assert fault.code == row.code
    assert override_of(fault) in row.overrides
    assert row.offered in fault.hint


@pytest.fixture(autouse=True)
def _a_file_in_the_way(place: Path) -> None:
    (place / "a_file").touch()


@pytest.mark.one_in(32)
@pytest.mark.parametrize("row", ROWS, ids=[row.typed for row in ROWS])
def test_a_wrong_override_is_one_fault_that_offers_a_right_one(row: Row) -> None:
    assert_refused(row)


def test_each_row_is_another_override() -> None:
    assert len({row.typed for row in ROWS}) == len(ROWS) > 110


@pytest.mark.parametrize("row", NO_GPU, ids=[row.typed for row in NO_GPU])
@pytest.mark.skipif(
    torch.accelerator.is_available(), reason="this machine has what the fault says it has not"
)
def test_hardware_that_is_not_there_is_refused(row: Row) -> None:
    assert_refused(row)


@pytest.mark.one_in(6)
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (
            "optim=foo data=bar +x.y=1 seed=x optim.lrr=3 a=b=c",
            "bad-syntax a=b=c, unknown-option optim=foo, unknown-option data=bar, "
            "wrong-type seed=x, unknown-key x.y=1",
        ),
        (
            "seed=-1 optim.lr=abc trainer.max_epochs=0 logger=wandb model.in_features=${nokey}",
            "unresolved model.in_features=${nokey}, out-of-range seed=-1, "
            "out-of-range trainer.max_epochs=0, wrong-type optim.lr=abc, not-installed "
            "logger=wandb",
        ),
        (
            "optim.eps=-1 loss=mse data=mnist data.download=false",
            "no-such-file data.data_dir=data, cannot-build optim.eps=-1, "
            "loss-mismatch loss=MSELoss",
        ),
        (
            "model.dropout=2 loss=mse +optim.foo=1 scheduler=plateau scheduler.monitor=x",
            "unknown-argument optim.foo=1, cannot-build model.dropout=2, "
            "loss-mismatch loss=MSELoss, not-measured scheduler.monitor=x",
        ),
        (
            "data=circles data.factor=abc optim.eps=-1",
            "wrong-type data.factor=abc, cannot-build optim.eps=-1",
        ),
        (
            "data.val_fraction=0 scheduler=plateau",
            "not-measured callbacks.early_stopping.monitor=val/loss, "
            "not-measured callbacks.model_checkpoint.monitor=val/loss, "
            "not-measured scheduler.monitor=val/loss",
        ),
        (
            "-m optim.lr=0.1,abc,-1 trainer.max_epochs=0",
            "out-of-range trainer.max_epochs=0, wrong-type optim.lr=abc, out-of-range optim.lr=-1",
        ),
    ],
    ids=[
        "while_composing_and_after",
        "our_own_keys",
        "leaves",
        "signatures_and_trials",
        "data_that_cannot_be_built_and_what_does_not_need_it",
        "no_validation_to_monitor",
        "sweep",
    ],
)
def test_all_faults_are_reported_at_once(typed: str, expected: str) -> None:
    found = [f"{fault.code} {override_of(fault)}" for fault in faults_of(typed)]
    assert ", ".join(found) == expected


ONE = "fourbeat: 1 fault in the config; nothing was run."
NO_RUN = "There is no run under runs yet. Train one with: python scripts/train.py"
NO_FOLDER = f"there is no such folder, neither here nor under runs. {NO_RUN}"

# Script, what is typed, what is printed; ``…`` stands for any text.
SAMPLES: dict[str, tuple[str, str, str]] = {
    "option": (
        "train.py",
        "optim=adamm",
        f"{ONE}\n  optim=adamm: is not an option. Did you mean optim=adam or optim=adamw?",
    ),
    "key": (
        "train.py",
        "optim.lrr=1",
        f"{ONE}\n  optim.lrr=1: is not a key. Did you mean optim.lr=1?",
    ),
    "number": (
        "train.py",
        "optim.lr=abc",
        f"{ONE}\n  optim.lr=abc: must be a number above 0. Try optim.lr=0.001.",
    ),
    "list": (
        "train.py",
        "optim.betas=[2,3]",
        f"{ONE}\n  optim.betas=[2,3]: must be a list of 2 entries, each a number of at least 0 and "
        "below 1. Try optim.betas=[0.9,0.999].",
    ),
    "metric": (
        "train.py",
        "callbacks.early_stopping.monitor=val/acc",
        f"{ONE}\n  callbacks.early_stopping.monitor=val/acc: is not measured here. Did you mean "
        "callbacks.early_stopping.monitor=val/accuracy? Measured are: val/loss, val/accuracy, "
        "val/f1, train/loss, train/loss_epoch.",
    ),
    "size": (
        "train.py",
        "model.in_features=100",
        f"{ONE}\n  model.in_features=100: layer layers.0 (Linear) got the shape [2, 784] and wants "
        "[*, 100]. The data's inputs have the shape [1, 28, 28]: set model.in_features=784.",
    ),
    "loss": (
        "train.py",
        "loss=mse",
        f"{ONE}\n  loss=MSELoss: compares numbers, but the targets of Digits are labels of 10 "
        "classes (int64). Use loss=cross_entropy, or loss=auto.",
    ),
    "refused_by_torch": (
        "train.py",
        "optim.eps=-1",
        f"{ONE}\n  optim.eps=-1: torch.optim.Adam cannot be built with it: … Try optim.eps=1e-08.",
    ),
    "several": (
        "train.py",
        "seed=-1 trainer.max_epochs=0",
        "fourbeat: 2 faults in the config; nothing was run.\n"
        "  seed=-1: must be a whole number of at least 0 and below 4294967296. The default is "
        "seed=42.\n  trainer.max_epochs=0: must be -1 or a whole number above 0. The default is "
        "trainer.max_epochs=20.",
    ),
    "flag": (
        "train.py",
        "--lr 0.1",
        f"{ONE}\n  --lr: is not a flag. Write key=value without dashes, e.g. optim.lr=0.01 and not "
        "--lr 0.01.",
    ),
    "flags_in_between": (
        "train.py",
        "-m optim=sgd -m seed=1",
        f"{ONE}\n  seed=1: is separated from the other overrides by a flag. Put the flags first.",
    ),
    "printed_config": (
        "train.py",
        "--cfg job optim=adamm",
        f"{ONE}\n  optim=adamm: is not an option. Did you mean optim=adam or optim=adamw?",
    ),
    "resume_in_a_sweep": (
        "train.py",
        "-m resume=last",
        f"{ONE}\n  resume=last: cannot be used with -m. Leave out -m.",
    ),
    "resume": ("train.py", "resume=nope", f"fourbeat: resume=nope: {NO_FOLDER}"),
    "resume_elsewhere": (
        "train.py",
        "resume=last paths.output_dir=elsewhere",
        "fourbeat: resume=last: there is no run under elsewhere yet. "
        "Train one with: python scripts/train.py",
    ),
    "no_run": (
        "eval.py",
        "",
        f"{ONE}\n  run: must be given. Add run=last, or run=RUN_FOLDER.",
    ),
    "choice": (
        "eval.py",
        "run=last split=foo",
        f"{ONE}\n  split=foo: must be val or test. The default is split=test.",
    ),
    "key_of_another_script": (
        "eval.py",
        "run=last splitt=val",
        f"{ONE}\n  splitt=val: is not a key. Did you mean split=val?",
    ),
    "no_such_run": ("eval.py", "run=nope", f"fourbeat: run=nope: {NO_FOLDER}"),
    "sweep_of_another_script": (
        "eval.py",
        "-m run=a,b",
        f"{ONE}\n  -m: is for train.py alone. Call eval.py once for each run.",
    ),
}


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.one_in(4)
@pytest.mark.parametrize(("name", "typed", "expected"), SAMPLES.values(), ids=SAMPLES.keys())
def test_what_is_printed_is_one_message_and_nothing_is_left_behind(
    script: Command, place: Path, name: str, typed: str, expected: str
) -> None:
    before = listing(place)
    result = script(name, *typed.split())
    pattern = re.escape(f"{expected}\n").replace("…", ".*")
    assert re.fullmatch(pattern, result.err), result.err
    assert (result.out, result.code) == ("", 2)
    assert listing(place) == before


def test_a_word_with_a_blank_is_shown_whole(script: Command) -> None:
    assert "\n  a b: is not an override. Write key=value; " in script("train.py", "a b").err
