"""Calibration: error rates, coverage, durations and regret of what production runs, against the promised bars."""
