"""Searches: each provider against a real server that answers in its documented form, and what goes wrong on the way."""

import contextlib
import csv
import json
import logging
import socket
import struct
import traceback
from urllib.parse import parse_qs, quote, quote_plus, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import respond, serving, status

from odtl.annotations import url_list
from odtl.annotations.model import Origin
from odtl.download import Policy
from odtl.errors import InputError
from odtl.searching import COLUMNS, PROVIDERS, search, search_images
from odtl.searching.asking import UNDOCUMENTED, user_agent
from odtl.searching.model import Page, Refusal
from odtl.searching.wikimedia import license_code

KEY = "s3cr3t/Key+of=mine"
KEYS = {"GOOGLE_API_KEY": KEY, "GOOGLE_CSE_ID": "0123:engine", "TUMBLR_API_KEY": KEY}
QUICK = Policy(attempts=3, connect_timeout=2, read_timeout=2, first_wait=1, max_wait=60, max_bytes=1 << 20)
GOOGLE = {"provider": "google", "query": "red mug", "max_results": 30, "class": "mug"}
TAGGED = {"provider": "tumblr", "tag": "star wars", "max_results": 30}
BLOG = {"provider": "tumblr", "blog": "droids.tumblr.com", "max_results": 30}
OPENVERSE = {"provider": "openverse", "query": "raccoon", "max_results": 50, "license": ["by", "cc0"], "split": "test"}
COMMONS = {"provider": "wikimedia", "query": "peach tree", "max_results": 50}


def answer(content, number=200, **headers):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return lambda handler: respond(handler, number, body, **{"Content_Type": "application/json", **headers})


def run(server, wanted, environment=KEYS, policy=QUICK):
    """Return rows, reported lines and waits of a search at a server."""
    lines, waits = [], []
    rows = search(wanted, environment, server.base, policy, lines.append, waits.append)
    return rows, lines, waits


def asked(server):
    """Return path and parameters of each request that a server got."""
    parts = [urlsplit(request.path) for request in server.requests]
    return [(part.path, {key: value[0] for key, value in parse_qs(part.query).items()}) for part in parts]


# Google: https://developers.google.com/custom-search/v1/reference/rest/v1/Search


def google_page(first, count, following=None):
    items = [
        {
            "kind": "customsearch#result",
            "title": f"Mug {number}",
            "link": f"https://images.example/{number}.jpg",
            "mime": "image/jpeg",
            "image": {"contextLink": f"https://shop.example/{number}", "height": 480, "width": 640, "byteSize": 1},
        }
        for number in range(first, first + count)
    ]
    queries = {"request": [{"totalResults": "4000", "count": count, "startIndex": first}]}
    if following:
        queries["nextPage"] = [{"totalResults": "4000", "count": 10, "startIndex": following}]
    return {"kind": "customsearch#search", "queries": queries, "items": items}


def test_google_goes_from_page_to_page():
    with serving(answer(google_page(1, 10, 11)), answer(google_page(11, 2))) as server:
        rows, lines, waits = run(server, {**GOOGLE, "license": ["cc_publicdomain", "cc_attribute"]})
        requests = asked(server)
    parameters = {"q": "red mug", "searchType": "image", "num": "10", "rights": "cc_publicdomain|cc_attribute"}
    keys = {"key": KEY, "cx": "0123:engine"}
    assert requests == [("/", {**parameters, "start": start, **keys}) for start in ("1", "11")]
    assert len(rows) == 12
    assert rows[11] == {
        "url": "https://images.example/12.jpg",
        "class": "mug",
        "license": "",
        "source": "https://shop.example/12",
        "split": "",
        "provider": "google",
        "title": "Mug 12",
        "creator": "",
        "tags": "",
        "width": 640,
        "height": 480,
        "license_url": "",
    }
    assert lines == ["google: 10 of at most 30 images", "google: 12 of at most 30 images"]
    assert waits == [0]


