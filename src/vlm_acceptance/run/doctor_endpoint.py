"""What can be known of a running endpoint in seconds: protocol, certificate, server, routes, model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from vlm_acceptance.client.chat import get
from vlm_acceptance.client.http import Client
from vlm_acceptance.config.profile import Profile
from vlm_acceptance.core.exchange import Exchange, Request
from vlm_acceptance.core.text import trimmed
from vlm_acceptance.engine import endpoint
from vlm_acceptance.engine.diagnosis import FAILURE, OK, WARNING, Line, Probe
from vlm_acceptance.engine.endpoint import DAY_S, MODELS, PROBE_S
from vlm_acceptance.engine.readiness import in_short, listed_models, model_card, short_json

RENEW_DAYS = 14
ABSENT = (403, 404, 405)
# route -> what the suite does without it
ROUTES = {
    "/health": "if a gateway passes /v1 alone: --vlm-set=endpoint.only_v1=true",
    "/tokenize": "leave it out: --vlm-set='api.routes=[completions, responses]'",
    "/metrics": "the figures of the engine are not read; --vlm-set='metrics=[]' expects none",
    "/version": "the verdict names no version of the server",
}


class EndpointDoctor:
    """Probes of the endpoint of `client`; `profile` is the one of --vlm-profile, `fitting` finds those of its models.

    `proposed` is a profile of two lines when no profile fits.
    """

    def __init__(
        self, client: Client, profile: Profile | None, fitting: Callable[[Sequence[str]], list[str]], only_v1: bool
    ) -> None:
        self.client = client
        self.profile = profile
        self.fitting = fitting
        self.only_v1 = only_v1
        self.proposed: str | None = None
        self._listed: Exchange | None = None
        self._models: list[str] = []

    def probes(self) -> list[Probe]:
        """All of them; the later ones have no lines if the endpoint lists no models."""
        routes = [Probe(f"route {path}", self._asking(path)) for path in ROUTES]
        profile = [] if self.profile is None else [Probe("profile", self.of_profile)]
        return [
            *profile,
            Probe("connection", self.of_connection),
            Probe("certificate", self.of_certificate),
            Probe("server", self.of_server),
            *routes,
            Probe("models", self.of_models),
        ]

    def of_profile(self) -> Iterator[Line]:
        """It was read and checked."""
        assert self.profile is not None
        yield Line("profile", OK, self.profile.name)

    def of_connection(self) -> Iterator[Line]:
        """It answers by the given protocol, to this key, with a list of models."""
        exchange = self.client.send(get(MODELS, PROBE_S))
        if wrong := endpoint.obstacle(self.client, exchange):
            yield Line(wrong.check, FAILURE, str(wrong))
            return
        self._listed, self._models = exchange, listed_models(exchange) or []
        through = ", through the proxy of the environment" if self.client.proxy else ""
        protocol = self.client.base_url.partition(":")[0]
        took = f"{MODELS} took {exchange.elapsed_s * 1000:.0f} ms"
        yield Line("connection", OK, f"{self.client.base_url} answers by {protocol}{through}; {took}")

    def of_certificate(self) -> Iterator[Line]:
        """The certificate, which was accepted, stays valid for some time."""
        if self._listed is None or not self.client.base_url.startswith("https:"):
            return
        if self.client.proxy:
            yield Line("certificate", OK, "accepted; its last day cannot be read through a proxy")
            return
        try:
            ends_s = endpoint.certificate_ends_s(self.client)
        except (OSError, ValueError) as broken:
            yield Line("certificate", WARNING, f"accepted, but its last day could not be read ({broken}): ask again")
            return
        if ends_s is None:
            yield Line("certificate", OK, "accepted, without a last day")
        elif ends_s < RENEW_DAYS * DAY_S:
            yield Line("certificate", WARNING, f"it expires in {ends_s / DAY_S:.1f} days: let it be renewed")
        else:
            yield Line("certificate", OK, f"accepted, valid for {ends_s / DAY_S:.0f} more days")

    def of_server(self) -> Iterator[Line]:
        """vLLM answers, also from behind a gateway."""
        if self._listed is None:
            return
        server = endpoint.server_of(self._listed)
        if server.engine == "vLLM":
            yield Line("server", OK, str(server))
        elif server.engine:
            yield Line("server", WARNING, f"{server}: the tests are those of vLLM, others may fail for that alone")
        else:
            remedy = "if it is not vLLM, tests may fail for that alone"
            yield Line("server", WARNING, f"{server}, which does not say that it is vLLM: {remedy}")

    def of_models(self) -> Iterator[Line]:
        """It serves the model of the profile, or one that some profile deploys."""
        if self._listed is None:
            return
        serves = f"serves [{in_short(self._models)}]"
        if self.profile is not None:
            yield from self._of_given_profile(self.profile, serves)
        elif not self._models:
            yield Line("models", FAILURE, f"it {serves}: no model is loaded; see the log of the server")
        elif names := self.fitting(self._models):
            yield Line("models", OK, f"{serves}; profiles that deploy it: {', '.join(names)}")
        else:
            self.proposed, command = endpoint.two_lines(self._models[0])
            file = command.rpartition(" > ")[2]
            remedy = f"two lines are enough: {command}, then --vlm-profile={file}"
            yield Line("models", WARNING, f"{serves}, which no profile deploys: {remedy}")

    def _of_given_profile(self, profile: Profile, serves: str) -> Iterator[Line]:
        wanted = (profile.model.id, *profile.model.aliases)
        served = next((name for name in wanted if name in self._models), None)
        if served is None:
            remedy = "correct --vlm-profile, model.aliases, or the URL"
            yield Line("models", FAILURE, f"it {serves}, not {profile.model.id!r} of {profile.name}: {remedy}")
            return
        assert self._listed is not None
        room = model_card(self._listed, served, ("max_model_len",))["max_model_len"]
        stated = profile.model.max_model_len
        if isinstance(room, int) and stated is not None and room < stated:
            remedy = f"start it with --max-model-len {stated}, or --vlm-set=model.max_model_len={room}"
            yield Line("models", WARNING, f"{served} has {room} tokens of context, the profile says {stated}: {remedy}")
        else:
            yield Line("models", OK, f"{served}, that of {profile.name}; context {room or 'not shown'}")

    def _asking(self, path: str) -> Callable[[], Iterator[Line]]:
        def find() -> Iterator[Line]:
            if self._listed is None or (self.only_v1 and not path.startswith("/v1")):
                return
            yield self._of_route(path)

        return find

    def _of_route(self, path: str) -> Line:
        check = f"route {path}"
        if path == "/tokenize":
            body = {"model": self._models[0] if self._models else "", "prompt": "a"}
            exchange = self.client.send(Request("POST", path, body, deadline_s=PROBE_S))
        else:
            exchange = self.client.send(get(path, PROBE_S))
        if exchange.error is not None:
            why = f"{exchange.error.kind}: {exchange.error.message[:120]}"
            return Line(check, WARNING, f"no answer ({why}): ask again, and see the log of the server")
        if exchange.status == 200:
            shown = f": {trimmed(short_json(exchange), 80)}" if path == "/version" else ""
            return Line(check, OK, f"HTTP 200{shown}")
        if exchange.status in ABSENT:
            return Line(check, WARNING, f"not offered (HTTP {exchange.status}): {ROUTES[path]}")
        remedy = "see the log of the server"
        status = FAILURE if path == "/health" else WARNING
        return Line(check, status, f"HTTP {exchange.status}, {trimmed(exchange.body[:80], 80)}: {remedy}")
