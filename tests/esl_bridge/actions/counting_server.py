"""A business that counts: a booking and its charge, once for each idempotency key, over real HTTP.

Owns the counting, and the moments at which a test may kill whoever asked. It lives as long as its context.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

LIMIT_S = 20.0


class CountingServer:
    """``bookings`` and ``charges`` are what was done; ``asked`` holds the key of every request that came."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.bookings: list[str] = []
        self.charges: list[str] = []
        self._lock = threading.Lock()
        # Set: the request goes on. A test clears one to stop there, and learns by ``reached`` that somebody has come so far.
        self.may_book, self.may_answer = threading.Event(), threading.Event()
        self.reached = {"asked": threading.Event(), "booked": threading.Event()}
        for event in (self.may_book, self.may_answer):
            event.set()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                server._serve(self.headers["Idempotency-Key"])
                body = json.dumps({"outcome": "ok", "values": {"balance": "7.25"}}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

            def handle(self) -> None:
                try:
                    super().handle()
                except ConnectionError:
                    server.gone.set()

        self.gone = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/book"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.may_book.set()
        self.may_answer.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def _serve(self, key: str) -> None:
        self.asked.append(key)
        self.reached["asked"].set()
        assert self.may_book.wait(LIMIT_S)
        with self._lock:
            if key not in self.bookings:
                self.bookings.append(key)
                self.charges.append(key)
        self.reached["booked"].set()
        assert self.may_answer.wait(LIMIT_S)
