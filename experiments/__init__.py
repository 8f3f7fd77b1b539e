"""Experiments as values: definition, assignment, tests and verdict, without any input or output."""
