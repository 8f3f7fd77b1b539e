"""Composition root: ASGI app, command line, settings and processes."""
