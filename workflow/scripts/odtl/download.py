"""Download one file over HTTP or HTTPS, through the faults that real networks have."""

import email.utils
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
import urllib3
from tqdm import tqdm

from odtl.errors import InputError, Problem, said_by

_CHUNK_BYTES = 1 << 16
# Answers after which another attempt may end better; so may any of 500 and above.
RETRIED_STATUS = {408, 425, 429, 500, 502, 503, 504}


class NotFoundError(InputError):
    """The server answers, and says that it does not have the file."""


@dataclass(frozen=True)
class Policy:
    """How patient a download is.

    attempts:        how often it is tried in all.
    connect_timeout, read_timeout: seconds until a connection stands, and between two pieces of the answer.
    first_wait:      seconds before the second attempt; each further wait is twice as long.
    max_wait:        no wait is longer, whatever the server asks for.
    max_bytes:       a longer answer is refused.
    """

    attempts: int = 6
    connect_timeout: float = 10
    read_timeout: float = 60
    first_wait: float = 1
    max_wait: float = 120
    max_bytes: int = 4 << 30


class _RetryError(Exception):
    """The attempt failed in a way that another one may not; `wait` is what the server asks for, in seconds."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass
class _Partial:
    """What has arrived so far, and the validator by which the server can tell that its file is still the same."""

    path: Path
    validator: str | None = None

    @property
    def size(self) -> int:
        return self.path.stat().st_size


def without_password(url: str) -> str:
    """Return an address without the name and password that may stand in it: fit for messages and results."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def download(
    url: str,
    target: str | os.PathLike,
    policy: Policy | None = None,
    report: Callable[[str], None] = print,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Download `url` to the file `target`, which appears whole or not at all; return the address it came from.

    A name and password in `url` are used, and left out of messages and of what is returned.

    Connections that break, answers that end too early, 5xx, 408, 425 and 429 are tried again, each time after twice
    the wait, or after what Retry-After says (RFC 9110, 10.2.3); what has arrived is kept where the server supports
    ranges and can tell that the file is still the same (If-Range, RFC 9110, 13.1.5).

    policy: see `Policy`; report: takes one line on what happens; sleep: takes seconds.
    Raises NotFoundError for 404 and 410, and InputError for anything else that does not end in a whole file.
    """
    policy = policy or Policy()
    _check_scheme(url, url)
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.", suffix=".part")
    os.close(descriptor)
    partial = _Partial(Path(name))
    try:
        with requests.Session() as session:
            final_url = _attempts(session, url, partial, policy, report, sleep)
        # mkstemp's files are for the owner alone.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, target)
        return final_url
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)


def _attempts(session, url, partial, policy, report, sleep) -> str:
    wait = policy.first_wait
    for attempt in range(1, policy.attempts + 1):
        try:
            return _attempt(session, url, partial, policy, report)
        except _RetryError as failure:
            if attempt == policy.attempts:
                raise _error(url, f"{failure} ({attempt} attempts)", "Check the network, or try later.") from failure
            pause = min(policy.max_wait, max(wait, failure.wait or 0))
            report(f"{without_password(url)}: {failure}; attempt {attempt + 1} of {policy.attempts} in {pause:g} s")
            sleep(pause)
            wait *= 2
    raise AssertionError("a policy has at least one attempt")


def _attempt(session, url, partial, policy, report) -> str:
    # Anything but the bytes as they lie on the server would make their length and sum useless.
    headers = {"Accept-Encoding": "identity"}
    have = partial.size
    if have and partial.validator:
        headers |= {"Range": f"bytes={have}-", "If-Range": partial.validator}
    try:
        timeout = (policy.connect_timeout, policy.read_timeout)
        with session.get(url, headers=headers, stream=True, timeout=timeout) as response:
            _check_scheme(response.url, url)
            _check_status(response, url, partial)
            start = have if response.status_code == 206 else 0
            _check_range(response, start, partial)
            partial.validator = _validator(response)
            _receive(response, url, partial, start, policy, report)
            return without_password(response.url)
    except requests.exceptions.SSLError as error:
        raise _error(url, f"a connection that is not secure ({error})", "Check the address and the clock.") from error
    except (requests.exceptions.ConnectionError, requests.exceptions.Timeout, urllib3.exceptions.HTTPError) as error:
        raise _RetryError(f"the connection broke ({cause(error)})") from error
    except requests.exceptions.RequestException as error:
        raise _error(url, said_by(error), "Check the address.") from error


def _check_scheme(address: str, url: str) -> None:
    if urlsplit(address).scheme not in ("http", "https"):
        raise _error(url, f"the address {without_password(address)}", "Only http and https are downloaded from.")


def _check_status(response: requests.Response, url: str, partial: _Partial) -> None:
    status, answer = response.status_code, f"{response.status_code} {response.reason}"
    if status in (200, 206):
        return
    if status == 416:
        # What has arrived cannot be continued: start over.
        partial.validator = None
        partial.path.write_bytes(b"")
        raise _RetryError(answer)
    if status in RETRIED_STATUS or status >= 500:
        raise _RetryError(answer, retry_after(response.headers.get("Retry-After")))
    if status in (404, 410):
        cure = "The file is not there: check the address, or set a mirror that has it."
        raise NotFoundError(Problem(without_password(url), "download", answer, cure), "The download failed")
    raise _error(url, answer, "Check the address and whether it needs an account.")


def _check_range(response: requests.Response, start: int, partial: _Partial) -> None:
    if response.status_code != 206:
        return
    stated = response.headers.get("Content-Range", "")
    if not stated.startswith(f"bytes {start}-"):
        partial.validator = None
        raise _RetryError(f"another range than the one asked for ({stated or 'none stated'})")


def _receive(response, url, partial, start, policy, report) -> None:
    length = response.headers.get("Content-Length", "")
    expected = start + int(length) if length.isdecimal() else None
    if expected is not None and expected > policy.max_bytes:
        raise _too_large(url, f"{expected:,} bytes", policy)
    size = f"{expected / 1e6:.1f} MB" if expected is not None else "size not stated"
    report(f"{'Continuing' if start else 'Downloading'} {without_password(url)} ({size})")
    arrived = start
    with (
        open(partial.path, "r+b") as stream,
        # None: no bar where there is no terminal.
        tqdm(total=expected, initial=start, unit="B", unit_scale=True, disable=None, leave=False) as bar,
    ):
        stream.seek(start)
        stream.truncate()
        for piece in response.raw.stream(_CHUNK_BYTES, decode_content=False):
            arrived += len(piece)
            if arrived > policy.max_bytes:
                raise _too_large(url, f"more than {policy.max_bytes:,} bytes", policy)
            stream.write(piece)
            bar.update(len(piece))
        stream.flush()
        os.fsync(stream.fileno())
    if expected is not None and arrived != expected:
        raise _RetryError(f"{arrived:,} of {expected:,} bytes")


def _validator(response: requests.Response) -> str | None:
    """Return what If-Range may carry: a strong ETag, or the date of the last change; None where nothing is sure."""
    etag = response.headers.get("ETag", "")
    strong = etag if etag.startswith('"') else None
    return strong or response.headers.get("Last-Modified")


def retry_after(value: str | None) -> float | None:
    """Return the seconds that a Retry-After header (RFC 9110, 10.2.3: seconds or a date) asks for; None for none."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value)
    with suppress(ValueError, TypeError):
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    return None


def cause(error: Exception, longest: int | None = 200) -> str:
    """Return the kind and the words of what lies under the layers that requests and urllib3 put around it."""
    inner = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
    reason = getattr(inner, "reason", None) or inner
    return f"{type(reason).__name__}: {reason}"[:longest]


def _too_large(url: str, found: str, policy: Policy) -> InputError:
    return _error(url, found, f"No more than {policy.max_bytes:,} bytes are taken: check the address.")


def _error(url: str, found: str, cure: str) -> InputError:
    return InputError(Problem(without_password(url), "download", found, cure), "The download failed")