def test_google_ends_at_what_was_asked_for_and_at_a_hundred():
    with serving(answer(google_page(1, 10, 11)), answer(google_page(11, 10, 21))) as server:
        rows, _, _ = run(server, {**GOOGLE, "max_results": 14})
        assert [row["title"] for row in rows[-2:]] == ["Mug 13", "Mug 14"]
        assert len(server.requests) == 2
    pages = [answer(google_page(start, 10, start + 10)) for start in range(1, 101, 10)]
    with serving(*pages) as server:
        rows, _, _ = run(server, {**GOOGLE, "max_results": 100})
        assert len(rows) == 100
        assert [parameters["start"] for _, parameters in asked(server)] == [str(start) for start in range(1, 101, 10)]


def test_nothing_found_is_said_and_gives_a_table_with_its_header(tmp_path):
    empty = {"kind": "customsearch#search", "queries": {"request": [{"totalResults": "0"}]}}
    lines = []
    with serving(answer(empty)) as server:
        options = {"base": server.base, "environment": KEYS, "report": lines.append}
        assert search_images(GOOGLE, tmp_path / "mugs.csv", **options) == 0
    assert (tmp_path / "mugs.csv").read_text() == ",".join(COLUMNS) + "\n"
    assert lines[-1].startswith("google: nothing was found")


def google_error(code, message, reason, state):
    errors = [{"message": message, "domain": "global", "reason": reason}]
    return answer({"error": {"code": code, "message": message, "errors": errors, "status": state}}, code)


def test_google_key_that_is_not_valid_is_told_and_not_tried_again():
    message = "API key not valid. Please pass a valid API key."
    with serving(google_error(400, message, "badRequest", "INVALID_ARGUMENT")) as server:
        with pytest.raises(InputError, match=r"400 Bad Request: API key not valid"):
            run(server, GOOGLE)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("code", "message", "reason"),
    [
        (429, "Quota exceeded for quota metric 'Queries' and limit 'Queries per day' of service", "rateLimitExceeded"),
        (403, "Daily Limit Exceeded", "dailyLimitExceeded"),
    ],
)
def test_google_quota_of_the_day_is_not_waited_for(code, message, reason):
    with serving(google_error(code, message, reason, "RESOURCE_EXHAUSTED")) as server:
        with pytest.raises(InputError, match=r"queries of the day are used up"):
            run(server, GOOGLE)
        assert len(server.requests) == 1


def test_google_limit_of_a_minute_is_waited_for():
    busy = google_error(403, "Rate Limit Exceeded", "rateLimitExceeded", "PERMISSION_DENIED")
    with serving(busy, answer(google_page(1, 3))) as server:
        rows, lines, waits = run(server, GOOGLE)
    assert len(rows) == 3
    assert waits == [1]
    assert lines[0] == "google: 403 Forbidden: Rate Limit Exceeded; attempt 2 in 1 s"


# Tumblr: https://github.com/tumblr/docs/blob/master/api.md and npf-spec.md


def post(number, **content):
    return {
        "id": number,
        "blog_name": "droids",
        "post_url": f"https://droids.tumblr.com/post/{number}",
        "timestamp": 1_600_000_000 - number,
        "summary": f"Post\n{number}",
        "tags": ["Star Wars", "R2-D2"],
        **content,
    }


def photo(name, width=1280, height=960):
    sizes = [{"url": f"https://64.media.example/{name}_500.jpg", "width": 500, "height": 375}]
    return {
        "caption": "",
        "alt_sizes": sizes,
        "original_size": {"url": f"https://64.media.example/{name}_1280.jpg", "width": width, "height": height},
    }


def block(name):
    """An image as the Neue Post Format has it: the original need not be the first of its sizes."""
    media = [
        {"type": "image/jpeg", "url": f"https://64.media.example/{name}/s640.jpg", "width": 640, "height": 480},
        {
            **{"type": "image/jpeg", "url": f"https://64.media.example/{name}/s1280.jpg", "width": 1280, "height": 960},
            "has_original_dimensions": True,
        },
    ]
    return {"type": "image", "media": media, "alt_text": ""}


def tumblr(response):
    return answer({"meta": {"status": 200, "msg": "OK"}, "response": response})


