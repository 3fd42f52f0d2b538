"""Tumblr, by its API v2: posts with a tag, or the posts of a blog.

https://github.com/tumblr/docs/blob/master/api.md (/tagged, /posts, errors, limits) and npf-spec.md (posts in blocks).

Posts come in two forms, and both are read: legacy photo posts with `photos`, and the Neue Post Format, blocks in
`content` and, of those who posted before, in `trail`. The latter is asked for: as a legacy post, one that was written
in blocks hides its images in HTML. The API states no licence.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from odtl.searching.model import Found, Page, Provider, Refusal, Settings, State, pixels, text

PAGE_SIZE = 20


def first(settings: Settings) -> State:
    """Ask for the newest posts."""
    return {"offset": 0} if settings.get("blog") else {}


def request(settings: Settings, state: State) -> tuple[str, Mapping[str, str]]:
    """Ask for posts of a blog from `offset` on, or for those with a tag `before` a time."""
    parameters = {"limit": str(PAGE_SIZE), "npf": "true", **{key: str(value) for key, value in state.items()}}
    if settings.get("tag"):
        parameters["tag"] = settings["tag"]
    return (f"/blog/{settings['blog']}/posts" if settings.get("blog") else "/tagged"), parameters


def read(answer: Mapping[str, Any], settings: Settings, state: State) -> Page:
    """Read the images of all posts, and where the next page begins."""
    content = answer["response"]
    posts = content["posts"] if settings.get("blog") else content
    found = tuple(image for post in posts for image in _images(post))
    if not posts:
        return Page(found, None)
    if settings.get("blog"):
        offset = state["offset"] + len(posts)
        return Page(found, {"offset": offset} if offset < content.get("total_posts", offset + 1) else None)
    # Posts under a featured tag are ordered by when they were featured.
    last = posts[-1]
    return Page(found, {"before": last.get("featured_timestamp") or last["timestamp"]})


def refusal(answer: Mapping[str, Any]) -> Refusal | None:
    """Read `meta` and `errors`."""
    meta = answer.get("meta")
    if not isinstance(meta, Mapping) or meta.get("status") == 200:
        return None
    errors = [each for each in answer.get("errors") or [] if isinstance(each, Mapping)]
    details = [text(each.get("detail")) or text(each.get("title")) for each in errors]
    return Refusal(": ".join(filter(None, [text(meta.get("msg")), *details])) or "an error without a message")


def _images(post: Mapping[str, Any]) -> Iterator[Found]:
    about = {
        "source": text(post.get("post_url")),
        "title": text(post.get("summary")),
        "creator": text(post.get("blog_name")),
        "tags": tuple(filter(None, map(text, post.get("tags") or ()))),
    }
    for photo in post.get("photos") or ():
        yield _found(photo["original_size"], about)
    for part in (post, *(post.get("trail") or ())):
        for block in part.get("content") or ():
            # In a legacy post, a trail's content is HTML.
            if isinstance(block, Mapping) and block.get("type") == "image":
                yield _found(max(block["media"], key=_rank), about)


def _rank(media: Mapping[str, Any]) -> tuple[bool, int]:
    """Rank the sizes of one image: the original one first, then the largest."""
    return bool(media.get("has_original_dimensions")), (pixels(media.get("width")) or 0)


def _found(media: Mapping[str, Any], about: Mapping[str, Any]) -> Found:
    return Found(text(media["url"]), width=pixels(media.get("width")), height=pixels(media.get("height")), **about)


PROVIDER = Provider(
    name="tumblr",
    base="https://api.tumblr.com/v2",
    first=first,
    request=request,
    read=read,
    refusal=refusal,
    keys={"api_key": "TUMBLR_API_KEY"},
    keys_from="https://www.tumblr.com/oauth/apps (the OAuth consumer key)",
    # 300 calls a minute are allowed.
    pause=0.25,
)
