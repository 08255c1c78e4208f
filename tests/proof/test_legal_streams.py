"""Every legal form of server-sent events is read; what only the official client cannot read is its own finding."""

from __future__ import annotations

import pytest
from check_ids import STREAMS, node
from faults_routes import LEGAL
from owners_clients import STREAM_READERS
from standins.fault_proxy import FaultProxy

ATTACHED = ("-m", "smoke or slow", "--vlm-profile=control-cpu")


@pytest.mark.parametrize("name", ["ids", "crlf"])
def test_a_legal_stream_is_accepted(accept, control, name):
    readers = (*STREAMS, *STREAM_READERS)
    with FaultProxy(control.base_url, stages=LEGAL[name]) as proxy:
        run = accept(*ATTACHED, f"--vlm-base-url={proxy.url}", *map(node, readers))
    assert (run.refused_by, len(run.ids("passed"))) == (set(), len(readers)), run.out
