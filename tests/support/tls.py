"""HTTP servers behind TLS with a certificate made for the test, and a server that speaks no HTTP."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

MODELS = {"object": "list", "data": [{"id": "vlm-acceptance/control", "owned_by": "vllm", "max_model_len": 4096}]}


def certificate(folder: Path, names: str = "DNS:localhost,IP:127.0.0.1", days: int = 30) -> Path:
    """A self-signed certificate and its key in one PEM file; the test is skipped without openssl."""
    file, key = folder / f"certificate-{days}.pem", folder / f"key-{days}.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    argv += ["-keyout", str(key), "-out", str(file), "-days", str(days), "-subj", "/CN=test"]
    try:
        subprocess.run([*argv, "-addext", f"subjectAltName={names}"], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    file.write_text(file.read_text() + key.read_text())
    return file


class _Endpoint(BaseHTTPRequestHandler):
    """Lists the control at /v1/models."""

    def do_GET(self) -> None:
        body = json.dumps(MODELS if self.path == "/v1/models" else {}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that speaks no TLS is no matter here."""


@contextlib.contextmanager
def tls_endpoint(file: Path) -> Iterator[int]:
    """The port of an endpoint that serves the control by https."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with _Quiet(("127.0.0.1", 0), _Endpoint) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def banner_server(banner: bytes) -> Iterator[int]:
    """The port of a server that greets with this text, whatever it is sent, and closes; without text it is silent."""
    closing = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    if not banner:
                        closing.wait()
                    connection.sendall(banner)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(1 << 16):
                        pass

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    closing.set()
    listener.close()
