"""Fetches images that lie in buckets: each object once, in the version that the inventory has listed."""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

from odtl.buckets import BucketError, Client, object_of
from odtl.fetching.client import Outcome, UnfitError
from odtl.fetching.policy import Policy

T = TypeVar("T")


def fetch_objects(etags: Mapping[str, str], policy: Policy, keep: Callable[[str, bytes], T]) -> Iterator[Outcome[T]]:
    """Yield the outcome of each object, as they come in.

    etags: address of an object -> the etag that it must have, "" for any.
    keep:  as for `Client` of `fetching.client`.

    The endpoint is the user's own choice, in the environment: `allow_addresses` does not concern it.
    InputError where boto3 is not installed.
    """
    client = Client(policy.parallel, 1, policy.stall_timeout)

    def fetch(url: str) -> Outcome[T]:
        bucket, key = object_of(url)
        for attempt in itertools.count(1):
            try:
                return Outcome(url, url, keep(url, client.read(bucket, key, etags[url], policy.max_bytes)))
            except (BucketError, UnfitError) as error:
                if not error.passing or attempt == policy.attempts:
                    return Outcome(url, url, None, str(error))
            time.sleep(min(policy.first_wait * 2 ** (attempt - 1), policy.max_wait))

    with ThreadPoolExecutor(policy.parallel) as pool:
        try:
            for future in as_completed([pool.submit(fetch, url) for url in etags]):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)
