"""A stand-in for the Hugging Face hub, on a port of this machine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

TINY = "Systran/faster-whisper-tiny"
MODEL_BIN = bytes(range(256)) * 5000 + b"the end" * 1000
HUB_FILES = {
    "model.bin": MODEL_BIN,
    "config.json": b"{}",
    "tokenizer.json": b'{"model": 1}',
    "vocabulary.json": b"[]",
    "preprocessor_config.json": b'{"feature_size": 128}',
    "README.md": b"not needed",
}


def git_hash(content: bytes) -> str:
    """Name a content as git does."""
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content), usedforsecurity=False).hexdigest()


class Hub(ThreadingHTTPServer):
    """The two requests by which a model is fetched; it can stop in the middle of an answer."""

    daemon_threads = True

    def __init__(self, repo: str = TINY, files: dict[str, bytes] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), HubRequest)
        self.repo = repo
        self.files = dict(HUB_FILES if files is None else files)
        self.stated = {name: hashlib.sha256(content).hexdigest() for name, content in self.files.items()}
        self.blobs = {name: git_hash(content) for name, content in self.files.items()}
        self.states_hashes = True
        self.states_revision = True
        self.commit = "c0ffee" * 6 + "c0ff"
        self.requests: list[str] = []
        """Paths, and where in the file an answer was to begin."""
        self.tokens: list[str | None] = []
        """What came as Authorization with each request."""
        self.elsewhere: str | None = None
        """Another address, which is said to have model.bin."""
        self.knows_ranges = True
        self.cut_at: int | None = None
        """The first answer with model.bin breaks off after so many bytes."""
        self.stop_at: int | None = None
        """So many bytes of model.bin are sent, and no more until `go_on`."""
        self.stopped = threading.Event()
        self.go_on = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def replace(self, name: str, content: bytes) -> None:
        """Serve something else by a name, and state its hash."""
        self.files[name] = content
        self.stated[name] = hashlib.sha256(content).hexdigest()
        self.blobs[name] = git_hash(content)

    def info(self) -> bytes:
        siblings = [
            {
                "rfilename": name,
                "size": len(content),
                **(self._hashes(name) if self.states_hashes else {}),
            }
            for name, content in self.files.items()
        ]
        revision = {"sha": self.commit} if self.states_revision else {}
        return json.dumps({"id": self.repo, **revision, "siblings": siblings}).encode()

    def asked_for(self, name: str) -> list[int]:
        """Give where each answer with this file began."""
        return [int(each.rpartition(" ")[2]) for each in self.requests if f"/{name} " in each]

    def handle_error(self, *_: object) -> None:
        """Take it that whoever asked has gone; a test sees by what it got whether the hub is at fault."""

    def _hashes(self, name: str) -> dict[str, object]:
        if name != "model.bin":
            return {"blobId": self.blobs.get(name)}
        lfs = {"sha256": self.stated[name], "size": len(self.files[name]), "pointerSize": 134}
        return {"blobId": git_hash(b"the pointer"), "lfs": lfs}


class HubRequest(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def do_GET(self) -> None:
        hub = self.server
        path = unquote(urlsplit(self.path).path)
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        hub.requests.append(f"{path} {start}")
        hub.tokens.append(self.headers.get("Authorization"))
        is_model = path.endswith("/model.bin")
        if path == f"/api/models/{hub.repo}":
            self._answer(hub.info(), 0)
        elif is_model and hub.elsewhere:
            self._redirect(hub.elsewhere + path)
        elif path.startswith(files := f"/{hub.repo}/resolve/{hub.commit}/"):
            self._answer(hub.files[path.removeprefix(files)], start if hub.knows_ranges else 0)
        else:
            self.send_error(404)

    def _redirect(self, address: str) -> None:
        self.send_response(302)
        self.send_header("Location", address)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer(self, body: bytes, start: int) -> None:
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        if body is self.server.files.get("model.bin"):
            start = self._falter(body, start)
        self.wfile.write(body[start:])

    def _falter(self, body: bytes, start: int) -> int:
        """Send as much as comes before a cut or a stop; tell where to go on."""
        hub = self.server
        if hub.cut_at is not None:
            end, hub.cut_at = hub.cut_at, None
            self.wfile.write(body[start:end])
            self.close_connection = True
            return len(body)
        if hub.stop_at is not None:
            self.wfile.write(body[start : hub.stop_at])
            hub.stopped.set()
            hub.go_on.wait()
            return hub.stop_at
        return start

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving(hub: Hub) -> Iterator[None]:
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        hub.go_on.set()
        hub.shutdown()
        thread.join()
        hub.server_close()
