"""Moves bytes: asks many URLs at one time through libcurl, each once, without following redirects.

libcurl: https://curl.se/libcurl/c/. It asks for each socket (CURLOPT_OPENSOCKETFUNCTION) and says which address it is
about to connect to; so what is checked is what is connected to, whatever a name resolved to before.
"""

import functools
import os
import socket
import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

import pycurl
import requests.certs

from odtl.fetching.addresses import literal_address, why_refused
from odtl.fetching.policy import Policy
from odtl.fetching.urls import Proxies, Target

USER_AGENT = "object-detection-transfer-learning/0.1"
# Larger ones are slower: libcurl goes through the whole of them for each transfer.
_BUFFER_BYTES = 128 << 10
# What may end otherwise on another attempt: no name, no connection, cut off, timed out, TLS or HTTP/2 in disorder.
_PASSING = {
    pycurl.E_COULDNT_RESOLVE_HOST,
    pycurl.E_COULDNT_RESOLVE_PROXY,
    pycurl.E_COULDNT_CONNECT,
    pycurl.E_PARTIAL_FILE,
    pycurl.E_OPERATION_TIMEDOUT,
    pycurl.E_SSL_CONNECT_ERROR,
    pycurl.E_GOT_NOTHING,
    pycurl.E_SEND_ERROR,
    pycurl.E_RECV_ERROR,
    pycurl.E_HTTP2,
    # CURLE_HTTP2_STREAM, which pycurl has no name for.
    92,
}


@dataclass(frozen=True)
class Answer:
    """What came of asking once.

    status:      of the answer; 0 where there was none.
    body:        its bytes, decoded where the server has compressed them; b"" unless they came to their end.
    location:    where it says that the file is instead, or "".
    retry_after: seconds that it asks to wait, 0 for none.
    error:       why there is no whole answer, or "".
    passing:     whether another attempt may end better.
    began:       when it was asked, by `time.monotonic`.
    """

    status: int
    body: bytes = b""
    location: str = ""
    retry_after: float = 0
    error: str = ""
    passing: bool = False
    began: float = 0


class Transfers:
    """Asks URLs, each under a key of the caller's; handles and connections are used again."""

    def __init__(self, policy: Policy) -> None:
        self._policy, self._proxies = policy, Proxies()
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, max(32, 2 * policy.parallel))
        self._idle: list[_Handle] = []
        self._live: dict[pycurl.Curl, _Handle] = {}

    def __len__(self) -> int:
        return len(self._live)

    def start(self, key: Hashable, target: Target) -> None:
        """Ask for a URL; the answer comes from `finished`, never from here."""
        handle = self._idle.pop() if self._idle else _Handle(self._policy)
        handle.prepare(key, target, self._proxies.of(target))
        self._live[handle.curl] = handle
        self._multi.add_handle(handle.curl)

    def finished(self, patience: float) -> Iterator[tuple[Hashable, Answer]]:
        """Wait at most so many seconds for something to happen; yield the keys and answers of what has ended."""
        if self._live and patience > 0:
            self._multi.select(patience)
        self._multi.perform()
        while True:
            left, succeeded, failed = self._multi.info_read()
            ended = [(curl, 0, "") for curl in succeeded] + list(failed)
            for curl, number, words in ended:
                handle = self._live.pop(curl)
                self._multi.remove_handle(curl)
                answer = handle.answer(number, words)
                self._idle.append(handle)
                yield handle.key, answer
            if not left:
                return

    def close(self) -> None:
        """Let go of all connections; what has not ended is given up."""
        for handle in list(self._live.values()):
            self._multi.remove_handle(handle.curl)
        for handle in [*self._live.values(), *self._idle]:
            handle.curl.close()
        self._live, self._idle = {}, []
        self._multi.close()


