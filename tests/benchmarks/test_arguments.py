from pathlib import Path

import pytest
from benchmarks.arguments import RESULTS_FILE, Options, parse
from benchmarks.rivals import RIVALS

TABLES = ("turns", "startup")


def test_by_default_everything_is_measured_five_times_and_written() -> None:
    assert parse([], TABLES) == Options(TABLES, tuple(RIVALS), output=RESULTS_FILE)


def test_a_sanity_run_has_one_round_and_writes_nothing() -> None:
    options = parse(["--quick"], TABLES)
    assert (options.rounds, options.output, options.quick) == (1, None, True)


def test_each_option_is_read() -> None:
    typed = "--quick --rounds 2 --only bare,sklearn --batch-sizes 8,16 --tables turns"
    options = parse([*typed.split(), "--output", "x.md", "--rivals-python", "/p"], TABLES)
    assert options == Options(
        ("turns",), ("bare", "sklearn"), 2, (8, 16), True, Path("x.md"), Path("/p")
    )


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("--only bare,kears", "there is no rival 'kears'; choose from bare, fourbeat"),
        ("--tables tunrs", "there is no table 'tunrs'; choose from turns, startup"),
        ("--rounds 0", "'0' must be a whole number above 0"),
        ("--rounds many", "'many' must be a whole number above 0"),
        ("--batch-sizes 32,", "'' must be a whole number above 0"),
        ("--fast", "unrecognized arguments: --fast"),
        ("--output", "expected one argument"),
    ],
    ids=["rival", "table", "no rounds", "word", "empty size", "option", "no value"],
)
def test_what_is_wrong_is_said_in_one_line(
    typed: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(typed.split(), TABLES)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert why in said
    assert len(said.splitlines()) == 1
