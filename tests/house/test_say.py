"""One voice: printed once where it should be, recorded where a run listens, silent on request."""

import threading

import pytest

from gatework import say


def test_a_line_goes_to_standard_error_and_to_every_recording(capsys: pytest.CaptureFixture[str]):
    with say.recording() as outer, say.recording() as inner:
        say.say("frequency:\n  hourly")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "frequency: hourly\n")
    assert outer == inner == ["frequency: hourly"]


def test_once_prints_once_and_is_recorded_by_each_run(capsys: pytest.CaptureFixture[str]):
    records = []
    for _ in range(2):
        with say.recording() as lines:
            say.once("test_once", "no compiler")
            say.once("test_once", "no compiler")
        records.append(lines)
    assert capsys.readouterr().err == "no compiler\n"
    assert records == [["no compiler"], ["no compiler"]]


def test_quiet_records_and_does_not_print(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    with say.recording() as lines, say.quiet():
        say.say("a")
    monkeypatch.setenv("GATEWORK_QUIET", "1")
    say.say("b")
    assert capsys.readouterr().err == ""
    assert lines == ["a"]


def test_progress_lines_are_not_recorded(capsys: pytest.CaptureFixture[str]):
    with say.recording() as lines:
        say.line("epoch 1")
    assert capsys.readouterr().err == "epoch 1\n"
    assert lines == []


def test_threads_record_apart():
    with say.recording() as mine, say.quiet():
        other = threading.Thread(target=say.say, args=("from elsewhere",))
        other.start()
        other.join()
        say.say("from here")
    assert mine == ["from here"]
