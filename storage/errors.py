"""Errors of the stores.

StoreError
├── StoreConflict         somebody else changed the row: read again and decide anew
│   ├── TaskTaken         another experiment of the task is running or paused
│   └── NameTaken         the experiment's name was used before
├── LeaseLost             the planner's lease expired or went to another process
├── StoreUnavailable      the file or server does not answer, is full or read-only
└── StoreIncompatible     the schema is newer than this release, or no Pointsman store
"""


class StoreError(Exception):
    """Root of the errors that a store raises."""


class StoreConflict(StoreError):
    """A compare-and-set found another version; nothing was changed."""


class TaskTaken(StoreConflict):
    """Another experiment of the task is running or paused; nothing was changed."""


class NameTaken(StoreConflict):
    """An experiment of that name exists; nothing was changed."""


class LeaseLost(StoreError):
    """The lease expired or has a newer holder; nothing was changed."""


class StoreUnavailable(StoreError):
    """The store does not answer; nothing was acknowledged."""


class StoreIncompatible(StoreError):
    """The store's schema is not one that this release reads."""