class _Handle:
    """One of libcurl's easy handles, with what it needs to know of the transfer that it is used for."""

    def __init__(self, policy: Policy) -> None:
        self.curl = curl = pycurl.Curl()
        self.key: Hashable = None
        self._policy = policy
        self._pieces: list[bytes] = []
        self._size = 0
        self._refused: list[str] = []
        self._opened = 0
        self._proxied = False
        self._proxy: str | None = None
        self._began = 0.0
        for option, value in {
            pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
            pycurl.FOLLOWLOCATION: 0,
            pycurl.NOSIGNAL: 1,
            pycurl.USERAGENT: USER_AGENT,
            # Images are compressed already. Who compresses them all the same is understood.
            pycurl.ACCEPT_ENCODING: "identity",
            pycurl.HTTPHEADER: ["Accept: image/*, */*;q=0.5"],
            pycurl.TIMEOUT_MS: int(policy.timeout * 1000),
            pycurl.CONNECTTIMEOUT_MS: int(policy.connect_timeout * 1000),
            pycurl.LOW_SPEED_LIMIT: 1,
            pycurl.LOW_SPEED_TIME: max(1, int(policy.stall_timeout)),
            pycurl.MAXFILESIZE_LARGE: policy.max_bytes,
            pycurl.BUFFERSIZE: _BUFFER_BYTES,
            pycurl.CAINFO: os.environ.get("SSL_CERT_FILE") or requests.certs.where(),
            pycurl.WRITEFUNCTION: self._write,
            pycurl.OPENSOCKETFUNCTION: self._open_socket,
        }.items():
            curl.setopt(option, value)

    def prepare(self, key: Hashable, target: Target, proxy: str) -> None:
        self.key = key
        self._pieces, self._size, self._refused, self._opened = [], 0, [], 0
        self._began = time.monotonic()
        self._proxied = bool(proxy)
        self.curl.setopt(pycurl.URL, target.url)
        if proxy != self._proxy:
            # Said in either case: what libcurl reads from the environment itself must not differ from what is checked.
            self.curl.setopt(pycurl.PROXY, proxy)
            self.curl.setopt(pycurl.NOPROXY, "")
            self._proxy = proxy

    def _write(self, piece: bytes) -> int | None:
        self._size += len(piece)
        if self._size > self._policy.max_bytes:
            return -1
        self._pieces.append(piece)
        return None

    def _open_socket(self, purpose: int, address) -> socket.socket | int:
        # The address of a proxy is the user's own choice.
        if not self._proxied:
            known = address.family in (socket.AF_INET, socket.AF_INET6)
            reason = why_refused(address.addr[0], self._policy.allow_addresses) if known else "no internet address"
            if reason:
                self._refused.append(reason)
                return pycurl.SOCKET_BAD
        self._opened += 1
        return socket.socket(address.family, address.socktype, address.protocol)

    def answer(self, number: int, words: str) -> Answer:
        """Return what came of the transfer: libcurl's number (0 for success) and words of how it ended."""
        status = self.curl.getinfo(pycurl.RESPONSE_CODE)
        pieces, self._pieces = self._pieces, []
        if number == 0:
            location = self.curl.getinfo(pycurl.REDIRECT_URL) or ""
            wait = self.curl.getinfo(pycurl.RETRY_AFTER)
            return Answer(status, b"".join(pieces), location, wait, began=self._began)
        if self._refused and not self._opened:
            return Answer(0, error=f"{self._refused[0]}, which is not connected to: see fetch.allow_addresses")
        if number == pycurl.E_FILESIZE_EXCEEDED or self._size > self._policy.max_bytes:
            return Answer(status, error=f"more than {self._policy.max_bytes:,} bytes (fetch.max_bytes)")
        return Answer(status, error=words or f"libcurl error {number}", passing=number in _PASSING, began=self._began)


@functools.lru_cache(maxsize=10_000)
def refused_before(host: str, policy: Policy) -> str:
    """Return why a URL whose host is a number is not asked for, or "".

    Through a proxy nothing else can be checked: names are resolved, and connections made, by the proxy.
    """
    literal = literal_address(host)
    reason = why_refused(literal, policy.allow_addresses) if literal else ""
    return f"{reason}, which is not connected to: see fetch.allow_addresses" if reason else ""
