"""Dialects: the APIs of providers, each translated to and from the one that clients speak."""