def test_tumblr_posts_with_a_tag_in_both_forms():
    legacy = post(1, type="photo", photos=[photo("a"), photo("b", 800, 600)], trail=[{"content": "<p>html</p>"}])
    reblog = post(
        2, type="blocks", content=[{"type": "text", "text": "look"}, block("c")], trail=[{"content": [block("d")]}]
    )
    quotation = post(3, type="quote", text="no image", featured_timestamp=1_555_555_555)
    with serving(tumblr([legacy, reblog, quotation]), tumblr([post(4, photos=[photo("a")])]), tumblr([])) as server:
        rows, _, waits = run(server, TAGGED)
        requests = asked(server)
    shared = {"tag": "star wars", "limit": "20", "npf": "true", "api_key": KEY}
    befores = [{}, {"before": "1555555555"}, {"before": "1599999996"}]
    assert requests == [("/tagged", {**shared, **before}) for before in befores]
    names = ["a_1280.jpg", "b_1280.jpg", "c/s1280.jpg", "d/s1280.jpg"]
    assert [row["url"] for row in rows] == [f"https://64.media.example/{name}" for name in names]
    assert [(row["width"], row["height"]) for row in rows] == [(1280, 960), (800, 600), (1280, 960), (1280, 960)]
    assert rows[1] == {
        **{"url": "https://64.media.example/b_1280.jpg", "class": "", "license": "", "split": "", "license_url": ""},
        **{"source": "https://droids.tumblr.com/post/1", "provider": "tumblr", "title": "Post 1", "creator": "droids"},
        **{"tags": "Star Wars; R2-D2", "width": 800, "height": 600},
    }
    assert waits == [0.25, 0.25]


def test_tumblr_blog_is_paged_by_offset_and_its_tag_is_kept():
    pages = [[post(n, content=[block(str(n))]) for n in numbers] for numbers in (range(20), range(20, 23))]
    with serving(*(tumblr({"blog": {}, "posts": posts, "total_posts": 23}) for posts in pages)) as server:
        rows, _, _ = run(server, {**BLOG, "tag": "r2-d2"})
        requests = asked(server)
    assert len(rows) == 23
    shared = {"tag": "r2-d2", "limit": "20", "npf": "true", "api_key": KEY}
    assert requests == [("/blog/droids.tumblr.com/posts", {**shared, "offset": offset}) for offset in ("0", "20")]


def test_tumblr_that_points_back_ends():
    same = tumblr([post(1, content=[block("a")])])
    with serving(same) as server:
        rows, _, _ = run(server, TAGGED)
        assert len(server.requests) == 2
    assert len(rows) == 1


@pytest.mark.parametrize(
    ("number", "body", "found"),
    [
        (401, {"title": "Unauthorized", "code": 1016, "detail": "Unable to authorize"}, "Unable to authorize"),
        (404, {"title": "Not Found", "code": 0, "detail": "Do, or do not."}, "Do, or do not"),
    ],
)
def test_tumblr_errors_are_told(number, body, found):
    content = {"meta": {"status": number, "msg": body["title"]}, "response": [], "errors": [body]}
    with serving(answer(content, number)) as server:
        with pytest.raises(InputError, match=found) as caught:
            run(server, BLOG)
        assert len(server.requests) == 1
    assert caught.value.problems[0].cure.startswith("Check the")


def test_tumblr_limit_is_waited_for_as_long_as_it_says():
    limit = answer({"meta": {"status": 429, "msg": "Limit Exceeded"}, "response": []}, 429, Retry_After="30")
    with serving(limit, limit, tumblr([])) as server:
        _, lines, waits = run(server, TAGGED)
    assert waits == [30, 30]
    assert "Limit Exceeded; attempt 2 in 30 s" in lines[0]


# Openverse: https://api.openverse.org/v1/


