"""An upstream with a batch API on loopback: OpenAI's files and batches, Anthropic's message batches, and both chats.

It works on nothing by itself: a batch goes on when the test says so.
"""

import email.parser
import email.policy
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
MESSAGE_USAGE = {"input_tokens": 100, "output_tokens": 20, "service_tier": "batch"}
Json = dict[str, Any]
Answer = Callable[[Json], tuple[int, Json] | None]


def said(body: Json) -> str:
    """The question of a request of any endpoint."""
    if "messages" not in body:
        return str(body["input"])
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else str(content[-1]["text"])


def completion(body: Json) -> tuple[int, Json]:
    """A chat answer that repeats the question."""
    said = body["messages"][-1]["content"]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": f"answer to {said}"},
        "finish_reason": "stop",
    }
    return 200, {
        "id": "chatcmpl-up", "object": "chat.completion", "created": 1, "model": "up", "choices": [choice],
        "usage": USAGE,
    }  # fmt: skip


class BatchUpstream:
    """State of the upstream, and what it was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, Json] = {}
        self.asked: list[tuple[str, str]] = []
        """Method and path of every request."""
        self.chats: list[Json] = []
        """Bodies of requests outside batches."""
        self.answer: Answer = completion
        """What becomes of one request of a batch; None where it is not answered."""
        self.chat: Answer = completion
        self.faults: list[tuple[str, str, int]] = []
        """(method, path, status) of the next requests to refuse; status 0 does the work and cuts the connection."""
        self.after: Callable[[str, str], None] = lambda method, path: None
        """Called after each request was worked on, before it is answered."""
        self._number = 0
        self._lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        """Base URL for a model's configuration."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def stop(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()

    def finish(self, status: str = "completed") -> int:
        """End all batches that run; how many."""
        with self._lock:
            running = [batch for batch in self.batches.values() if not batch["_ended"]]
            for batch in running:
                self._end(batch, status)
            return len(running)

    @property
    def sent(self) -> list[str]:
        """Questions of all batches that were made, one for each request."""
        return [line["_said"] for batch in self.batches.values() for line in batch["_lines"]]

    def _end(self, batch: Json, status: str) -> None:
        """Answer every request; one that is not answered is missing, or named in the error file."""
        good, bad = [], []
        for line in batch["_lines"]:
            got = self.answer(line["body"]) if status in ("completed", "ended") else None
            if got is None:
                bad.append(
                    {"custom_id": line["custom_id"], "response": None, "error": {"code": "batch_" + status}}
                )
                continue
            entry = {
                "custom_id": line["custom_id"],
                "response": {"status_code": got[0], "body": got[1]},
                "error": None,
            }
            (good if got[0] == 200 else bad).append(entry)
        batch["_results"] = [*good, *bad]
        batch["_ended"] = True
        batch["status"] = status
        for name, lines in (("output_file_id", good), ("error_file_id", bad)):
            if lines:
                batch[name] = self._put("".join(json.dumps(line) + "\n" for line in lines).encode())

    def _put(self, content: bytes) -> str:
        self._number += 1
        self.files[f"file-up{self._number}"] = content
        return f"file-up{self._number}"

    # What each request does: (status, answer)

    def work(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, Any]:
        """One request."""
        with self._lock:
            path, _, query = path.partition("?")
            parts = path.removeprefix("/v1/").split("/")
            if parts[0] == "messages" and parts[1:2] == ["batches"]:
                return self._messages(method, parts[2:], body, query)
            if parts == ["messages"]:
                self.chats.append(json.loads(body))
                return message(json.loads(body))
            if parts in (["chat", "completions"], ["embeddings"], ["responses"]):
                self.chats.append(json.loads(body))
                return self.chat(json.loads(body)) or (500, {})
            if parts == ["files"]:
                return 200, {"id": self._put(form_file(headers, body)), "object": "file"}
            if parts[0] == "files":
                return 200, self.files[parts[1]]
            return self._batches(method, parts[1:], body, query)

    def _batches(self, method: str, parts: list[str], body: bytes, query: str) -> tuple[int, Any]:
        if not parts and method == "POST":
            asked = json.loads(body)
            lines = [json.loads(line) for line in self.files[asked["input_file_id"]].splitlines()]
            for line in lines:
                line["_said"] = said(line["body"])
            return 200, self._shown(
                self._make(lines, metadata=asked.get("metadata"), endpoint=asked["endpoint"])
            )
        if not parts:
            return 200, self._listed(query, "after")
        batch = self.batches.get(parts[0])
        if batch is None:
            return 404, {"error": {"message": "no such batch"}}
        if parts[1:] == ["cancel"] and not batch["_ended"]:
            self._end(batch, "cancelled")
        return 200, self._shown(batch)

    def _messages(self, method: str, parts: list[str], body: bytes, query: str) -> tuple[int, Any]:
        if not parts and method == "POST":
            lines = [
                {
                    "custom_id": each["custom_id"],
                    "body": each["params"],
                    "_said": said(each["params"]),
                }
                for each in json.loads(body)["requests"]
            ]
            return 200, self._message_shown(self._make(lines))
        if not parts:
            listed = self._listed(query, "after_id")
            return 200, {
                **listed,
                "data": [self._message_shown(self.batches[each["id"]]) for each in listed["data"]],
            }
        batch = self.batches.get(parts[0])
        if batch is None:
            return 404, {"type": "error", "error": {"type": "not_found_error", "message": "no such batch"}}
        if parts[1:] == ["cancel"] and not batch["_ended"]:
            self._end(batch, "canceled")
        if parts[1:] == ["results"]:
            return 200, "".join(
                json.dumps(_message_result(line)) + "\n" for line in batch["_results"]
            ).encode()
        return 200, self._message_shown(batch)

    def _make(self, lines: list[Json], **fields: Any) -> Json:
        self._number += 1
        batch = {
            "id": f"batch_up{self._number}",
            "status": "in_progress",
            "_lines": lines,
            "_ended": False,
            **fields,
        }
        self.batches[str(batch["id"])] = batch
        return batch

    def _listed(self, query: str, after_name: str) -> Json:
        """Two a page, the newest first."""
        ids = list(self.batches)[::-1]
        given = dict(part.split("=") for part in query.split("&") if part)
        start = ids.index(given[after_name]) + 1 if after_name in given else 0
        shown = ids[start : start + 2]
        return {
            "data": [self._shown(self.batches[each]) for each in shown], "has_more": start + 2 < len(ids),
            "last_id": shown[-1] if shown else None,
        }  # fmt: skip

    def _shown(self, batch: Json) -> Json:
        return {name: value for name, value in batch.items() if not name.startswith("_")}

    def _message_shown(self, batch: Json) -> Json:
        counts = dict.fromkeys(("succeeded", "errored", "canceled", "expired"), 0)
        counts["processing"] = len(batch["_lines"])
        return {
            "id": batch["id"], "type": "message_batch", "request_counts": counts,
            "processing_status": "ended" if batch["_ended"] else "in_progress",
            "created_at": "2099-01-01T00:00:00Z", "results_url": "http://169.254.169.254/steal",
        }  # fmt: skip


