"""The bare pass-through: uvicorn, raw ASGI and aiohttp, and nothing else; what a gateway is measured beside."""

import asyncio
import os
import sys

import aiohttp
import uvicorn
from starlette.types import Receive, Scope, Send


class Bare:
    """Forwards every body as it is and returns the answer as it is."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections to the upstream."""
        if self._session is not None:
            await self._session.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        async with self._session.post(self._url, data=body) as answer:
            content = await answer.read()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": content})


def main() -> None:
    """Serve on a free port, printed first, until standard input closes."""
    bare = Bare(sys.argv[1])
    config = uvicorn.Config(
        bare, port=0, loop="uvloop", http="httptools", lifespan="off", access_log=False,
        log_level="error", server_header=False, date_header=False, proxy_headers=False,
    )  # fmt: skip
    server = uvicorn.Server(config)

    async def run() -> None:
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        print(server.servers[0].sockets[0].getsockname()[1], os.getpid(), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        server.should_exit = True
        await task
        await bare.close()

    asyncio.run(run())


if __name__ == "__main__":
    main()
