"""Which addresses of the internet protocol are connected to: public ones, and those that the user allows.

A list of URLs comes from somebody else. Without this, it could have the machine that fetches ask servers that only this
machine can reach: its own services, the router, a cloud's metadata service at 169.254.169.254.
"""

import ipaddress
import socket
from collections.abc import Iterable

from odtl.fetching.policy import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# The only IPv6 addresses that are given out for hosts on the internet: RFC 4291, section 2.4, and IANA's registry
# https://www.iana.org/assignments/ipv6-unicast-address-assignments.
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
# The standard library takes these for public: relays of 6to4 (RFC 7526), and examples in texts (RFC 9637).
_NOT_PUBLIC = tuple(map(ipaddress.ip_network, ("192.88.99.0/24", "3fff::/20")))
# RFC 6052: the last four bytes are the IPv4 address that a gateway connects to.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def why_refused(text: str, allowed: Iterable[Network] = ()) -> str:
    """Return why an address must not be connected to ("127.0.0.1 is a loopback address"), or "".

    text:    an address as the system's resolver writes it, such as "10.0.0.1" or "fe80::1%eth0".
    allowed: networks that may be connected to whatever they are.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return f"{text!r} is no address of the internet protocol"
    for reached in _reached(address):
        is_allowed = any(reached in network for network in allowed if network.version == reached.version)
        if not is_allowed and (kind := _kind(reached)):
            return f"{text} is {kind} address"
    return ""


def literal_address(host: str) -> str:
    """Return the address that a host name spells out, in any form that resolvers take, or "" where it is a name.

    "127.0.0.1", "0177.0.0.1", "2130706433" and "0x7f.1" are the same address to most of them.
    """
    name = host.strip("[]").partition("%")[0].removesuffix(".")
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(name)) if name[:1].isdigit() and " " not in name else ""
    except (OSError, ValueError):
        return ""


def _reached(address: Address) -> list[Address]:
    """Return the address, with or without the IPv4 addresses that it leads to through a tunnel or a gateway."""
    if address.version == 4:
        return [address]
    if address.ipv4_mapped:
        return [address.ipv4_mapped]
    if address in _NAT64:
        return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    return [address, *(inner for inner in (address.sixtofour, *(address.teredo or ())) if inner)]


def _kind(address: Address) -> str:
    """Return what kind of address it is, with an article, or "" for a public one."""
    if address.is_loopback:
        return "a loopback"
    if address.is_link_local:
        return "a link-local"
    if address.is_multicast:
        return "a multicast"
    if address.is_unspecified:
        return "an unspecified"
    if address.version == 6 and address not in _GLOBAL_UNICAST and not address.is_private:
        return "a reserved"
    if address.is_reserved:
        return "a reserved"
    if any(address in network for network in _NOT_PUBLIC if network.version == address.version):
        return "a reserved"
    # is_private leaves out what carriers share between customers (100.64.0.0/10); is_global does not.
    return "" if address.is_global else "a private"