def openverse(numbers, pages):
    results = [
        {
            "id": f"0000-{number}",
            "title": "Raccoon\tat night",
            "foreign_landing_url": f"https://flickr.example/{number}",
            "url": f"https://live.example/{number}.jpg",
            "creator": "Ann O.",
            "license": "cc0" if number == 1 else "by-sa",
            "license_version": "1.0" if number == 1 else "2.0",
            "license_url": "https://creativecommons.org/licenses/by-sa/2.0/",
            "tags": [{"accuracy": None, "name": "animal"}, {"name": "night"}],
            "height": 768,
            "width": 1024,
        }
        for number in numbers
    ]
    return {"result_count": 10_000, "page_count": pages, "page_size": 20, "page": 1, "results": results}


def test_openverse_pages_and_licences():
    with serving(answer(openverse(range(1, 21), 2)), answer(openverse(range(21, 31), 2))) as server:
        rows, _, waits = run(server, OPENVERSE, environment={})
        requests = asked(server)
    shared = {"q": "raccoon", "page_size": "20", "license": "by,cc0"}
    assert requests == [("/images/", {**shared, "page": page}) for page in ("1", "2")]
    assert len(rows) == 30
    assert rows[0]["license"] == "CC0 1.0"
    assert rows[29] == {
        **{"url": "https://live.example/30.jpg", "class": "", "license": "CC BY-SA 2.0", "split": "test"},
        **{"source": "https://flickr.example/30", "provider": "openverse", "title": "Raccoon at night"},
        **{"creator": "Ann O.", "tags": "animal; night", "width": 1024, "height": 768},
        **{"license_url": "https://creativecommons.org/licenses/by-sa/2.0/"},
    }
    # 20 requests a minute are allowed.
    assert waits == [3]


def test_openverse_is_not_asked_beyond_its_twentieth_page():
    pages = [answer(openverse([number], 500)) for number in range(1, 22)]
    with serving(*pages) as server:
        rows, _, _ = run(server, {**OPENVERSE, "max_results": 400})
        assert len(server.requests) == 20
    assert len(rows) == 20


@pytest.mark.parametrize(
    ("number", "detail", "found"),
    [
        (400, {"license": ["License 'x' does not exist."]}, "License 'x' does not exist"),
        (401, "Authentication credentials were not provided.", "Authentication credentials"),
    ],
)
def test_openverse_errors_are_told(number, detail, found):
    with serving(answer({"detail": detail}, number)) as server, pytest.raises(InputError, match=found):
        run(server, OPENVERSE)


def test_a_provider_that_asks_to_wait_for_hours_is_not_waited_for():
    throttled = {"detail": "Request was throttled. Expected available in 40000 seconds."}
    with serving(answer(throttled, 429, Retry_After="40000")) as server:
        with pytest.raises(InputError, match=r"to wait for 40000 s\. Wait as long as is asked for"):
            run(server, OPENVERSE)
        assert len(server.requests) == 1


# Wikimedia Commons: https://www.mediawiki.org/wiki/API:Imageinfo


def commons(index, name, license_id, short, mime="image/jpeg"):
    metadata = {
        "LicenseShortName": {"value": short, "source": "commons-desc-page", "hidden": ""},
        "License": {"value": license_id},
        "LicenseUrl": {"value": "https://creativecommons.org/licenses/by-sa/4.0"},
        "Artist": {"value": '<a href="//commons.wikimedia.org/wiki/User:Bo" title="User:Bo">Bo &amp; Co</a>'},
        "ObjectName": {"value": f"{name} in bloom"},
        "Categories": {"value": "Peaches|Trees in May"},
    }
    info = {
        **{"size": 12345, "width": 3000, "height": 2000, "mime": mime, "extmetadata": metadata},
        "url": f"https://upload.example/{name}.jpg",
        "descriptionurl": f"https://commons.example/wiki/File:{name}.jpg",
    }
    return {"pageid": index, "ns": 6, "title": f"File:{name}.jpg", "index": index, "imageinfo": [info]}


