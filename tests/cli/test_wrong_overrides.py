"""The table of wrong overrides: one short message, exit code 2, no traceback, nothing written."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

ROOT = Path(__file__).parents[2]


def refused(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> str:
    """Run a script in this process and return what it printed; it must end with exit code 2."""
    monkeypatch.setattr(sys, "argv", [str(ROOT / "scripts" / f"{name}.py"), *words])
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(sys.argv[0], run_name="__main__")
    GlobalHydra.instance().clear()
    captured = capsys.readouterr()
    assert ended.value.code == 2
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return captured.err


# What is typed, and what the message must hold: key and value, what is allowed, what to do.
TABLE = {
    # names
    "optim=adamm": ["optim=adamm: is not an option", "optim=adam", "optim=adamw"],
    "data=mnits": ["data=mnits: is not an option", "data=mnist"],
    "trainer=nothing_like_it": ["trainer=nothing_like_it", "Choose from:", "ddp_cpu"],
    "optimizer=adam": ["optimizer=adam: is not a key", "optim"],
    "optim.lrr=1": ["optim.lrr=1: is not a key", "optim.lr"],
    "+optim.lrr=1": ["optim.lrr=1: is not an argument of torch.optim.Adam", "optim.lr"],
    "+foo.bar=1": ["foo.bar=1: is not a key"],
    "sede=1": ["sede=1: is not a key", "seed=1"],
    "data.batch_siz=8": ["data.batch_siz=8: is not a key", "data.batch_size"],
    "trainer.gradient_clip_val=1": ["trainer.gradient_clip_val=1", "loop.gradient_clip_val=1"],
    "~model": ["model", "must be given"],
    "model._target_=nope.Net": ["model._target_=nope.Net: ", "No module named"],
    "model._target_=builtins.eval": ["model._target_=builtins.eval:", "block"],
    "optim=adam=3": ["optim=adam=3: is not an override", "key=value"],
    "seed=1,2": ["seed=1,2: has several values", "-m"],
    # types and ranges
    "seed=abc": ["seed=abc: must be a whole number"],
    "seed=-1": ["seed=-1: must be a whole number of at least 0"],
    "seed=": ["seed='': must be a whole number"],
    "seed=${nokey}": ["seed=${nokey}: points at a key that does not exist"],
    "seed=${oc.env:NO_SUCH_NAME}": ["needs the environment variable NO_SUCH_NAME"],
    "optim.lr=abc": ["optim.lr=abc: must be a number above 0", "Try optim.lr=0.001"],
    "optim.lr=-1": ["optim.lr=-1: must be a number above 0"],
    "optim.lr=0": ["optim.lr=0: must be a number above 0"],
    "optim.lr=inf": ["optim.lr=inf: must be a finite number"],
    "optim.lr=nan": ["optim.lr=nan: must be"],
    "optim.weight_decay=-0.1": ["optim.weight_decay=-0.1: must be a number of at least 0"],
    "optim.betas=[2,2]": ["optim.betas=[2,2]: must be a list of 2"],
    "optim.fused=maybe": ["optim.fused=maybe: must be true or false"],
    "optim.exclude_from_weight_decay=[all]": ["[all]", "bias or norm"],
    "trainer.max_epochs=0": ["trainer.max_epochs=0: must be -1 or a whole number above 0"],
    "trainer.max_epochs=2.5": ["trainer.max_epochs=2.5: must be"],
    "trainer.max_epochs=-1": ["trainer.max_epochs=-1", "never ends"],
    "trainer.max_steps=0": ["trainer.max_steps=0: must be"],
    "trainer.precision=8": ["trainer.precision=8: must be", "bf16-mixed"],
    "trainer.devices=0": ["trainer.devices=0: must be"],
    "trainer.log_every_n_steps=0": ["trainer.log_every_n_steps=0: must be"],
    "trainer.limit_train_batches=0": ["trainer.limit_train_batches=0", "nothing to train on"],
    "trainer.limit_val_batches=0": ["early_stopping.monitor=val/loss", "never measured"],
    "trainer.profiler=fast": ["trainer.profiler=fast: must be", "simple"],
    "data.batch_size=0": ["data.batch_size=0: must be a whole number above 0"],
    "data.batch_size=2.5": ["data.batch_size=2.5: must be a whole number"],
    "data.num_workers=-1": ["data.num_workers=-1: must be a whole number of at least 0"],
    "data.shuffle=maybe": ["data.shuffle=maybe: must be true or false"],
    "data.val_fraction=1.5": ["data.val_fraction=1.5: must be a number"],
    "data.val_fraction=0.9 data.test_fraction=0.2": [
        *("data.val_fraction=0.9", "to train on", "Try data")
    ],
    "data.batch_size=5000 data.drop_last=true": ["data.batch_size=5000: must be 1257 or less"],
    "loop.gradient_clip_val=-1": ["loop.gradient_clip_val=-1: must be a number above 0"],
    "loop.gradient_clip_algorithm=both": ["loop.gradient_clip_algorithm=both", "norm or value"],
    "loop.accumulate_grad_batches=0": ["loop.accumulate_grad_batches=0: must be"],
    "scheduler=step scheduler.gamma=-1": ["scheduler.gamma=-1: must be a number above 0"],
    "scheduler=step scheduler.step_size=0": ["scheduler.step_size=0: must be"],
    "scheduler=cosine scheduler.interval=week": ["scheduler.interval=week", "step or epoch"],
    "callbacks.early_stopping.patience=0": ["callbacks.early_stopping.patience=0: must be"],
    "callbacks.progress=loud": ["callbacks.progress=loud: must be", "lines"],
    # what does not fit together, the machine or the data
    "callbacks.early_stopping.monitor=val/acc": ["val/acc: is not measured", "val/accuracy"],
    "callbacks.model_checkpoint.monitor=val/r2": ["val/r2: is not measured here"],
    "scheduler=plateau scheduler.monitor=val/los": ["scheduler.monitor=val/los", "val/loss"],
    "sweep.metric=val/mae": ["sweep.metric=val/mae: is not measured here"],
    "optim=momentum optim.momentum=0 optim.nesterov=true": ["optim.", "Nesterov"],
    "model.activation=foo": ["model.activation=foo: must be", "relu"],
    "model.dropout=2": ["model.dropout=2", "dropout"],
    "model.hidden_features=abc": ["model.hidden_features=abc: must be a list"],
    "model.in_features=100": ["model.in_features=100", "784"],
    "model.out_features=7": ["needs 10 outputs", "Set model.out_features=10"],
    "loss=mse": ["loss", "MSELoss", "labels of 10 classes", "loss=cross_entropy"],
    "loss=bce_with_logits": ["BCEWithLogitsLoss", "tells two classes apart"],
    "data=diabetes loss=cross_entropy": ["CrossEntropyLoss", "numbers", "loss=mse"],
    "trainer.precision=16-true trainer=cpu": ["16-true: is not supported on the CPU"],
    "trainer=mps": ["trainer.accelerator=mps: this machine has no", "trainer=cpu"],
    "data=mnist data.download=false": ["data.data_dir=data: lacks train-images"],
    "logger=wandb": ["logger=wandb: needs the package wandb", "pip install wandb"],
    "logger=mlflow": ["logger=mlflow: needs the package mlflow", "pip install mlflow"],
    # runs to go on with
    "resume=nope": ["resume=nope: there is no such folder"],
    "resume=last": ["resume=last: there is no run under runs yet"],
}
GPU = ["trainer=gpu", "trainer=ddp", "trainer=fsdp"]
if not (torch.cuda.is_available() or torch.backends.mps.is_available()):
    TABLE |= {choice: ["trainer.accelerator=gpu: this machine has no GPU"] for choice in GPU}

SEVERAL = {
    "optim=foo data=bar sede=1": ["3 faults", "optim=foo", "data=bar", "sede=1"],
    "optim=foo trainer.max_epochs=0 seed=x": ["3 faults", "optim=foo", "max_epochs=0", "seed=x"],
    "optim.lr=-1 trainer.max_epochs=0 data.batch_size=0": ["3 faults", "lr", "max_epochs", "size"],
    "loss=mse optim=momentum optim.momentum=0 optim.nesterov=true data.test_fraction=0.9": [
        *("3 faults", "MSELoss", "Nesterov", "data.val_fraction")
    ],
}
EVAL = {
    "": ["run: must be given"],
    "run=nope": ["run=nope: there is no such folder"],
    "run=last": ["run=last: there is no run under runs yet"],
    "run=last split=train": ["split=train: must be"],
    "run=last chekpoint=best": ["chekpoint=best: is not a key", "checkpoint"],
}
CASES = [("train", k, v) for k, v in {**TABLE, **SEVERAL}.items()]
CASES += [("eval", k, v) for k, v in EVAL.items()]


@pytest.mark.parametrize(
    ("name", "typed", "parts"), CASES, ids=[f"{n}.py {k}".strip() for n, k, _ in CASES]
)
def test_it_is_refused_with_a_message_and_nothing_is_written(
    name: str,
    typed: str,
    parts: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    text = refused(typed.split(), monkeypatch, capsys, name)
    assert [part for part in parts if part not in text] == [], text
    assert text.startswith("fourbeat: ")
    assert not list(tmp_path.iterdir())


def test_the_table_has_more_than_forty_rows() -> None:
    assert len(TABLE) > 40


def run_script(words: list[str], cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "train.py"), *words],
        cwd=cwd,
        env={**os.environ, "HYDRA_FULL_ERROR": "0", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_process_ends_with_code_2_and_one_message(tmp_path: Path) -> None:
    done = run_script(["optim.lr=-1"], tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "fourbeat: 1 fault in the config; nothing was run.",
        "  optim.lr=-1: must be a number above 0. Try optim.lr=0.001.",
    ]
    assert not list(tmp_path.iterdir())


def test_hydra_full_error_shows_the_traceback(tmp_path: Path) -> None:
    done = run_script(["optim.lr=-1"], tmp_path, HYDRA_FULL_ERROR="1")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert "optim.lr=-1: must be a number above 0" in done.stderr


@pytest.mark.parametrize("words", [["optim.lr=-1"], ["optim=foo"], ["--help"]], ids=str)
def test_torch_is_not_imported_before_our_own_keys_are_good(
    words: list[str], tmp_path: Path
) -> None:
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['train.py', *{words!r}]\n"
        "try:\n"
        f"    runpy.run_path({str(ROOT / 'scripts' / 'train.py')!r}, run_name='__main__')\n"
        "except SystemExit:\n"
        "    print(sorted({'torch', 'lightning'} & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


def test_help_shows_groups_options_and_five_examples(tmp_path: Path) -> None:
    done = run_script(["--help"], tmp_path)
    assert done.returncode == 0
    assert "optim: adam, adamw, momentum, sgd" in done.stdout
    assert done.stdout.count("python scripts/train.py") >= 5
