from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks import readme
from benchmarks.rivals import RIVALS
from benchmarks.task import Record

MADE = {
    "machine": "a CPU, 2 cores, 4 GiB",
    "system": "Linux 6, Python 3.11.7",
    "versions": "torch 2.13.0+cpu, lightning 2.6.6",
    "rivals": "keras 3.15.1, jax 0.10.2",
    "command": "python -m benchmarks --tables turns",
}
README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def table(record: Callable[..., Record]) -> dict:
    made = record("bare", 100)
    beside_s = (9.0, *(seconds / 2 for seconds in made.measurement.epoch_s[1:]))
    records = [replace(made, measurement=replace(made.measurement, beside_s=beside_s))]
    return {"made": MADE, "measured": [one.plain() for one in records]}


def test_a_cell_has_medians_and_quartiles_and_says_what_was_not_measured(table: dict) -> None:
    lines = readme.render(table).splitlines()
    assert "| a loop by hand | 2.00 (2.00-2.00) | - |" in lines
    assert "| skorch | - | - |" in lines


def test_the_platform_and_the_versions_are_said(table: dict) -> None:
    assert readme.render(table).splitlines()[0] == (
        "a CPU, 2 cores; Python 3.11.7, torch 2.13.0+cpu, lightning 2.6.6, "
        "keras 3.15.1, jax 0.10.2:"
    )


def test_the_table_replaces_its_older_self_and_nothing_else(table: dict) -> None:
    text = README.read_text()
    once = readme.replaced(text, table)
    assert once != text
    assert readme.replaced(once, table) == once
    before, _, rest = text.partition(readme.MARK)
    assert once.startswith(before)
    assert once.endswith(rest[rest.index("\n## ") :])


def test_a_page_without_the_table_is_refused(table: dict) -> None:
    with pytest.raises(ValueError, match="has no table"):
        readme.replaced("# fourbeat\n", table)


def test_every_line_names_rivals_that_are_compared() -> None:
    assert all(RIVALS[name].is_compared for name in readme.ROWS.values())
