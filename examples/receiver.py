"""Receive Linescribe's webhooks: verify, take each event once, answer quickly. Python's standard library alone."""

import base64
import hashlib
import hmac
import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
seen = set()  # in earnest: a unique column of the table that the events are stored in


def genuine(headers, body):
    name, sent_at, signatures = (headers.get(f"webhook-{each}", "") for each in ("id", "timestamp", "signature"))
    if not sent_at.isdecimal() or len(sent_at) > 12 or abs(time.time() - int(sent_at)) > 300:
        return False
    digest = hmac.digest(KEY, f"{name}.{sent_at}.".encode() + body, hashlib.sha256)
    wanted = b"v1," + base64.b64encode(digest)
    return any([hmac.compare_digest(given.encode(), wanted) for given in signatures.split(" ")])


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        length = self.headers.get("content-length", "")
        body = self.rfile.read(min(int(length), 1_000_000) if length.isdecimal() else 0)
        verified = genuine(self.headers, body)
        if verified and self.headers["webhook-id"] not in seen:
            seen.add(self.headers["webhook-id"])
            event = json.loads(body)
            print(event["type"], event["data"].get("text", ""), flush=True)  # in earnest: store it, and work later
        self.send_response(204 if verified else 401)
        self.end_headers()


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "9901"))), Receiver)
print("listening on", server.server_port, flush=True)
server.serve_forever()