FIRST = {
    "continue": {"gsroffset": 50, "continue": "gsroffset||"},
    # In the order of page ids, as the API gives them; `index` is the order of the results.
    "query": {
        "pages": [
            commons(2, "Second", "pd", "Public domain"),
            commons(1, "First", "cc-by-sa-4.0", "CC BY-SA 4.0"),
            commons(3, "Plan", "cc0", "CC0", "image/x-xcf"),
        ]
    },
}
LAST = {"batchcomplete": True, "query": {"pages": [commons(51, "Third", "cc-by-2.0", "CC BY 2.0")]}}


def test_wikimedia_continues_as_it_is_told():
    with serving(answer(FIRST), answer(LAST)) as server:
        rows, _, waits = run(server, COMMONS, environment={"SEARCH_CONTACT": "me@lab.example"})
        requests = asked(server)
        agents = {request.headers["User-Agent"] for request in server.requests}
    assert [row["title"] for row in rows] == ["First in bloom", "Second in bloom", "Third in bloom"]
    assert rows[0] == {
        **{"url": "https://upload.example/First.jpg", "class": "", "license": "CC BY-SA 4.0", "split": ""},
        **{"source": "https://commons.example/wiki/File:First.jpg", "provider": "wikimedia", "title": "First in bloom"},
        **{"creator": "Bo & Co", "tags": "Peaches; Trees in May", "width": 3000, "height": 2000},
        **{"license_url": "https://creativecommons.org/licenses/by-sa/4.0"},
    }
    (path, parameters), (_, further) = requests
    assert path == "/"
    assert parameters["gsrsearch"] == "filetype:bitmap peach tree"
    assert (parameters["gsrnamespace"], parameters["maxlag"], parameters["formatversion"]) == ("6", "5", "2")
    assert "gsroffset" not in parameters
    assert (further["gsroffset"], further["continue"]) == ("50", "gsroffset||")
    assert agents == {user_agent({"SEARCH_CONTACT": "me@lab.example"})}
    assert next(iter(agents)).startswith("object-detection-transfer-learning (me@lab.example) python-requests/")
    assert waits == [1]


def test_wikimedia_licences_are_filtered():
    with serving(answer(FIRST), answer(LAST)) as server:
        rows, _, _ = run(server, {**COMMONS, "license": ["pdm", "by"]})
    assert [row["license"] for row in rows] == ["Public domain", "CC BY 2.0"]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        *[("cc-by-sa-4.0", "by-sa"), ("cc-by-2.0", "by"), ("cc-by-sa-3.0-de", "by-sa"), ("cc0", "cc0")],
        *[("pd", "pdm"), ("pd-old-100", "pdm"), ("gfdl", "gfdl"), ("bye", "bye"), ("", "")],
    ],
)
def test_licence_names_of_commons(name, code):
    assert license_code(name) == code


def test_wikimedia_that_lags_is_waited_for_though_its_status_is_fine():
    lag = {"error": {"code": "maxlag", "info": "Waiting for 10.64.16.7: 5.4 seconds lagged.", "lag": 5.4}}
    with serving(answer(lag, Retry_After="5", X_Database_Lag="5"), answer(LAST)) as server:
        rows, lines, waits = run(server, COMMONS)
    assert len(rows) == 1
    assert waits == [5]
    assert lines[0] == "wikimedia: maxlag: Waiting for 10.64.16.7: 5.4 seconds lagged.; attempt 2 in 5 s"


def test_wikimedia_error_is_no_empty_result():
    error = {"error": {"code": "badvalue", "info": 'Unrecognized value for parameter "generator": x.'}}
    with serving(answer(error)) as server, pytest.raises(InputError, match="badvalue: Unrecognized value"):
        run(server, COMMONS)


# What goes wrong with any of them


def reset(handler):
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def cut(handler):
    respond(handler, 200, b'{"items": [', Content_Length="1000")


# A key that the end of what is shown of an answer cuts in two.
def halved(handler):
    respond(handler, 200, f"<html>{'x' * 60}{KEY}".encode(), Content_Type="text/html")


# An answer that repeats the address that it was asked for, as some do.
def echo(number):
    return lambda handler: respond(handler, number, f"<html>{handler.path}</html>".encode(), Content_Type="text/html")