def message(body: Json) -> tuple[int, Json]:
    """A message of Anthropic's that repeats the question."""
    return 200, {
        "id": "msg_up", "type": "message", "role": "assistant", "model": "claude-up", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": f"answer to {said(body)}"}], "usage": MESSAGE_USAGE,
    }  # fmt: skip


def _message_result(line: Json) -> Json:
    response = line["response"]
    if response is None:
        kind = "canceled" if line["error"]["code"] == "batch_canceled" else "expired"
        return {"custom_id": line["custom_id"], "result": {"type": kind}}
    if response["status_code"] == 200:
        return {"custom_id": line["custom_id"], "result": {"type": "succeeded", "message": response["body"]}}
    error = {"type": "error", "error": response["body"]["error"]}
    return {"custom_id": line["custom_id"], "result": {"type": "errored", "error": error}}


def form_file(headers: Any, body: bytes) -> bytes:
    """The field `file` of a form."""
    whole = b"content-type: " + headers["content-type"].encode() + b"\r\n\r\n" + body
    parsed = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(whole)
    fields = {part.get_param("name", header="content-disposition"): part for part in parsed.iter_parts()}
    assert fields["purpose"].get_payload(decode=True) == b"batch"
    content = fields["file"].get_payload(decode=True)
    assert isinstance(content, bytes)
    return content


def _handler(upstream: BatchUpstream) -> type[BaseHTTPRequestHandler]:  # noqa: C901  # one class, within a function for its upstream
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            body = self._body()
            path = self.path.partition("?")[0].removeprefix("/v1")
            upstream.asked.append((self.command, path))
            fault = next((each for each in upstream.faults if each[:2] == (self.command, path)), None)
            if fault is not None:
                upstream.faults.remove(fault)
            if fault is not None and fault[2]:
                self._send(fault[2], {"error": {"message": "told to fail"}})
                return
            status, answer = upstream.work(self.command, self.path, self.headers, body)
            upstream.after(self.command, path)
            if fault is not None:
                self.close_connection = True
                return
            self._send(status, answer)

        def _body(self) -> bytes:
            if self.headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("content-length", 0)))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _send(self, status: int, answer: Any) -> None:
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            try:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Nothing."""

    return Handler


@contextmanager
def batch_upstream() -> Iterator[BatchUpstream]:
    """A running upstream."""
    upstream = BatchUpstream()
    try:
        yield upstream
    finally:
        upstream.stop()
