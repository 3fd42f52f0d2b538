"""Openverse: openly licensed images of many collections; no key is needed.

https://api.openverse.org/v1/ (parameters, answers) and
https://docs.openverse.org/api/reference/authentication_and_throttling.html (limits).

Who has no account gets 20 images a page and 20 pages at most, 20 requests a minute and 200 a day.
"""

from collections.abc import Mapping
from typing import Any

from odtl.searching.model import Found, Page, Provider, Refusal, Settings, State, pixels, text

PAGE_SIZE = 20
MOST_PAGES = 20
_NAMES = {"cc0": "CC0", "pdm": "Public Domain Mark"}


def first(settings: Settings) -> State:
    """Ask for the first page."""
    return {"page": 1}


def request(settings: Settings, state: State) -> tuple[str, Mapping[str, str]]:
    """Ask for one page; `license` is a list of codes such as by-sa, joined by commas."""
    parameters = {"q": settings["query"], "page": str(state["page"]), "page_size": str(PAGE_SIZE)}
    if settings.get("license"):
        parameters["license"] = ",".join(settings["license"])
    return "/images/", parameters


def read(answer: Mapping[str, Any], settings: Settings, state: State) -> Page:
    """Read `results`; `page_count` says how many pages can be had."""
    found = tuple(
        Found(
            url=text(result["url"]),
            license=_license(text(result.get("license")), text(result.get("license_version"))),
            license_url=text(result.get("license_url")),
            source=text(result.get("foreign_landing_url")),
            title=text(result.get("title")),
            creator=text(result.get("creator")),
            tags=tuple(filter(None, (text(tag.get("name")) for tag in result.get("tags") or ()))),
            width=pixels(result.get("width")),
            height=pixels(result.get("height")),
        )
        for result in answer["results"]
    )
    more = state["page"] < min(answer["page_count"], MOST_PAGES)
    return Page(found, {"page": state["page"] + 1} if more else None)


def refusal(answer: Mapping[str, Any]) -> Refusal | None:
    """Read `detail`, a text, or for a wrong parameter a mapping from its name to what is wrong with it."""
    detail = answer.get("detail")
    if detail is None:
        return None
    return Refusal(text(detail) or text(str(detail)))


def _license(code: str, version: str) -> str:
    return f"{_NAMES.get(code, f'CC {code.upper()}')} {version}".strip() if code else ""


PROVIDER = Provider(
    name="openverse",
    base="https://api.openverse.org/v1",
    first=first,
    request=request,
    read=read,
    refusal=refusal,
    pause=3,
)
