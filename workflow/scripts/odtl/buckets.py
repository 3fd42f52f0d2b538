"""Objects in S3 buckets: their addresses, a listing of them, and what one of them holds.

An address is `s3://{bucket}/{key}`. Whatever speaks S3 will do: AWS itself, or another server that AWS_ENDPOINT_URL_S3
names. Endpoint, region and credentials are the environment's, as boto3 reads it (AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_DEFAULT_REGION, or the machine's role): nothing of them is ever
configured, told or kept.

What is needed for it is optional (`make s3`): boto3.
"""

import importlib
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from odtl.errors import InputError, Problem

SCHEME = "s3://"
# What may stand in a key without being written another way.
_SAFE = "/-_.~!*'()+,=: &$;"
_CONNECT_SECONDS = 10


class BucketError(Exception):
    """What a bucket refused, or why it cannot be asked.

    passing: whether another attempt may end better.
    """

    def __init__(self, found: str, passing: bool = False) -> None:
        super().__init__(found)
        self.passing = passing


class Listed(NamedTuple):
    """One object, as a listing has it.

    etag: what differs as soon as its bytes do, without quotation marks; size: in bytes; mtime: ns since the epoch.
    """

    key: str
    etag: str
    size: int
    mtime: int


def in_bucket(path: object) -> bool:
    """Say whether a path is the address of a bucket, or of something in one."""
    return isinstance(path, str) and path.startswith(SCHEME)


def split_address(address: str) -> tuple[str, str]:
    """Return bucket and key (or prefix, "" for the whole bucket) of an address as the configuration has it.

    ValueError where it names no bucket, or has a name and password, which belong in the environment.
    """
    bucket, _, key = address.removeprefix(SCHEME).partition("/")
    if not bucket or "@" in bucket:
        raise ValueError("s3://{bucket}/{prefix} is expected; credentials are read from the environment alone")
    return bucket, key


def object_url(bucket: str, key: str) -> str:
    """Return the address of an object, with what has a meaning in addresses (`?`, `#`, `@`, `%`) encoded."""
    return f"{SCHEME}{bucket}/{quote(key, safe=_SAFE, errors='surrogatepass')}"


def object_of(url: str) -> tuple[str, str]:
    """Return bucket and key of an object, by the address that `object_url` made."""
    bucket, _, key = url.removeprefix(SCHEME).partition("/")
    return bucket, unquote(key, errors="surrogatepass")


class Client:
    """Asks a server that speaks S3. Its functions may be called by several threads.

    page_size: objects for each request of a listing, 1,000 at most.
    parallel: requests at one time; attempts: how often each is made in all; timeout: seconds without a byte.

    InputError where boto3 is not installed.
    """

    page_size = 1000

    def __init__(self, parallel: int = 16, attempts: int = 4, timeout: float = 20) -> None:
        session, config = _optional("boto3.session"), _optional("botocore.config")
        self._exceptions = _optional("botocore.exceptions")
        with self._told():
            self._client = session.Session().client(
                "s3",
                config=config.Config(
                    max_pool_connections=parallel,
                    connect_timeout=_CONNECT_SECONDS,
                    read_timeout=timeout,
                    retries={"total_max_attempts": attempts, "mode": "standard"},
                    # Servers other than AWS know no newer checksums.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                ),
            )

    def listing(self, bucket: str, prefix: str) -> Iterator[Listed]:
        """Yield the objects whose keys begin with `prefix`, in the order of their keys: 1,000 for each request."""
        with self._told():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=prefix, PaginationConfig={"PageSize": self.page_size}
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    mtime = int(entry["LastModified"].timestamp()) * 10**9
                    yield Listed(entry["Key"], entry["ETag"].strip('"'), entry["Size"], mtime)

    def read(self, bucket: str, key: str, etag: str = "", max_bytes: int | None = None) -> bytes:
        """Return what an object holds.

        etag: what it must have, "" for whatever it has. BucketError where it has another one, or more than `max_bytes`.
        """
        condition = {"IfMatch": f'"{etag}"'} if etag else {}
        with self._told():
            answer = self._client.get_object(Bucket=bucket, Key=key, **condition)
            with answer["Body"] as body:
                # Not every server knows the condition.
                if etag and answer["ETag"].strip('"') != etag:
                    raise BucketError(_CHANGED)
                if max_bytes is not None and answer["ContentLength"] > max_bytes:
                    raise BucketError(f"more than {max_bytes:,} bytes (fetch.max_bytes)")
                return body.read()

    def _told(self) -> "_Told":
        return _Told(self._exceptions)


_CHANGED = "another etag than it had when the bucket was listed: run again"
_WORDS = {"NoSuchBucket": "no such bucket", "NoSuchKey": "no such object", "404": "no such object or bucket"}


class _Told:
    """Makes of what boto3 raises a BucketError, which names no credentials."""

    def __init__(self, exceptions: Any) -> None:
        self._exceptions = exceptions

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, self._exceptions.ClientError):
            code = str(error.response.get("Error", {}).get("Code", ""))
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if code in ("PreconditionFailed", "412"):
                raise BucketError(_CHANGED) from None
            raise BucketError(_WORDS.get(code, f"the answer {code or status}"), passing=status >= 500) from None
        if isinstance(error, self._exceptions.NoCredentialsError | self._exceptions.PartialCredentialsError):
            found = "no credentials in the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
            raise BucketError(found) from None
        if isinstance(error, self._exceptions.BotoCoreError):
            raise BucketError(" ".join(str(error).split()), passing=True) from None


def _optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        cure = "`make s3` installs it; or use folders instead of s3:// addresses."
        raise InputError(
            Problem("config", "s3://", f"{name.partition('.')[0]} not installed ({error})", cure),
            "A bucket cannot be asked",
        ) from error
