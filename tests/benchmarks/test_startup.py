import pytest
from benchmarks.tables import startup
from benchmarks.tables.startup import IMPORT, Command

STEP = "command to first step"


def timing(what: str, wall_s: float, failure: str = "") -> dict:
    return {"what": what, "round": 1, "wall_s": wall_s, "failure": failure}


@pytest.mark.parametrize(
    ("wall_s", "kept"), [(3.4, "yes"), (3.6, "**no**")], ids=["in time", "too late"]
)
def test_the_first_step_may_come_a_second_after_the_imports(wall_s: float, kept: str) -> None:
    text = startup.render([timing(IMPORT, 2.5), timing(STEP, wall_s)])
    assert f"| {STEP} | {wall_s:.2f} | {wall_s:.2f} to {wall_s:.2f} | 3.50 | {kept} |" in text


def test_a_command_that_failed_says_why() -> None:
    assert "| gone / lost |" in startup.render([timing(STEP, 0.1, "gone | lost")])


@pytest.mark.parametrize(
    ("code", "exit_code", "failure"),
    [
        ("raise SystemExit(2)", 2, ""),
        ("raise SystemExit('oh')", 0, "failed with exit code 1: oh"),
    ],
    ids=["as it must end", "otherwise"],
)
def test_a_command_must_end_as_it_should(code: str, exit_code: int, failure: str) -> None:
    timed = startup.timed(Command(["-c", code], exit_code))
    assert timed["failure"] == failure
    assert timed["wall_s"] > 0
