"""How patient, how greedy and how trusting a fetch is."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Policy:
    """How images are fetched.

    parallel:        transfers at one time.
    per_host:        of these, how many from one host.
    timeout:         seconds that one answer may take in all; a redirect is an answer.
    connect_timeout: seconds until a connection stands.
    stall_timeout:   seconds without a single byte.
    attempts:        how often an address is tried in all.
    first_wait:      seconds before the second attempt; each further wait is twice as long.
    max_wait:        no wait is longer, whatever the server asks for.
    max_bytes:       a longer answer is refused.
    max_redirects:   how many redirects are followed.
    allow_addresses: networks that may be connected to though they are not public.
    """

    parallel: int = 16
    per_host: int = 6
    timeout: float = 60
    connect_timeout: float = 10
    stall_timeout: float = 20
    attempts: int = 4
    first_wait: float = 1
    max_wait: float = 60
    max_bytes: int = 32 << 20
    max_redirects: int = 5
    allow_addresses: tuple[Network, ...] = ()

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "Policy":
        """Return the policy that the section `fetch` of the configuration describes."""
        networks = tuple(map(ipaddress.ip_network, settings["allow_addresses"]))
        keys = ("parallel", "per_host", "timeout", "attempts", "max_bytes")
        return cls(**{key: settings[key] for key in keys}, allow_addresses=networks)
