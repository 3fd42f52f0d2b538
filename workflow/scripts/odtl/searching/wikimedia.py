"""Wikimedia Commons, by the MediaWiki Action API; no key is needed.

https://www.mediawiki.org/wiki/API:Search (generator=search), https://www.mediawiki.org/wiki/API:Imageinfo
(extmetadata), https://www.mediawiki.org/wiki/API:Continue, https://www.mediawiki.org/wiki/Manual:Maxlag_parameter, and
https://foundation.wikimedia.org/wiki/Policy:Wikimedia_Foundation_User-Agent_Policy.

The search itself knows no licences: `license` is compared with what each file's page states.
"""

import html
import re
from collections.abc import Mapping
from typing import Any

from odtl.searching.model import Found, Page, Provider, Refusal, Settings, State, pixels, text

PAGE_SIZE = 50
# `filetype:bitmap` includes formats that are not read here, such as XCF.
_TYPES = {"image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "image/tiff"}
_WANTED = "LicenseShortName|LicenseUrl|License|Artist|ObjectName|Categories"


def first(settings: Settings) -> State:
    """Ask for the first page."""
    return {}


def request(settings: Settings, state: State) -> tuple[str, Mapping[str, str]]:
    """Ask for files (namespace 6) with what is known of them; `state`: what the answer before said to continue with."""
    return "", {
        "action": "query",
        "format": "json",
        "formatversion": "2",
        "generator": "search",
        "gsrsearch": f"filetype:bitmap {settings['query']}",
        "gsrnamespace": "6",
        "gsrlimit": str(PAGE_SIZE),
        "prop": "imageinfo",
        "iiprop": "url|size|mime|extmetadata",
        "iiextmetadatafilter": _WANTED,
        "iiextmetadatalanguage": "en",
        # To be refused, and wait, while the servers are behind.
        "maxlag": "5",
        **{key: str(value) for key, value in state.items()},
    }


def read(answer: Mapping[str, Any], settings: Settings, state: State) -> Page:
    """Read the files, in order of how well they fit; a page of results has no `query` where nothing was found."""
    pages = sorted(answer.get("query", {}).get("pages", []), key=lambda page: page.get("index", 0))
    infos = [(page, info) for page in pages for info in page.get("imageinfo", [])]
    wanted = set(settings.get("license") or ())
    found = tuple(
        _found(page, info)
        for page, info in infos
        if info.get("mime") in _TYPES and (not wanted or license_code(_value(info, "License")) in wanted)
    )
    following = answer.get("continue")
    return Page(found, None if following is None else dict(following))


def refusal(answer: Mapping[str, Any]) -> Refusal | None:
    """Read `error`, which comes with the HTTP status 200, too."""
    error = answer.get("error")
    if not isinstance(error, Mapping):
        return None
    code, info = text(error.get("code")), text(error.get("info"))
    return Refusal(f"{code}: {info}", again=True if code in ("maxlag", "ratelimited", "readonly") else None)


def license_code(name: str) -> str:
    """Return by, by-sa, cc0 or pdm for a licence as Commons names it ("cc-by-sa-4.0", "pd-old"); else its name."""
    name = name.lower()
    if name.startswith("pd") or name == "public domain":
        return "pdm"
    found = re.match(r"(?:cc-)?(cc0|by(?:-(?:sa|nc|nd))*)(?=-|$)", name)
    return found[1] if found else name


def _found(page: Mapping[str, Any], info: Mapping[str, Any]) -> Found:
    return Found(
        url=text(info["url"]),
        license=_value(info, "LicenseShortName"),
        license_url=_value(info, "LicenseUrl"),
        source=text(info.get("descriptionurl")),
        title=_value(info, "ObjectName") or text(page.get("title")).removeprefix("File:"),
        creator=_value(info, "Artist"),
        tags=tuple(filter(None, map(str.strip, _value(info, "Categories").split("|")))),
        width=pixels(info.get("width")),
        height=pixels(info.get("height")),
    )


def _value(info: Mapping[str, Any], name: str) -> str:
    """Return one value of `extmetadata`, which are HTML, as a text."""
    value = (info.get("extmetadata") or {}).get(name, {}).get("value")
    return text(html.unescape(re.sub(r"<[^<>]*>", " ", value))) if isinstance(value, str) else ""


PROVIDER = Provider(
    name="wikimedia",
    base="https://commons.wikimedia.org/w/api.php",
    first=first,
    request=request,
    read=read,
    refusal=refusal,
    # One request after the other is what its etiquette asks for, https://www.mediawiki.org/wiki/API:Etiquette.
    pause=1,
)
