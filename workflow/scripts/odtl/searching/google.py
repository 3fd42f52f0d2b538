"""Google Programmable Search, by the Custom Search JSON API.

https://developers.google.com/custom-search/v1/reference/rest/v1/cse/list (parameters) and .../v1/Search (answers).

It returns 10 images a page and no more than 100 in all, and 100 queries a day are free. It states no licence for an
image: `license` filters by what Google believes (parameter `rights`).
"""

from collections.abc import Mapping
from typing import Any

from odtl.searching.model import Found, Page, Provider, Refusal, Settings, State, pixels, text

PAGE_SIZE = 10
MOST = 100


def first(settings: Settings) -> State:
    """Ask for the first page; results are counted from 1."""
    return {"start": 1}


def request(settings: Settings, state: State) -> tuple[str, Mapping[str, str]]:
    """Ask for the results from `start` on."""
    parameters = {
        "q": settings["query"],
        "searchType": "image",
        "num": str(min(PAGE_SIZE, settings["max_results"], MOST + 1 - state["start"])),
        "start": str(state["start"]),
    }
    if settings.get("license"):
        parameters["rights"] = "|".join(settings["license"])
    return "", parameters


def read(answer: Mapping[str, Any], settings: Settings, state: State) -> Page:
    """Read `items`, which is not there where nothing was found, and where `queries.nextPage` starts."""
    found = tuple(
        Found(
            url=text(item["link"]),
            source=text(item.get("image", {}).get("contextLink")),
            title=text(item.get("title")),
            width=pixels(item.get("image", {}).get("width")),
            height=pixels(item.get("image", {}).get("height")),
        )
        for item in answer.get("items", [])
    )
    following = next(iter(answer.get("queries", {}).get("nextPage", [])), {}).get("startIndex", MOST + 1)
    return Page(found, {"start": following} if found and following <= MOST else None)


def refusal(answer: Mapping[str, Any]) -> Refusal | None:
    """Read `error`: a quota for a day does not come back while one waits, one for a minute does."""
    error = answer.get("error")
    if not isinstance(error, Mapping):
        return None
    details = [each for each in error.get("errors") or [] if isinstance(each, Mapping)]
    reasons = {text(each.get("reason")) for each in details}
    message = text(error.get("message")) or "an error without a message"
    if "dailyLimitExceeded" in reasons or "per day" in message:
        cure = "The queries of the day are used up: run again tomorrow, or see to the quota in Google's console."
        return Refusal(message, again=False, cure=cure)
    # Google answered limits of a minute with 403 before it used 429.
    brief = bool(reasons & {"rateLimitExceeded", "userRateLimitExceeded"})
    return Refusal(message, again=True if brief else None)


PROVIDER = Provider(
    name="google",
    base="https://customsearch.googleapis.com/customsearch/v1",
    first=first,
    request=request,
    read=read,
    refusal=refusal,
    keys={"key": "GOOGLE_API_KEY", "cx": "GOOGLE_CSE_ID"},
    keys_from="https://developers.google.com/custom-search/v1/introduction",
)
