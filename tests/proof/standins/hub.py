"""A loopback stand-in of the ModelScope hub that serves one folder as one model or one data set.

    python hub.py --folder DIR (--model-id | --dataset-id) OWNER/NAME [--fault missing|short|cut|corrupt|refuse]

It prints its address, serves until its standard input is closed, and writes one line a request to --log. Faults:
missing (the hub knows no such thing), short (a weight or parquet file is smaller than listed), cut (the connection
ends within it), corrupt (right size, wrong bytes), refuse (every answer is 500).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

FAULTS = ("missing", "short", "cut", "corrupt", "refuse")
SPOILT = (".safetensors", ".parquet")


class Hub(ThreadingHTTPServer):
    """The folder and the fault that all requests share."""

    daemon_threads = True

    def __init__(self, folder: Path, kind: str, name: str, fault: str | None, log: Path | None) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.folder = folder
        self.kind = kind
        self.name = name
        self.fault = fault
        self.log = log

    def handle_error(self, request: object, client_address: object) -> None:
        """Do not log clients that disconnect."""

    @property
    def endpoint(self) -> str:
        """The address for clients."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answers(BaseHTTPRequestHandler):
    """The routes that a download requests."""

    protocol_version = "HTTP/1.1"
    server: Hub

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        self.note(f"{self.command} {self.path}")
        base = f"/api/v1/{self.server.kind}/{self.server.name}"
        if self.server.fault == "refuse":
            self.reply_json({"Code": 500, "Message": "internal error", "Success": False}, 500)
        elif url.path == "/api/v1/repos/internalAccelerationInfo":
            self.reply_json({"Code": 200, "Data": {"InternalRegionQueryAddress": ""}, "Success": True})
        elif self.server.fault == "missing" or not url.path.startswith(base):
            self.reply_json({"Code": 10010205001, "Message": "the repository does not exist", "Success": False}, 404)
        elif url.path == f"{base}/revisions":
            versions = {"Branches": [{"Revision": "master", "CreatedAt": 1}], "Tags": []}
            self.reply_json({"Code": 200, "Data": {"RevisionMap": versions}, "Success": True})
        elif url.path == f"{base}/repo/files":
            self.reply_json({"Code": 200, "Data": {"Files": self.listing()}, "Success": True})
        elif url.path == f"{base}/repo/tree":  # lists the files of a data set, page by page
            number, size = int(query.get("PageNumber", "1")), int(query.get("PageSize", "100"))
            page = self.listing()[(number - 1) * size : number * size]
            self.reply_json({"Code": 200, "Data": {"Files": page}, "Success": True})
        elif url.path == f"{base}/repo":
            self.reply_file(query["FilePath"])
        else:
            self.reply_json({"Code": 200, "Data": {"Id": 1, "Name": self.server.name}, "Success": True})

    do_HEAD = do_GET  # noqa: N815 - the base class looks for this name

    def listing(self) -> list[dict[str, Any]]:
        files = [path for path in sorted(self.server.folder.rglob("*")) if path.is_file()]
        return [
            {
                "Path": str(path.relative_to(self.server.folder)),
                "Name": path.name,
                "Type": "blob",
                "Size": path.stat().st_size,
                "Sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "Revision": "1" * 40,
            }
            for path in files
        ]

    def reply_file(self, name: str) -> None:
        path = self.server.folder / name
        if not path.is_file():
            self.reply_json({"Code": 404, "Message": "no such file", "Success": False}, 404)
            return
        body = path.read_bytes()
        spoilt = name.endswith(SPOILT)
        if spoilt and self.server.fault == "short":
            body = body[: len(body) // 2]
        if spoilt and self.server.fault == "corrupt":
            body = body[:-1] + bytes([body[-1] ^ 1])
        first = 0
        wanted = self.headers.get("Range", "")
        if wanted.startswith("bytes="):
            low, _, high = wanted[6:].partition("-")
            first, end = int(low), int(high) + 1 if high else len(body)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{end - 1}/{len(body)}")
            body = body[first:end]
        else:
            self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if spoilt and self.server.fault == "cut":
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return
        self.wfile.write(body)

    def reply_json(self, value: dict[str, Any], status: int = 200) -> None:
        body = json.dumps({**value, "RequestId": "0"}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def note(self, line: str) -> None:
        if self.server.log:
            with self.server.log.open("a", encoding="utf-8") as log:
                log.write(line + "\n")

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    """Serve until standard input ends, so that a hub ends with the process that started it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    served = parser.add_mutually_exclusive_group(required=True)
    served.add_argument("--model-id")
    served.add_argument("--dataset-id")
    parser.add_argument("--fault", choices=FAULTS)
    parser.add_argument("--log", type=Path)
    given = parser.parse_args()
    kind = "models" if given.model_id else "datasets"
    hub = Hub(given.folder, kind, given.model_id or given.dataset_id, given.fault, given.log)
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    print(hub.endpoint, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
