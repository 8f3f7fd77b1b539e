"""How far a calibration is, where nobody can watch a bar."""

from io import StringIO

from evaluation.calibration.advance import LINES, shown


def test_a_log_gets_a_line_for_each_twentieth_and_no_bar():
    """A log of an hour's run says where it is; a bar would only appear at its end."""
    log = StringIO()
    with shown(1_000, log) as advance:
        for _ in range(499):
            advance(2)
        assert len(log.getvalue().splitlines()) == LINES - 1
        advance(2)
    written = log.getvalue().splitlines()
    assert len(written) == LINES
    assert written[0].startswith("calibration: 50 of 1,000 replications after 0.0 minutes")
    assert written[-1].startswith("calibration: 1,000 of 1,000 replications")


def test_pieces_larger_than_a_twentieth_are_one_line_each():
    """What is done at once is told once."""
    log = StringIO()
    with shown(10, log) as advance:
        advance(4)
        advance(6)
    assert [line.split()[1] for line in log.getvalue().splitlines()] == ["4", "10"]