def echo_error(number):
    def error(handler):
        message = f"Bad request: {handler.path} {KEY}"
        body = {"error": {"code": number, "message": message}, "meta": {"status": number, "msg": message}}
        respond(handler, number, json.dumps(body).encode())

    return error


@pytest.mark.parametrize(
    ("fault", "found", "attempts"),
    [
        (echo(200), "text/html instead of JSON", 1),
        (halved, "text/html instead of JSON", 1),
        (echo(503), "503", 3),
        (echo(403), "403 Forbidden", 1),
        (echo(410), "no longer offers", 1),
        (status(302, Location="http://127.0.0.1:9/elsewhere"), "302 Found", 1),
        (reset, "connection broke", 3),
        (cut, "connection broke", 3),
        (answer(b"[1, 2]"), "instead of JSON", 1),
        (answer(b'"text"'), "instead of JSON", 1),
        (answer(b"[" * 100_000), "instead of JSON", 1),
        (answer(b" " * ((1 << 20) + 1)), "more than 1,048,576 bytes", 1),
        (answer({"response": 5, "items": 5}), "not as documented", 1),
        (answer({"response": [{}], "items": [{}]}), "not as documented", 1),
        (echo_error(400), "400", 1),
        (echo_error(503), "503", 3),
    ],
)
@pytest.mark.parametrize("wanted", [GOOGLE, TAGGED], ids=["google", "tumblr"])
def test_faults_end_in_an_error_that_holds_no_key(tmp_path, caplog, capfd, wanted, fault, found, attempts):
    caplog.set_level(logging.DEBUG)
    lines = []
    with serving(fault) as server, pytest.raises(InputError) as caught:
        options = {"environment": KEYS, "base": server.base, "policy": QUICK, "sleep": lambda seconds: None}
        search_images(wanted, tmp_path / "found.csv", report=lines.append, **options)
    assert found in str(caught.value)
    assert len(server.requests) == attempts
    assert list(tmp_path.iterdir()) == []
    check_no_key(everything(caught.value), "\n".join(lines), caplog.text, *capfd.readouterr())


def test_a_server_that_is_not_there_and_one_that_is_silent():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        base = f"http://127.0.0.1:{silent.getsockname()[1]}"
        policy = Policy(attempts=2, connect_timeout=0.3, read_timeout=0.3, first_wait=0)
        with pytest.raises(InputError, match="connection broke") as late:
            search(GOOGLE, KEYS, base, policy, lambda line: None)
    with pytest.raises(InputError, match=r"connection broke.*refused") as absent:
        search(GOOGLE, KEYS, base, policy, lambda line: None)
    check_no_key(everything(late.value), everything(absent.value))


