"""What becomes of what goes wrong in the middle."""

from __future__ import annotations

import pytest

from gateway.cli.transcribe import _give_up
from gateway.cli.transcribe_output import PrintError


def group(*errors: Exception) -> ExceptionGroup[Exception]:
    return ExceptionGroup("", [ExceptionGroup("", list(errors))])


def print_error(cause: OSError) -> PrintError:
    error = PrintError(f"standard output cannot be written: {cause.strerror}")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        ([print_error(OSError(28, "No space left on device"))], "standard output cannot be written: No space left on "),
        ([OSError(24, "Too many open files")], "[Errno 24] Too many open files"),
        ([BrokenPipeError(32, "Broken pipe")], "[Errno 32] Broken pipe"),
        ([OSError(9, "later"), print_error(OSError(5, "Input/output error"))], "standard output cannot be written: "),
    ],
)
def test_it_is_told_in_one_line_and_under_its_own_name(
    errors: list[Exception], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        _give_up(group(*errors))
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"linescribe: {told}")


def test_a_reader_who_has_gone_is_left_to_click() -> None:
    with pytest.raises(BrokenPipeError):
        _give_up(group(print_error(BrokenPipeError(32, "Broken pipe"))))


def test_a_fault_of_ours_is_not_hidden() -> None:
    with pytest.raises(ExceptionGroup):
        _give_up(group(OSError(24, "Too many open files"), KeyError("ours")))
