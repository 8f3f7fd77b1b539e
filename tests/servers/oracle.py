"""A server that is asked for its word on loopback: it answers as told, and remembers what it was asked."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[Any], tuple[int, bytes]]  # reason: whatever the body asks


class Oracle:
    """A running server; `field` is the part of a body that is remembered and answered, by default all of it."""

    def __init__(self, right: bytes, field: str | None = None) -> None:
        self.asked: list[Any] = []  # reason: as above
        self.answer: Answer = lambda _: (200, right)
        oracle = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                asked = body if field is None else body[field]
                oracle.asked.append(asked)
                status, reply = oracle.answer(asked)
                self.send_response(status)
                if status == 307:
                    self.send_header("location", oracle.url + "/elsewhere")
                self.send_header("content-length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Close the server."""
        self.server.shutdown()
        self.server.server_close()
