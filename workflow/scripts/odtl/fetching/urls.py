"""What an address must be to be asked for an image, and how it is written where others read it."""

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urljoin, urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment

# What may stand in a path or a query as it is (RFC 3986, sections 3.3 and 3.4), and the percent sign of what is
# encoded already.
_SAFE = "!$&'()*+,/:;=?@[]~%"
_NOT_ENCODED = re.compile("%(?![0-9A-Fa-f]{2})")
_HOST = re.compile(r"[A-Za-z0-9._:-]+")
_PORTS = {"http": 80, "https": 443}
MAX_LENGTH = 8192
# What most are, and what goes over the wire as it is: no name, password, query or fragment, nothing to be encoded.
_PLAIN = re.compile(r"(https?)://([a-z0-9][a-z0-9.-]*)(?::([1-9][0-9]{0,4}))?/[A-Za-z0-9!$&'()*+,/:=@~._-]*")


class UrlError(ValueError):
    """An address that cannot be asked; the words say why."""


@dataclass(frozen=True)
class Target:
    """A URL in the form that goes over the wire.

    url:  in ASCII, without fragment, with the name and password that stood in it.
    host: what limits are counted by: scheme, host name and port.
    name: the host name alone, in ASCII.
    """

    url: str
    host: tuple[str, str, int]
    name: str


def parse(url: str) -> Target:
    """Return a URL as it is asked for: spaces and other letters encoded, the host's name too.

    Raises UrlError for a scheme other than http and https, and for what is no URL.
    """
    text = url.strip()
    if len(text) > MAX_LENGTH:
        raise UrlError(f"an address of {len(text):,} characters")
    if (plain := _PLAIN.fullmatch(text)) and (port := int(plain[3] or _PORTS[plain[1]])) < 2**16:
        return Target(text, (plain[1], plain[2], port), plain[2])
    return _parse(text)


def _parse(text: str) -> Target:
    try:
        parts = urlsplit(text)
        port = parts.port
        host = _ascii_host(parts.hostname or "")
    except ValueError as error:
        raise UrlError(f"no valid URL ({error})") from error
    if parts.scheme not in ("http", "https"):
        raise UrlError(f"the scheme {parts.scheme!r}: only http and https are fetched" if parts.scheme else "no URL")
    if not _HOST.fullmatch(host) or port == 0:
        raise UrlError("no valid URL (its host)")
    bracketed = f"[{host}]" if ":" in host else host
    user = f"{_encode(parts.netloc.rpartition('@')[0])}@" if "@" in parts.netloc else ""
    netloc = f"{user}{bracketed}{'' if port is None else f':{port}'}"
    clean = SplitResult(parts.scheme, netloc, _encode(parts.path) or "/", _encode(parts.query), "").geturl()
    return Target(clean, (parts.scheme, host, port or _PORTS[parts.scheme]), host)


def redirected(target: Target, location: str) -> Target:
    """Return where a redirect leads; a name and password go along only where scheme, host and port are the same.

    Raises UrlError as `parse` does.
    """
    try:
        new = parse(urljoin(target.url, location))
    except UrlError:
        raise
    except ValueError as error:
        raise UrlError(f"no valid URL ({error})") from error
    secret = urlsplit(target.url).netloc.rpartition("@")[0]
    if secret and new.host == target.host and "@" not in urlsplit(new.url).netloc:
        parts = urlsplit(new.url)
        return Target(parts._replace(netloc=f"{secret}@{parts.netloc}").geturl(), new.host, new.name)
    return new


class Proxies:
    """The proxies that the environment sets (http_proxy, https_proxy, all_proxy, no_proxy), as they are now."""

    def __init__(self) -> None:
        self._proxies = getproxies_environment()

    def of(self, target: Target) -> str:
        """Return the proxy for a URL, or ""."""
        proxy = self._proxies.get(target.host[0]) or self._proxies.get("all") or ""
        return "" if not proxy or proxy_bypass_environment(target.name, self._proxies) else proxy


def _encode(text: str) -> str:
    return _NOT_ENCODED.sub("%25", quote(text, safe=_SAFE))


def _ascii_host(host: str) -> str:
    # The codec refuses what is too long, which is fine, and the dot of a literal IPv6 address is none of its business.
    return host if host.isascii() else host.encode("idna").decode("ascii")
