"""Addresses of images: what tells one from another, and what of them must not be written down."""

import re
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

# Signatures and what belongs to them: a new one for the same image with every export or answer.
_PASSING = re.compile(
    r"x-(goog|amz)-.*|expires|signature|googleaccessid|awsaccesskeyid|key-pair-id|policy|token|sig|se|sp|sv|sr|st|spr",
    re.IGNORECASE,
)


def stable_url(url: str) -> str:
    """Return an address without what changes from one export to the next: its signature and its fragment."""
    if not any(letter in url for letter in "?#@") and url.isascii() and url.isprintable():
        # Most have nothing to be left out, and there may be many.
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    query = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if not _PASSING.fullmatch(pair[0])]
    netloc = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=netloc, query=urlencode(query), fragment="").geturl()


def version_url(url: str, etag: str = "") -> str:
    """Return what tells an image from another: its address as `stable_url` has it, and an object's etag, if any."""
    return f"{stable_url(url)}#{etag}" if etag else stable_url(url)


def shown_url(url: str) -> str:
    """Return an address as ledgers, logs and messages have it: without name, password and signature."""
    if "?" not in url and "@" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        # No valid address: where its password stands cannot be told.
        return re.sub("//[^/]*@", "//", url)
    pairs = parts.query.split("&")
    kept = [pair for pair in pairs if not _PASSING.fullmatch(unquote_plus(pair.partition("=")[0]))]
    # Put together again only where something is left out: that would alter what is no proper address.
    if len(kept) == len(pairs) and "@" not in parts.netloc:
        return url
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="&".join(kept)).geturl()
