"""A whole search: page after page, until there are as many images as asked for or no more."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests

from odtl.download import Policy
from odtl.files import write_csv
from odtl.searching import google, openverse, tumblr, wikimedia
from odtl.searching.asking import POLICY, UNDOCUMENTED, Asker, user_agent
from odtl.searching.model import Found, Page, Refusal, Settings
from odtl.searching.secrets import read_secrets

PROVIDERS = {each.PROVIDER.name: each.PROVIDER for each in (google, tumblr, openverse, wikimedia)}
# What a list of addresses may have, then what else a search knows.
COLUMNS = (
    *("url", "class", "license", "source", "split"),
    *("provider", "title", "creator", "tags", "width", "height", "license_url"),
)


def search(
    settings: Settings,
    environment: Mapping[str, str] = os.environ,
    base: str | None = None,
    policy: Policy = POLICY,
    report: Callable[[str], None] = print,
    sleep: Callable[[float], None] = time.sleep,
) -> list[dict[str, Any]]:
    """Return the images that a search finds, in the provider's order, as rows of `COLUMNS`; each address once.

    settings:    of one search, as config/README.md has them under `searches`.
    environment: where keys are looked up. No key is in what is returned, reported, logged or raised.
    base:        the address in place of the provider's own.
    policy, report, sleep: see `Asker`.
    Raises InputError where a key is missing, and for any answer that is no result: a part of a list is never returned.
    """
    provider = PROVIDERS[settings["provider"]]
    secrets = read_secrets(provider, environment)
    found: dict[str, Found] = {}
    unusable = 0
    with requests.Session() as session, secrets.hidden_from_logs():
        session.headers["User-Agent"] = user_agent(environment)
        asker = Asker(provider, secrets, session, base or provider.base, policy, report, sleep)
        for page in _pages(asker, settings):
            for image in page.found:
                if _usable(image.url):
                    found.setdefault(image.url, image)
                else:
                    unusable += 1
            report(f"{provider.name}: {len(found)} of at most {settings['max_results']} images")
            if len(found) >= settings["max_results"]:
                break
    if unusable:
        report(f"{provider.name}: {unusable} left out, whose address is not one of http or https")
    if not found:
        report(f"{provider.name}: nothing was found; other words, or no filter by licence, may find more")
    images = list(found.values())[: settings["max_results"]]
    return [{key: _hidden(value, secrets.hide) for key, value in _row(image, settings).items()} for image in images]


def search_images(settings: Settings, path: str | os.PathLike, **options: Any) -> int:
    """Write what `search` finds to a CSV, whole or not at all; return how many images that are. options: its own."""
    rows = search(settings, **options)
    write_csv(path, COLUMNS, rows)
    return len(rows)


def _pages(asker: Asker, settings: Settings) -> Iterator[Page]:
    provider = asker.provider
    state = provider.first(settings)
    seen: list[object] = []
    while state is not None:
        if seen:
            asker.sleep(provider.pause)
        seen.append(dict(state))
        page = _read(asker, asker.ask(*provider.request(settings, state)), settings, state)
        yield page
        # A provider that points back would be asked for ever.
        state = page.following if page.following not in seen else None


def _read(asker: Asker, answer: Any, settings: Settings, state: Mapping[str, Any]) -> Page:
    try:
        return asker.provider.read(answer, settings, state)
    except UNDOCUMENTED as error:
        found = f"an answer that is not as documented ({type(error).__name__}: {error})"
        failure = asker.error(Refusal(found, cure="The provider may have changed: see what it documents today."))
    raise failure


def _usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _row(image: Found, settings: Settings) -> dict[str, Any]:
    return {
        "url": image.url,
        "class": settings.get("class") or "",
        "license": image.license,
        "source": image.source or settings["provider"],
        "split": settings.get("split") or "",
        "provider": settings["provider"],
        "title": image.title,
        "creator": image.creator,
        "tags": "; ".join(image.tags),
        "width": image.width,
        "height": image.height,
        "license_url": image.license_url,
    }


def _hidden(value: Any, hide: Callable[[str], str]) -> Any:
    return hide(value) if isinstance(value, str) else value
