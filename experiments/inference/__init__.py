"""Tests and intervals on cells; none of them knows what they decide."""
