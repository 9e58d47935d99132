import pytest

from fourbeat.base.errors import ConfigError, Fault, raise_faults


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault("a.b", "1", "must be 2", "Try a.b=2."), "a.b=1: must be 2. Try a.b=2."),
        (Fault("a.b", "", "must be given."), "a.b: must be given."),
    ],
    ids=["whole", "without_value_and_hint"],
)
def test_a_fault_reads_as_one_line(fault: Fault, text: str) -> None:
    assert str(fault) == text


def test_faults_are_raised_together_and_once_each() -> None:
    one, two = Fault("a", "1", "is wrong"), Fault("b", "2", "is wrong")
    with pytest.raises(ConfigError, match=r"^a=1: is wrong.\nb=2: is wrong.$") as raised:
        raise_faults([one, two, one])
    assert raised.value.faults == (one, two)


def test_no_fault_raises_nothing() -> None:
    raise_faults([])
