"""Shapes of files and batches on the wire, as the OpenAPI page shows them."""

from typing import Annotated, Literal

from pydantic import Field

from api.admin.schemas import Wire
from storage.spool.rows import Status

Endpoint = Literal["/v1/chat/completions", "/v1/embeddings", "/v1/responses"]
Metadata = Annotated[dict[str, Annotated[str, Field(max_length=512)]], Field(max_length=16)]


class FileForm(Wire):
    """A form (multipart/form-data) with an input file."""

    file: Annotated[str, Field(json_schema_extra={"format": "binary"})]
    """One request to a line, at most 200 MB."""
    purpose: Literal["batch"]


class FileAnswer(Wire):
    """A file of the key that uploaded it."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    expires_at: int
    """When it is deleted, in seconds since 1970."""
    filename: str
    purpose: Literal["batch", "batch_output"]
    status: Literal["processed"]
    status_details: None = None


class FileList(Wire):
    """A page of files."""

    object: Literal["list"]
    data: list[FileAnswer]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileDeleted(Wire):
    """The file is gone."""

    id: str
    object: Literal["file"]
    deleted: bool


class BatchBody(Wire):
    """A batch to open."""

    input_file_id: str
    endpoint: Endpoint
    completion_window: Literal["24h"]
    metadata: Metadata | None = None


class BatchCounts(Wire):
    """Lines by what became of them."""

    total: int
    completed: int
    failed: int


class BatchMistake(Wire):
    """What is wrong with a line of the input file."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class BatchMistakes(Wire):
    """Why a batch failed."""

    object: Literal["list"]
    data: list[BatchMistake]


class BatchAnswer(Wire):
    """A batch; times are seconds since 1970."""

    id: str
    object: Literal["batch"]
    endpoint: Endpoint
    errors: BatchMistakes | None
    input_file_id: str
    completion_window: Literal["24h"]
    status: Status
    output_file_id: str | None
    """Answers, once it has ended."""
    error_file_id: str | None
    """Lines that failed, once it has ended."""
    created_at: int
    expires_at: int
    in_progress_at: int | None
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: BatchCounts
    metadata: dict[str, str] | None


class BatchList(Wire):
    """A page of batches."""

    object: Literal["list"]
    data: list[BatchAnswer]
    first_id: str | None
    last_id: str | None
    has_more: bool
