"""Benchmarks: ratios taken in one run, written by hand into docs/benchmarks.md. They gate nothing."""
