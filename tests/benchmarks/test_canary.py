"""The canary: requirements without upper bounds, and a table of what broke."""

from __future__ import annotations

import importlib.metadata

import pytest
from benchmarks.canary import Failure, Report, lines, read_report, unbounded

METADATA = [
    "torch<2.14,>=2.8",
    "lightning!=2.6.2,!=2.6.3,<2.7,>=2.6",
    "scikit-learn>=1.4; extra == 'splits'",
    "prompt_toolkit<4,>=3.0.40; extra == 'inspector'",
    "pinned==1.0; extra == 'inspector'",
    "wandb>=0.18; extra == 'wandb'",
    "fourbeat[inspector,splits]; extra == 'dev'",
    "pytest~=8.0; extra == 'dev'",
]


def test_upper_bounds_fall_and_excluded_releases_stay_excluded() -> None:
    found = {name: str(each.specifier) for name, each in unbounded(METADATA, "dev").items()}
    assert found == {
        "torch": ">=2.8",
        "lightning": "!=2.6.2,!=2.6.3,>=2.6",
        "scikit-learn": ">=1.4",
        "prompt_toolkit": ">=3.0.40",
        "pinned": "",
        "pytest": "",
    }


def test_our_own_requirements_have_no_upper_bound_left() -> None:
    found = unbounded(importlib.metadata.requires("fourbeat") or [], "dev")
    assert {"torch", "hydra-core", "omegaconf", "pytest", "scikit-learn"} <= found.keys()
    operators = {s.operator for each in found.values() for s in each.specifier}
    assert operators == {">=", "!="}


XML = """<testsuites><testsuite name="pytest">
<testcase classname="tests.a.test_b" name="test_good" />
<testcase classname="tests.a.test_b" name="test_contract">
<failure message="The seam stands on this: a dict. It no longer holds.">E</failure>
</testcase>
<testcase classname="tests.a.test_b" name="test_trace">
<failure message="assert">  line
E   AttributeError: no attribute at 0x7f00
</failure></testcase>
<testcase classname="tests.a.test_c" name="test_set_up">
<error message="failed on setup">E   AttributeError: no attribute at 0x8f00</error></testcase>
</testsuite></testsuites>"""


def test_a_report_says_which_tests_failed_and_why() -> None:
    report = read_report("quick", XML)
    assert report.num_tests == 4
    assert report.failures == [
        Failure(
            "tests/a/test_b.py::test_contract",
            "The seam stands on this: a dict. It no longer holds.",
        ),
        Failure("tests/a/test_b.py::test_trace", "AttributeError: no attribute at 0x"),
        Failure("tests/a/test_c.py::test_set_up", "AttributeError: no attribute at 0x"),
    ]


@pytest.mark.parametrize("failures", [[], read_report("quick", XML).failures], ids=["good", "bad"])
def test_the_table_has_one_row_for_each_reason(failures: list[Failure]) -> None:
    table = list(lines([("torch", "2.13.0", "2.15.0")], [Report("quick", 4, failures)]))
    assert "| torch | 2.13.0 | 2.15.0 |" in table
    assert f"quick: {4 - len(failures)} passed or skipped, {len(failures)} failed" in table
    counts = [row.split("|")[1].strip() for row in table if "::" in row]
    assert counts == (["2", "1"] if failures else [])
