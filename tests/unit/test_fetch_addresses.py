"""Only public addresses are connected to, however they are written; URLs are encoded on the wire, bare in ledgers."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odtl.fetching import urls
from odtl.fetching.addresses import literal_address, why_refused
from odtl.fetching.urls import Proxies, UrlError, parse, redirected
from odtl.origins import shown_url


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "a loopback"),
        ("127.255.0.3", "a loopback"),
        ("::1", "a loopback"),
        ("10.1.2.3", "a private"),
        ("172.16.0.1", "a private"),
        ("192.168.0.1", "a private"),
        ("192.88.99.1", "a reserved"),
        ("3fff::1", "a reserved"),
        ("100.64.0.1", "a private"),
        ("fd00::1", "a private"),
        ("169.254.169.254", "a link-local"),
        ("fe80::1%eth0", "a link-local"),
        ("224.0.0.1", "a multicast"),
        ("ff02::1", "a multicast"),
        ("0.0.0.0", "an unspecified"),
        ("::", "an unspecified"),
        ("240.0.0.1", "a reserved"),
        ("255.255.255.255", "a reserved"),
        ("fec0::1", "a reserved"),
        ("192.0.2.1", "a private"),
        ("2001:db8::1", "a private"),
        # IPv4 inside IPv6: mapped, compatible, by a NAT64 gateway, by 6to4.
        ("::ffff:127.0.0.1", "a loopback"),
        ("::ffff:10.0.0.1", "a private"),
        ("::127.0.0.1", "a reserved"),
        ("64:ff9b::7f00:1", "a loopback"),
        ("2002:7f00:1::", "a loopback"),
    ],
)
def test_refused(address, kind):
    assert why_refused(address) == f"{address} is {kind} address"


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"]
)
def test_public(address):
    assert why_refused(address) == ""


def test_allowed_networks():
    networks = tuple(map(ipaddress.ip_network, ["127.0.0.0/8", "fd00::/8"]))
    assert why_refused("127.0.0.1", networks) == why_refused("::ffff:127.0.0.1", networks) == ""
    assert why_refused("fd00::5", networks) == ""
    assert why_refused("10.0.0.1", networks) == "10.0.0.1 is a private address"
    assert why_refused("::1", networks) == "::1 is a loopback address"
    assert "no address" in why_refused("localhost", networks)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "127.1", "0177.0x0.1"]
)
def test_spellings_of_one_address(host):
    assert literal_address(host) == "127.0.0.1"


def test_names_are_no_addresses():
    assert literal_address("[::1]") == "::1"
    for host in ("localhost", "a.org", "", "1.a", "999.1.1.1.1", "127.0.0.1 x"):
        assert literal_address(host) == ""


@pytest.mark.parametrize(
    ("url", "wire"),
    [
        (" http://A.org ", "http://a.org/"),
        ("HTTP://a.org:8080/x y/ü.jpg?q=a b#frag", "http://a.org:8080/x%20y/%C3%BC.jpg?q=a%20b"),
        ("https://a.org/100%.jpg", "https://a.org/100%25.jpg"),
        ("https://a.org/a%20b", "https://a.org/a%20b"),
        ("https://bücher.example/x", "https://xn--bcher-kva.example/x"),
        ("http://me:p%40ss@a.org/", "http://me:p%40ss@a.org/"),
        ("http://a.org\\@b.org/", "http://a.org%5C@b.org/"),
        ("http://[2606:4700::1111]:81/x", "http://[2606:4700::1111]:81/x"),
        ("http://a.org/../../etc/passwd", "http://a.org/../../etc/passwd"),
    ],
)
def test_url_on_the_wire(url, wire):
    assert parse(url).url == wire


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://a.org/x",
        "gopher://a.org",
        "x",
        "",
        "http://",
        "http:///x",
        "http://a b/",
        "http://a.org:99999/",
        "http://a.org:0/",
        "http://[",
        "http://a\r\nHost: b/",
        "http://" + "a" * 9000,
        "http://" + "ü" * 300,
    ],
)
def test_no_url(url):
    with pytest.raises(UrlError):
        parse(url)


_PIECES = [
    "http",
    "https",
    "://",
    "a.org",
    "A.org",
    "127.0.0.1",
    "[::1]",
    "-",
    ":",
    "80",
    "65535",
    "65536",
    "08",
    "0",
    "/",
    "//",
]


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.sampled_from([*_PIECES, "x.jpg", "..", "%41", "%", " ", "?a=1", "#b", "@", ";p", "é", "\t"]), max_size=9
    )
)
def test_plain_addresses_are_what_all_others_are(pieces):
    """The short way for most gives what the long one does."""
    text = "".join(["http://a.org", *pieces] if len(pieces) % 2 else pieces).strip()
    try:
        expected = urls._parse(text)
    except UrlError as error:
        expected = str(error)
    try:
        found = parse(text)
    except UrlError as error:
        found = str(error)
    assert found == expected


def test_password_goes_along_to_the_same_host_only():
    target = parse("https://me:secret@a.org/x")
    assert redirected(target, "/y").url == "https://me:secret@a.org/y"
    assert redirected(target, "https://b.org/y").url == "https://b.org/y"
    assert redirected(target, "http://a.org/y").url == "http://a.org/y"
    for location in ("file:///etc/passwd", "http://[", "javascript:x"):
        with pytest.raises(UrlError):
            redirected(target, location)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:secret@a.org/x?w=1", "https://a.org/x?w=1"),
        ("https://a.org/x?w=a+b&X-Amz-Signature=secret&h", "https://a.org/x?w=a+b&h"),
        ("https://a.org/x?a=%zz&&b", "https://a.org/x?a=%zz&&b"),
        ("https://a.org/x?token=secret", "https://a.org/x"),
        ("http://me:secret@[", "http://["),
    ],
)
def test_what_is_written_down_has_no_secrets(url, shown):
    assert shown_url(url) == shown


def test_proxy_of_the_environment(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert Proxies().of(parse("http://a.org/")) == ""
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "b.org")
    assert Proxies().of(parse("http://a.org/")) == "http://proxy:3128"
    assert Proxies().of(parse("http://x.b.org/")) == Proxies().of(parse("https://a.org/")) == ""
