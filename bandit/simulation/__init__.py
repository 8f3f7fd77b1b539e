"""Seeded environments in which allocations and tests are measured."""
