"""One request to a provider of searches, through the faults that networks and limits bring."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import requests
import urllib3

from odtl.download import RETRIED_STATUS, Policy, cause, retry_after
from odtl.errors import InputError, Problem
from odtl.searching.model import Provider, Refusal
from odtl.searching.secrets import Secrets

# An answer is some ten kilobytes; what is much longer is none.
POLICY = Policy(attempts=5, read_timeout=60, first_wait=2, max_bytes=16 << 20)
PROJECT = "object-detection-transfer-learning"
_CHUNK_BYTES = 1 << 16
# What reading an answer may raise where it is not as documented.
UNDOCUMENTED = (KeyError, TypeError, ValueError, AttributeError)
# However slowly the pieces of an answer arrive, in seconds.
_LONGEST = 300
_CURES = {
    400: "The provider does not take the search: compare its settings with config/README.md.",
    401: "Check the key: whether it is right, and may be used for this search.",
    403: "Check the key: whether it is right, and may be used for this search.",
    404: "Check the name of the blog, or what else the search names.",
    410: "The provider no longer offers this search.",
    429: "Wait as long as is asked for, then run again; or ask for fewer results.",
}


@dataclass(frozen=True)
class _Answer:
    """What came back: status and reason, the body, its type, and the seconds to wait that are asked for."""

    status: int
    reason: str
    body: bytes
    kind: str
    wait: float | None


@dataclass(frozen=True)
class Asker:
    """Asks one provider, one request after the other.

    base: the address in place of the provider's own. policy: see `download.Policy`; max_wait is how long a provider may
    ask to be waited for. report: takes one line on what happens; sleep: takes seconds.
    """

    provider: Provider
    secrets: Secrets
    session: requests.Session
    base: str
    policy: Policy
    report: Callable[[str], None]
    sleep: Callable[[float], None]

    def ask(self, path: str, parameters: Mapping[str, str]) -> Any:
        """Return the content of the provider's answer.

        What a wait may help with is tried again, each time after twice the wait, or after what Retry-After says.
        Raises InputError, without a key in it, for all that does not end in results.
        """
        wait = self.policy.first_wait
        for attempt in range(1, self.policy.attempts + 1):
            # Nothing below is raised while an error of the HTTP library is handled: that would be kept as the context,
            # with the whole address in it.
            answer = self._exchange(path, parameters)
            outcome = Refusal(answer, again=True) if isinstance(answer, str) else self._judge(answer)
            if not isinstance(outcome, Refusal):
                return outcome
            asked = answer.wait or 0 if isinstance(answer, _Answer) else 0
            if not outcome.again or attempt == self.policy.attempts:
                raise self.error(outcome)
            if asked > self.policy.max_wait:
                raise self.error(Refusal(f"{outcome.text}, and to wait for {asked:.0f} s", cure=_CURES[429]))
            pause = min(self.policy.max_wait, max(wait, asked))
            self.report(
                self.secrets.hide(f"{self.provider.name}: {outcome.text}; attempt {attempt + 1} in {pause:g} s")
            )
            self.sleep(pause)
            wait *= 2
        raise AssertionError("a policy has at least one attempt")

    def error(self, refusal: Refusal) -> InputError:
        """Return an error that says what the provider said."""
        cure = refusal.cure or "Check the network, or try later."
        found = self.secrets.hide(refusal.text)[:500]
        return InputError(Problem(self.provider.name, "search", found, cure), "The search failed")

    def _exchange(self, path: str, parameters: Mapping[str, str]) -> _Answer | str:
        """Return what came back, or what broke, as a text."""
        timeout = (self.policy.connect_timeout, self.policy.read_timeout)
        options = {"params": {**parameters, **self.secrets.parameters}, "timeout": timeout}
        try:
            # A redirect could carry the key elsewhere, and no provider needs one.
            with self.session.get(self.base + path, stream=True, allow_redirects=False, **options) as response:
                kind = response.headers.get("Content-Type", "").partition(";")[0] or "a body of unstated type"
                wait = retry_after(response.headers.get("Retry-After"))
                body = _body(response, self.policy.max_bytes)
                return _Answer(response.status_code, response.reason or "", body, kind, wait)
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, TimeoutError) as error:
            return f"the connection broke ({cause(error, None)})"

    def _judge(self, answer: _Answer) -> Any:
        """Return an answer's content, or the refusal that it is."""
        try:
            content = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            content = None
        status = f"{answer.status} {answer.reason}".strip()
        busy = answer.status in RETRIED_STATUS or answer.status >= 500
        cure = _CURES.get(answer.status, "")
        said = self._refusal(content) if isinstance(content, Mapping) else None
        if said:
            prefix = "" if answer.status == 200 else f"{status}: "
            again = busy if said.again is None else said.again
            return Refusal(f"{prefix}{said.text}", again, said.cure or cure)
        if answer.status != 200:
            return Refusal(f"the answer {status}", busy, cure)
        if not isinstance(content, Mapping):
            if len(answer.body) > self.policy.max_bytes:
                return Refusal(f"an answer of more than {self.policy.max_bytes:,} bytes", again=False)
            # Hidden before it is cut: half a key would not be found any more.
            start = self.secrets.hide(answer.body[:4096].decode("utf-8", "replace"))[:80]
            cure = "It may be the page of a network that wants a log-in, or of a proxy: see what a browser shows."
            return Refusal(f"{answer.kind} instead of JSON: {start!r}", again=False, cure=cure)
        return content

    def _refusal(self, content: Mapping[str, Any]) -> Refusal | None:
        try:
            return self.provider.refusal(content)
        except UNDOCUMENTED:
            return Refusal("an error that is not as documented")


def user_agent(environment: Mapping[str, str] = os.environ) -> str:
    """Return how the requests name this project, and whoever runs it: SEARCH_CONTACT, a mail address or a web page."""
    contact = environment.get("SEARCH_CONTACT", "").strip()
    agent = f"{PROJECT} ({contact})" if contact.isascii() and contact.isprintable() and contact else PROJECT
    return f"{agent} python-requests/{requests.__version__}"


def _body(response: requests.Response, most: int) -> bytes:
    """Return an answer's body, of one that is too long only the start."""
    end, pieces, size = time.monotonic() + _LONGEST, [], 0
    for piece in response.iter_content(_CHUNK_BYTES):
        pieces.append(piece)
        size += len(piece)
        if size > most:
            break
        if time.monotonic() > end:
            raise TimeoutError(f"the answer is not whole after {_LONGEST} s")
    return b"".join(pieces)
