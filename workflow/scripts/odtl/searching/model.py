"""What a provider of searches is, and what it finds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Settings = Mapping[str, Any]
# Where a search stands: what tells one page from another, in the provider's own terms.
State = Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """One image that a search found.

    url:     of the image's file.
    license: as the provider states it, "" where it states none; license_url: of its text.
    source:  the page that shows the image, "" where none is known.
    tags:    words that people have put to it.
    width, height: in pixels as stated, None where they are not.
    """

    url: str
    license: str = ""
    license_url: str = ""
    source: str = ""
    title: str = ""
    creator: str = ""
    tags: tuple[str, ...] = ()
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True)
class Page:
    """One answer: the images in it, and the state that asks for the next page; None where there is no further one."""

    found: tuple[Found, ...]
    following: State | None


@dataclass(frozen=True)
class Refusal:
    """What a provider says in place of results.

    again: whether asking once more after a wait can help; None: as the HTTP status says.
    cure:  what to do, a full sentence; "" for what usually helps with the HTTP status.
    """

    text: str
    again: bool | None = None
    cure: str = ""


@dataclass(frozen=True)
class Provider:
    """A place to search for images. Its functions are pure: they see no key, and ask nothing themselves.

    name, base: as in the configuration; the address that its paths are appended to.
    keys:       query parameter -> the environment variable with its value.
    keys_from:  where a key is to be had.
    pause:      seconds between two requests, as its limits for clients without an account ask for.
    first:      the state that asks for the first page, given the settings.
    request:    path and query parameters (without keys), given settings and state.
    read:       the page, given an answer, settings and state.
    refusal:    what an answer says in place of results, or None where it has results. Both may raise KeyError,
                TypeError, ValueError or AttributeError for an answer that is not as documented.
    """

    name: str
    base: str
    first: Callable[[Settings], State]
    request: Callable[[Settings, State], tuple[str, Mapping[str, str]]]
    read: Callable[[Any, Settings, State], Page]
    refusal: Callable[[Mapping[str, Any]], Refusal | None]
    keys: Mapping[str, str] = field(default_factory=dict)
    keys_from: str = ""
    pause: float = 0


def text(value: Any) -> str:
    """Return a text on one line, without what cannot be printed; "" for anything that is no text."""
    if not isinstance(value, str):
        return ""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in value).split())


def pixels(value: Any) -> int | None:
    """Return a width or height; None for anything that is no positive whole number."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
