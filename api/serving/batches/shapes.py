"""Files and batches as OpenAI clients know them."""

import json
from collections.abc import Sequence

from storage.spool.rows import BatchRow, FileRow, Status

Fields = dict[str, object]
_STAMPS: tuple[Status, ...] = (
    "in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled",
)  # fmt: skip


def file_object(row: FileRow) -> Fields:
    """A file."""
    return {
        "id": row.id,
        "object": "file",
        "bytes": row.bytes,
        "created_at": row.created_at_ms // 1_000,
        "expires_at": row.expires_at_ms // 1_000,
        "filename": row.filename,
        "purpose": row.purpose,
        "status": "processed",
        "status_details": None,
    }


def batch_object(row: BatchRow) -> Fields:
    """A batch with its counts and times."""
    changes: dict[str, int] = json.loads(row.changes)
    errors = json.loads(row.errors)
    return {
        "id": row.id,
        "object": "batch",
        "endpoint": row.endpoint,
        "errors": {"object": "list", "data": errors} if errors else None,
        "input_file_id": row.input_file_id,
        "completion_window": "24h",
        "status": row.status,
        "output_file_id": row.output_file_id,
        "error_file_id": row.error_file_id,
        "created_at": row.created_at_ms // 1_000,
        "expires_at": row.expires_at_ms // 1_000,
        **{f"{name}_at": _seconds(changes.get(name)) for name in _STAMPS},
        "request_counts": {"total": row.total, "completed": row.completed, "failed": row.failed},
        "metadata": json.loads(row.metadata) or None,
    }


def page(objects: Sequence[Fields], limit: int) -> Fields:
    """A page of a list: `objects` may hold one more than the limit, which says that there are more."""
    shown = objects[:limit]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(objects) > limit,
    }


def _seconds(at_ms: int | None) -> int | None:
    return None if at_ms is None else at_ms // 1_000
