"""What stands before an endpoint: further headers, its certificates, and how many requests a second it takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from types import MappingProxyType

from vlm_acceptance.core.exchange import Exchange

TOO_MANY = 429
# a gateway that asks again and again refuses
MOST_WAITS, LONGEST_WAIT_S = 5, 60.0


class Gateway:
    """How requests pass a gateway; Gateway() changes nothing. It is shared by all clients of one endpoint.

    With `requests_per_s` no more requests are begun, and a 429 with Retry-After (seconds) is waited for and counted.
    """

    def __init__(
        self,
        headers: Mapping[str, str] = MappingProxyType({}),
        ca_bundle: str | None = None,
        requests_per_s: float | None = None,
    ) -> None:
        self.headers = headers
        self.ca_bundle = ca_bundle
        self.waits = 0
        self.waited_s = 0.0
        self._every_s = 1 / requests_per_s if requests_per_s else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def pace(self) -> None:
        """Wait until the next request may begin."""
        if not self._every_s:
            return
        with self._lock:
            now = time.monotonic()
            begins = max(now, self._next)
            self._next = begins + self._every_s
        time.sleep(begins - now)

    def postpones(self, exchange: Exchange, tries: int) -> bool:
        """Whether the gateway asked to send this again later; then the time is over when it returns."""
        if not self._every_s or exchange.status != TOO_MANY or tries >= MOST_WAITS:
            return False
        asked = exchange.headers.get("retry-after", "")
        if not (asked.isascii() and asked.isdigit()) or len(asked) > 2 or int(asked) > LONGEST_WAIT_S:
            return False
        wait_s = max(int(asked), self._every_s)
        with self._lock:
            self.waits += 1
            self.waited_s += wait_s
        time.sleep(wait_s)
        return True

    @property
    def note(self) -> str:
        """What the verdict says of it; '' if it never asked to wait."""
        if not self.waits:
            return ""
        return (
            f"the gateway asked {self.waits} time(s) to send later (429 with Retry-After): {self.waited_s:.0f} s in all"
        )
