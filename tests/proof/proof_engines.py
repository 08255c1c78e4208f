"""Environments for the proof: a simulated card, and a port that another server holds."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

STANDINS = Path(__file__).resolve().parent / "standins"
NPU = ["--vlm-profile=internvl2-2b-ascend", "--vlm-set=offline.enabled=false", "--vlm-set=engine.start_timeout_s=6"]


def fake_npu(tmp_path: Path, variant: str) -> dict[str, str]:
    """Environment with a stand-in `npu-smi` first on PATH; variant `missing` has no npu-smi."""
    folder = tmp_path / "npu-bin"
    folder.mkdir(exist_ok=True)
    env = {"PATH": f"{folder}:{os.environ['PATH']}", "NPU_SMI_VARIANT": "910b"}
    if variant == "missing":
        return env
    tool = folder / "npu-smi"
    tool.write_text(f"#!/bin/sh\nexec '{sys.executable}' -I -S '{STANDINS}/npu_smi.py' \"$@\"\n", "utf-8")
    tool.chmod(0o755)
    changes = {
        "failing": {"NPU_SMI_VARIANT": "failed"},
        "910A": {"NPU_SMI_VARIANT": "910a"},
        "busy": {"NPU_SMI_OTHERS": "4242:someone:31000"},
        "critical": {"NPU_SMI_HEALTH": "Critical"},
        "small": {"NPU_SMI_VARIANT": "310p"},
        "a3": {"NPU_SMI_VARIANT": "a3"},
    }
    return {**env, **changes.get(variant, {})}


class _NotAModelServer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<html>a web server</html>")

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextlib.contextmanager
def held_port(port: int = 0) -> Iterator[int]:
    """A port (0: a free one) on which an ordinary web server answers."""
    server = ThreadingHTTPServer(("127.0.0.1", port), _NotAModelServer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
