"""What the README says must be so."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.project import compose

from fourbeat.run import Run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^ *python scripts/train\.py(?! -m)(.*)$", README, re.MULTILINE)
RECIPES = [
    choice
    for choice in re.findall(r"`([a-z_./]+=[^`]+)`", README)
    if not choice.startswith(
        ("resume=", "from=", "init_from=", "loop=", "logger=wandb", "logger=mlflow")
    )
    if not choice.startswith("data=mapped") and "my_ema" not in choice
]


def test_it_has_at_most_200_lines() -> None:
    assert len(README.splitlines()) <= 200


@pytest.mark.parametrize("arguments", [c for c in COMMANDS if "moons" not in c and "-1" not in c])
def test_each_command_can_be_run(arguments: str) -> None:
    compose(*arguments.split())  # with all checks: what cannot be run is a ConfigError


@pytest.mark.one_in(6)
@pytest.mark.parametrize("recipe", [r for r in RECIPES if r != "trainer=ddp"])
def test_each_recipe_can_be_run(recipe: str) -> None:
    compose(*recipe.split())


def test_its_files_exist() -> None:
    for link in re.findall(r"\]\(([\w./]+)\)", README):
        assert (ROOT / link).exists(), link


@pytest.mark.slow  # a process of its own
def test_your_own_data_and_task_take_two_steps(tmp_path: Path) -> None:
    for folder in ("src", "conf", "scripts"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    blocks = re.findall(r"```\w+\n( +# (?:src|conf)/.*?)\n +```", README, re.DOTALL)
    text = "\n".join(re.sub(r"^   ", "", block, flags=re.MULTILINE) for block in blocks)
    files = re.findall(r"^# (\S+)\n(.*?)(?=^# |\Z)", text, re.DOTALL | re.MULTILINE)
    assert [name for name, _ in files] == [
        "src/project/moons.py",
        "conf/data/moons.yaml",
        "conf/task/moons.yaml",
    ]
    for name, content in files:
        (tmp_path / name).write_text(content)
    command = re.search(r"python (scripts/train\.py data=moons [^`]*)`", README)[1].split()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command, "trainer.max_epochs=2", "hydra.run.dir=run"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    run = Run.load(tmp_path / "run")
    assert run.config["task"]["_target_"] == "project.moons.WhichMoon"
    assert {"val/loss", "test/loss"} <= run.metrics.keys()


def test_the_turns_that_it_shows_are_those_of_the_example() -> None:
    """Each yields the same names, which ``conf/optim/gan.yaml`` has."""
    page = (ROOT / "docs" / "tasks.md").read_text()
    shown = re.search(r"```python\ndef steps.*?```", page, re.DOTALL)[0]
    example = (ROOT / "src/project/tasks/gan.py").read_text()
    names = [re.findall(r'yield "(\w+)"', text) for text in (shown, example)]
    assert names[0] == names[1] == list(compose("experiment=gan").optimizers)
