"""Calling models: requests, transports, attempts, streams and what they cost."""
