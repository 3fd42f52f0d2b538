"""What a script prints reaches terminal and log; errors end it with a message."""

import io

import pytest

from job import Tee, logged
from odtl.errors import InputError, Problem


def test_log_holds_what_was_printed(tmp_path, capsys):
    with logged(tmp_path / "logs/a.log"):
        print("one")
    assert (tmp_path / "logs/a.log").read_text(encoding="utf-8") == "one\n"
    assert capsys.readouterr().out == "one\n"


def test_traceback_reaches_terminal_and_log(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught, logged(tmp_path / "a.log"):
        raise ValueError("what went wrong")
    assert caught.value.code == 1
    assert "ValueError: what went wrong" in (tmp_path / "a.log").read_text(encoding="utf-8")
    assert "ValueError: what went wrong" in capsys.readouterr().err


def test_input_error_is_a_message_without_traceback(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught, logged(tmp_path / "a.log"):
        raise InputError(Problem("a.xml", "size/width", "'x'", "Write a whole number."))
    assert caught.value.code == 1
    text = (tmp_path / "a.log").read_text(encoding="utf-8")
    assert "a.xml: size/width: found 'x'. Write a whole number." in text
    assert "Traceback" not in text + capsys.readouterr().err


def test_redrawn_line_reaches_the_log_once():
    terminal, log = io.StringIO(), io.StringIO()
    tee = Tee(terminal, log)
    for text in ["\r 10%", "\r 50%", "\r100%", "\n", "done\n"]:
        tee.write(text)
    assert log.getvalue() == "100%\ndone\n"
    assert terminal.getvalue() == "\r 10%\r 50%\r100%\ndone\n"
