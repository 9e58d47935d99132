"""One word for each thing, the field's own: the words that the glossary replaces stay out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "conf", "scripts", "tests", "benchmarks", "docs")
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")

# The word to use, and what it replaces. A blank stands for line breaks and underscores too: names
# are words, and sentences run over lines.
REPLACED = {
    "replayed": r"\bplay(ed|s|ing)? (it |them |a step )?again\b|\bg(o|oes|oing|one) back over\b",
    "resumed, continues": r"\b(go|goes|going|gone|went) on\b",
    "diverge, divergence": (
        r"\b(runs|they|records|both) part(ed)?\b|\bpart(s|ed)? (at|from here|ways)\b|\bparting\b"
        r"|\bforks?\b(?!\()"
    ),
    "yielded, grouped, passed": r"\bhand(ed|s|ing)? (\w+ ){0,2}over\b",
    "observe, notify, hook": (
        r"\b(is|are|be|been|being|was|were) told\b|\btold of\b|\bhears?\b|\bheard\b"
        r"|\btells? (of|its|his|the) (observers?|beats?|steps?)\b|\btells? of\b"
        r"|\btap(s|ped)?\b|\blisten(s|ed|ers?|ing)?\b"
    ),
    "bitwise identical": r"\bto the last bit\b|\bbit for bit\b|\bbit-for-bit\b",
    "NaN or Inf": (
        r"\b(number|loss|gradient|value|norm|that)s? (that )?(is|are) (?-i:none)\b"
        r"|\b(is|are|was|were) no (finite )?numbers?\b"
    ),
    "corrupted": r"\bspoil(s|t|ed|ing)?\b",
    "applied, skipped": (
        r"\bsteps? (that )?((is|are|was|were|has been|had been) )?(not )?(taken|left out)\b"
        r"|\b(takes?|took|leaves?|left) (the|a|this|that|its) step\b"
    ),
    "monitored, measured, inspected": r"\blook(s|ed|ing)? at\b",
    "saved, last, best checkpoints": (
        r"\bbest ones\b|\bnewest ones\b|\bnewest (state|checkpoint)s?\b"
        r"|\b(state|checkpoint)s? (is|are|was|were|be) kept\b|\bKeptFiles\b"
    ),
    "components": (
        r"\bparts\.(module|trainer|datamodule|folder|callbacks)\b|(?-i:\bParts\b)|\bfit parts\b"
    ),
    "scaled loss": r"\bshares? of (a|the|its|each) (\w+ )?loss\b|\bloss shares?\b",
    "again, from scratch": r"\banew\b",
    "with every layer measured": r"\bevery instrument\b",
    "no layer in front of a docstring": r'"""L\d: ',
}

# Where such words mean something else, or must stay: a file's name or a phrase, and why.
ALLOWED_FILES = {
    "tests/test_words.py": "it spells the words",
    "tests/support/web_server.py": "a socket that listens",
}
ALLOWED_PHRASES = {
    r"\bos[._ ]fork\b|\bforks? (a|of a) process\b|\bstart method\b.{0,20}\bfork\b": "processes",
    r"\bfork rng\b": "torch's name for it",
    r"\bfork\.\*:DeprecationWarning\b": "Python's warning about processes",
    r"\bgoes? on (top|disk|the (GPU|CPU|stack|device|axis))\b": "a place",
}


@cache
def texts() -> dict[str, str]:
    """The text of each file in which the words are searched, by its path."""
    found = [ROOT / page for page in PAGES]
    for folder in FOLDERS:
        found += [
            p for p in sorted((ROOT / folder).rglob("*")) if p.suffix in (".py", ".yaml", ".md")
        ]
    paths = {path.relative_to(ROOT).as_posix(): path for path in found if ".venv" not in path.parts}
    return {
        name: path.read_text(encoding="utf-8")
        for name, path in paths.items()
        if name not in ALLOWED_FILES
    }


@cache
def with_single_blanks() -> dict[str, str]:
    """The texts with a blank for whatever a blank stands for: searched in a fifth of the time."""
    return {name: re.sub(r"[\s_#]+", " ", text) for name, text in texts().items()}


def spaced(pattern: str) -> re.Pattern[str]:
    """A pattern whose blanks match a line break, the start of a comment, or an underscore."""
    # The bounds of a word that an underscore ends as well, as in names of functions.
    bounded = pattern.replace(r"\b", r"(?:(?<![A-Za-z0-9])(?=\w)|(?<=\w)(?![A-Za-z0-9]))")
    return re.compile(bounded.replace(" ", r"[\s_#]+"), re.IGNORECASE)


def uses(pattern: str) -> Iterator[str]:
    """Where a pattern is found, as ``path:line: phrase``."""
    searched, allowed = spaced(pattern), [spaced(phrase) for phrase in ALLOWED_PHRASES]
    plain = re.compile(pattern, re.IGNORECASE)
    for name, text in texts().items():
        if not plain.search(with_single_blanks()[name]):
            continue
        for match in searched.finditer(text):
            around = text[max(0, match.start() - 40) : match.end() + 40]
            if not any(phrase.search(around) for phrase in allowed):
                phrase = " ".join(match[0].split())
                yield f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {phrase}"


@pytest.mark.parametrize("word", REPLACED)
def test_the_fields_own_word_is_used(word: str) -> None:
    assert list(uses(REPLACED[word])) == []


@pytest.mark.parametrize(
    "sentence",
    [
        *("the run is played\n    again", "def _going_on(self)", "# handed them over", "it hears"),
        *("bitwise, to the last\n# bit", "a loss that is no number", "best_ones", "two runs part"),
        *("the step was not taken", "computed anew", "what it looks at", "parts.trainer"),
    ],
)
def test_a_replaced_word_is_found_in_sentences_and_names(sentence: str) -> None:
    assert any(spaced(pattern).search(sentence) for pattern in REPLACED.values())


@pytest.mark.parametrize(
    "sentence",
    [
        *("a part of the data", "partial", "taken from the batch", "forked workers", "particle"),
        *("the numbers are not finite", "over the whole epoch", "ongoing", "the shared loss"),
    ],
)
def test_ordinary_english_is_allowed(sentence: str) -> None:
    assert not any(spaced(pattern).search(sentence) for pattern in REPLACED.values())
