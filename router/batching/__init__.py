"""Batches: overnight work from a file of requests, each decided, charged and answered like any other."""
