import json
from collections.abc import Callable
from pathlib import Path

import pytest
from benchmarks.report import HEAD, Results, merged, section
from benchmarks.task import Record

MakeRecord = Callable[..., Record]


MADE = {
    "date": "2026-01-02",
    "machine": "a CPU, 2 cores, 4 GiB",
    "load": "0.1",
    "commit": "abc",
    "system": "Linux",
    "versions": "torch 2",
    "rivals": "not installed",
    "command": "python -m benchmarks",
}
BY_HAND = "\n## On a GPU\n\nTyped by a person.\n"


def test_a_new_file_begins_with_what_is_measured() -> None:
    assert merged("", {"turns": "one"}).startswith(HEAD.rstrip())


def test_what_was_written_by_hand_is_kept_around_a_new_table() -> None:
    text = merged("", {"turns": "old turns", "startup": "old startup"}) + BY_HAND
    text = text.replace("# How fast", "# My words: how fast")
    again = merged(text, {"turns": "new \\1 turns"})
    assert again == text.replace("old turns", "new \\1 turns")


def test_a_table_that_is_new_stands_behind_the_others() -> None:
    again = merged(merged("", {"turns": "body 1"}) + BY_HAND, {"startup": "body 2"})
    assert again.index("body 1") < again.index("body 2") < again.index("Typed by a person")
    assert again.endswith(BY_HAND)


def test_writing_the_same_twice_changes_nothing() -> None:
    text = merged("", {"turns": "one", "startup": "two"})
    assert merged(text, {"startup": "two", "turns": "one"}) == text


def test_a_table_says_when_how_and_on_what_it_was_made() -> None:
    text = section("Title", MADE, "body")
    assert text.startswith("## Title\n\nbody\n\n")
    assert all(word in text for key, word in MADE.items() if key != "rivals")


def test_a_sanity_run_is_marked() -> None:
    made = {**MADE, "command": "python -m benchmarks --quick"}
    assert "these figures mean nothing" in section("Title", made, "body")


def test_rivals_are_named_where_they_are_there() -> None:
    assert "rivals" not in section("Title", MADE, "body")
    assert "; rivals on keras 3" in section("Title", {**MADE, "rivals": "keras 3"}, "body")


def test_results_keep_the_tables_that_were_not_measured_again(
    tmp_path: Path, record: MakeRecord
) -> None:
    path = tmp_path / "RESULTS.json"
    results = Results.read(path)
    results.add("width", MADE, [record("bare", 5).plain()])
    results.write(path)
    again = Results.read(path)
    again.add("depth", MADE, [record("bare", 7).plain()])
    assert list(again.sections()) == ["width", "depth"]
    assert again.sections()["width"] == results.sections()["width"]


def test_results_of_another_format_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.json"
    path.write_text(json.dumps({"format_version": 99, "tables": {}}))
    with pytest.raises(ValueError, match="has format 99"):
        Results.read(path)
