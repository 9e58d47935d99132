"""Rows of records as bytes, and back."""

import json
import struct
import zlib

import numpy as np
import pytest

from fourbeat.recorder.block import RECORDS_FORMAT, Block

# Numbers that a detour by way of text or another type would not survive.
AWKWARD = [0.0, -0.0, 1e-45, -1e-45, 3.4e38, 0.1, np.nan, np.inf, -np.inf, 16777217.0]


def block(steps: list[int], values: list[list[float]]) -> Block:
    numbers = np.array(values, np.float32).reshape(len(steps), -1)
    columns = tuple(f"grad_norm/{i}" for i in range(numbers.shape[1]))
    return Block(columns, np.array(steps, np.int64), numbers)


BLOCKS = {
    "one row": block([7], [[1.5, 2.5]]),
    "one number": block([0], [[0.25]]),
    "one column": block([3, 4, 5], [[1.0], [2.0], [3.0]]),
    "no columns": block([3, 4], [[], []]),
    "no rows": Block(("loss",), np.empty(0, np.int64), np.empty((0, 1), np.float32)),
    "awkward numbers": block([0, 1], [AWKWARD, AWKWARD[::-1]]),
    "steps far apart": block([2**40, 2**40 + 100, 2**62], [[1.0], [2.0], [3.0]]),
    "steps that go back": block([9, 3, 3], [[1.0], [2.0], [3.0]]),
    "a name of any kind": Block(("größe/µ\n\"'",), np.arange(1), np.ones((1, 1), np.float32)),
    "values side by side": Block(
        ("a", "b"), np.arange(3), np.asfortranarray(np.arange(6, dtype=np.float32).reshape(3, 2))
    ),
}


@pytest.mark.parametrize("there", BLOCKS.values(), ids=BLOCKS)
def test_there_and_back_every_bit_is_the_same(there: Block) -> None:
    back = Block.decode(there.schema(), there.encode())
    assert back.columns == there.columns
    assert np.array_equal(back.steps, there.steps)
    assert back.steps.dtype == np.int64
    assert back.values.dtype == np.float32
    assert back.values.shape == there.values.shape
    assert back.values.tobytes() == np.ascontiguousarray(there.values).tobytes()


def test_nothing_is_lost_of_many_random_bits() -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, (500, 30), np.uint32)
    columns = tuple(map(str, range(30)))
    there = Block(columns, np.arange(500, dtype=np.int64), bits.view(np.float32))
    back = Block.decode(there.schema(), there.encode())
    assert np.array_equal(back.values.view(np.uint32), bits)


def test_the_bytes_are_those_the_format_says() -> None:
    """Written by hand, so that no change of ours goes unseen."""
    raw = struct.pack("<2q", 5, 1)
    values = [struct.pack("<f", value) for value in (1.0, 2.0, 3.0, 4.0)]
    raw += bytes(value[plane] for plane in range(4) for value in values)
    schema = json.dumps({"format_version": 1, "rows": 2, "columns": ["a", "b"]}).encode()
    found = Block.decode(schema, zlib.compress(raw))
    assert found.steps.tolist() == [5, 6]
    assert found.values.tolist() == [[1.0, 3.0], [2.0, 4.0]]
    assert json.loads(found.schema()) == json.loads(schema)
    assert zlib.decompress(found.encode()) == raw


def test_numbers_that_hardly_change_take_no_room() -> None:
    values = np.tile(np.linspace(1, 2, 20, dtype=np.float32), (1000, 1))
    there = Block(tuple(map(str, range(20))), np.arange(1000, dtype=np.int64), values)
    assert len(there.encode()) < values.nbytes / 50


def damaged(case: str) -> tuple[bytes, bytes]:
    whole = BLOCKS["one column"]
    schema, data = whole.schema(), whole.encode()
    more = BLOCKS["steps that go back"]
    short = block([3, 4], [[1.0], [2.0]])
    return {
        "cut": (schema, data[:-3]),
        "empty": (schema, b""),
        "a bit has changed": (schema, data[:-1] + bytes([data[-1] ^ 1])),
        "no stream": (schema, b"events"),
        "too few rows": (schema, short.encode()),
        "too many columns": (BLOCKS["awkward numbers"].schema(), more.encode()),
        "no schema": (b"{", data),
        "an empty schema": (b"{}", data),
        "a schema of another kind": (b"[]", data),
    }[case]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("cut", "damaged records: "),
        ("empty", "damaged records: "),
        ("a bit has changed", "damaged records: .*incorrect data check"),
        ("no stream", "damaged records: .*incorrect header check"),
        ("too few rows", "damaged records: "),
        ("too many columns", "damaged records: "),
        ("no schema", "damaged records: "),
        ("an empty schema", "damaged records: .*format_version"),
        ("a schema of another kind", "damaged records: "),
    ],
)
def test_what_is_damaged_is_refused(case: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Block.decode(*damaged(case))


def test_what_is_newer_is_refused_before_it_is_misread() -> None:
    schema = json.dumps({"format_version": RECORDS_FORMAT + 1}).encode()
    message = f"records of format {RECORDS_FORMAT + 1}: this fourbeat reads {RECORDS_FORMAT}"
    with pytest.raises(ValueError, match=message):
        Block.decode(schema, b"of another kind")