def test_the_key_is_not_in_results_or_debug_logs(tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    # The client of Kubernetes makes it quieter for the whole process.
    caplog.set_level(logging.DEBUG, logger="urllib3")
    page = google_page(1, 1)
    page["items"][0] |= {"title": f"as asked for with {KEY}", "link": f"https://x.example/?k={quote(KEY, safe='')}"}
    with serving(answer(page)) as server:
        search_images(GOOGLE, tmp_path / "found.csv", environment=KEYS, base=server.base)
        assert quote_plus(KEY) in server.requests[0].path
    text = (tmp_path / "found.csv").read_text()
    assert "as asked for with ***" in text
    # The HTTP library has told of the address, without the key.
    assert "searchType=image" in caplog.text
    assert "key=***" in caplog.text
    check_no_key(text, caplog.text, *capfd.readouterr())


def everything(error):
    """Return all that a traceback, with contexts, and any handler of it could show."""
    texts, seen = [], error
    while seen is not None:
        texts += [repr(seen), str(seen), repr(vars(seen))]
        seen = seen.__cause__ or seen.__context__
    return "\n".join([*texts, *traceback.format_exception(error)])


def check_no_key(*texts):
    for text in texts:
        for form in (KEY, quote(KEY), quote(KEY, safe=""), quote_plus(KEY), "s3cr3t", "0123:engine"):
            assert form not in text


@pytest.mark.parametrize(
    ("wanted", "environment", "names"),
    [
        (GOOGLE, {}, ["GOOGLE_API_KEY", "GOOGLE_CSE_ID"]),
        (GOOGLE, {"GOOGLE_API_KEY": "a", "GOOGLE_CSE_ID": " "}, ["GOOGLE_CSE_ID"]),
        (TAGGED, {}, ["TUMBLR_API_KEY"]),
    ],
)
def test_missing_keys_are_named_before_anything_is_asked(wanted, environment, names):
    with serving(status(200)) as server:
        with pytest.raises(InputError) as caught:
            run(server, wanted, environment)
        assert server.requests == []
    assert [problem.field for problem in caught.value.problems] == names


def test_addresses_that_cannot_be_fetched_are_left_out_and_counted():
    page = google_page(1, 5)
    for item, url in zip(page["items"], ["data:image/png;base64,AA", "x", "", "http://[", "file:///a"], strict=True):
        item["link"] = url
    page["items"].append({"link": "https://images.example/a.jpg"})
    with serving(answer(page)) as server:
        rows, lines, _ = run(server, GOOGLE)
    assert [(row["url"], row["source"]) for row in rows] == [("https://images.example/a.jpg", "google")]
    assert lines[-1] == "google: 5 left out, whose address is not one of http or https"


def test_the_table_reads_back(tmp_path):
    page = google_page(1, 1)
    page["items"][0]["title"] = 'A "mug",\nred\x00\u2028'
    with serving(answer(page)) as server:
        search_images({**GOOGLE, "split": "val"}, tmp_path / "a.csv", environment=KEYS, base=server.base)
    with open(tmp_path / "a.csv", encoding="utf-8", newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["title"], row["class"], row["split"], row["width"]) == ('A "mug", red', "mug", "val", "640")


@pytest.mark.parametrize("contact", ["", "a\nb", "müll@example"])
def test_a_contact_that_a_header_cannot_hold_is_left_out(contact):
    assert user_agent({"SEARCH_CONTACT": contact}).startswith("object-detection-transfer-learning python-requests/")


WORDS = [
    *["items", "link", "image", "contextLink", "title", "queries", "nextPage", "startIndex"],
    *["response", "posts", "content", "trail", "photos", "original_size", "url", "media"],
    *["type", "width", "tags", "timestamp", "total_posts", "results", "page_count", "license"],
    *["query", "pages", "imageinfo", "mime", "extmetadata", "License", "value", "index"],
    *["continue", "error", "errors", "reason", "message", "meta", "status", "msg"],
    *["detail", "code"],
]
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["image", "image/jpeg"])
JSON = st.recursive(
    LEAVES, lambda part: st.lists(part, max_size=3) | st.dictionaries(st.sampled_from(WORDS), part, max_size=4)
)


@settings(max_examples=150, deadline=None)
@given(content=st.dictionaries(st.sampled_from(WORDS), JSON, max_size=6), which=st.integers(0, 4))
def test_no_answer_ends_in_anything_but_a_page_a_refusal_or_what_may_be_raised(content, which):
    wanted = [GOOGLE, TAGGED, BLOG, OPENVERSE, COMMONS][which]
    provider = PROVIDERS[wanted["provider"]]
    for read in (provider.refusal, lambda content: provider.read(content, wanted, provider.first(wanted))):
        with contextlib.suppress(UNDOCUMENTED):
            assert isinstance(read(content), Page | Refusal | None)


def test_the_list_is_one_that_a_source_reads(tmp_path):
    with serving(answer(openverse([1, 2], 1))) as server:
        search_images(OPENVERSE, tmp_path / "found.csv", environment={}, base=server.base)
    table = url_list.read(tmp_path / "found.csv")
    assert table.problems == ()
    assert [(each.split, each.origin) for each in table.annotations.values()] == [
        ("test", Origin("https://live.example/1.jpg", "CC0 1.0", "https://flickr.example/1")),
        ("test", Origin("https://live.example/2.jpg", "CC BY-SA 2.0", "https://flickr.example/2")),
    ]
