"""Data: the faults that `make test` plants: of every family, in five minutes."""

from __future__ import annotations

PART = frozenset(
    {
        # wire: one of each kind
        "missing-usage",
        "usage-off-by-one",
        "truncated-body",
        "special-token-leaked",
        "word-swapped",
        "mojibake",
        "chunk-lost",
        "done-missing",
        "error-event-in-200",
        "not-streamed",
        "ttft-added",
        "picture-dropped",
        "picture-start-lost",
        "system-added",
        "picture-of-previous",
        "pictures-reversed",
        "max-tokens-ignored",
        "health-only",
        "health-lost",
        "any-route-answered",
        "malformed-accepted",
        "logprobs-unsteady",
        "logprobs-not-numbers",
        "blind-on-its-first-day",
        "answers-constant",
        "failure-spreads",
        "refused-poisons",
        "caches-idle",
        # mutants: one with wrong texts, one with wrong log probabilities alone
        "blind",
        "int4",
        # processes and machines
        "dies-loading",
        "wrong-model-id",
        "ignores-sigterm",
        "video-refused",
        "log-of-another-model",
        "port-held",
        "port-taken-meanwhile",
        "out-of-memory-by-others",
        "weights-truncated",
        "card-busy",
        "torch-npu-broken",
        "slow-on-busy-machine",
        "machine-busy",
        "data-picture-gone",
        # the suite itself
        "reports-full",
        "reports-not-writable",
        "two-runs-one-card",
        "key-in-url",
        "killed",
    }
)
