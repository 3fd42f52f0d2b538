import email.utils
import socket
import struct
import time

import pytest
from loopback import respond, serving, status

from odtl.download import NotFoundError, Policy, download
from odtl.errors import InputError

CONTENT = bytes(range(256)) * 2048
QUICK = Policy(attempts=4, connect_timeout=2, read_timeout=2, first_wait=1, max_wait=8)


def whole(handler):
    respond(handler, 200, CONTENT, ETag='"v1"')


def ranged(etag='"v1"', content=CONTENT):
    """Serve ranges, as RFC 9110 has it: only where If-Range names the present version."""

    def answer(handler):
        wanted = handler.headers.get("Range", "")
        if wanted and handler.headers.get("If-Range") == etag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            span = f"bytes {start}-{len(content) - 1}/{len(content)}"
            respond(handler, 206, content[start:], ETag=etag, Content_Range=span)
        else:
            respond(handler, 200, content, ETag=etag)

    return answer


def cut(part, reset, **headers):
    """Promise everything, send a part, then break off: with a reset, or as if that were the end."""

    def answer(handler):
        respond(handler, 200, CONTENT[:part], Content_Length=str(len(CONTENT)), **headers)
        handler.wfile.flush()
        if reset:
            # Lets the part arrive; a reset may throw away what is still under way.
            time.sleep(0.05)
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()

    return answer


class Waits(list):
    """Records the waits that a download asks for, and takes none."""

    def __call__(self, seconds):
        self.append(seconds)


def get(server, target, policy=QUICK, url=None):
    waits, lines = Waits(), []
    final = download(url or server.url, target, policy, lines.append, waits)
    return final, waits, lines


def test_a_plain_download(tmp_path):
    with serving(whole) as server:
        final, waits, lines = get(server, tmp_path / "new" / "file")
        assert final == server.url
    assert (tmp_path / "new" / "file").read_bytes() == CONTENT
    assert waits == []
    assert lines == [f"Downloading {server.url} (0.5 MB)"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "truncated"])
def test_a_broken_connection_is_continued_where_the_file_is_the_same(tmp_path, reset):
    with serving(cut(100_000, reset, ETag='"v1"'), ranged()) as server:
        _, waits, _ = get(server, tmp_path / "file")
        second = server.requests[1].headers
        assert second["If-Range"] == '"v1"'
        assert 0 < int(second["Range"].removeprefix("bytes=").rstrip("-")) <= 100_000
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert waits == [1]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (cut(1000, False, ETag='"v0"'), ranged()),
        (cut(1000, False), ranged()),
        (cut(1000, False, ETag='W/"v1"'), ranged()),
        (cut(1000, False, ETag='"v1"'), whole),
    ],
    ids=["changed", "no validator", "weak validator", "no ranges"],
)
def test_it_starts_over_where_it_is_not_sure_that_the_file_is_the_same(tmp_path, first, second):
    with serving(first, second) as server:
        get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_wrong_range_and_an_unsatisfiable_one_start_over(tmp_path):
    wrong = status(206, Content_Range="bytes 5-9/10")
    for strange in (wrong, status(416)):
        with serving(cut(1000, False, ETag='"v1"'), strange, whole) as server:
            _, waits, _ = get(server, tmp_path / "file")
        assert (tmp_path / "file").read_bytes() == CONTENT
        assert waits == [1, 2]


@pytest.mark.parametrize("number", [500, 502, 503, 504, 429, 408])
def test_busy_then_fine(tmp_path, number):
    with serving(status(number), status(number), whole) as server:
        _, waits, lines = get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert waits == [1, 2]
    assert f"{number}" in lines[0]
    assert "attempt 2 of 4 in 1 s" in lines[0]


@pytest.mark.parametrize(("asked", "waited"), [("3", 3), ("100000", 8), ("0", 1), ("soon", 1)])
def test_retry_after_is_honoured_up_to_a_limit(tmp_path, asked, waited):
    with serving(status(429, Retry_After=asked), whole) as server:
        _, waits, _ = get(server, tmp_path / "file")
    assert waits == [waited]


def test_retry_after_may_be_a_date(tmp_path):
    date = email.utils.formatdate(time.time() + 5, usegmt=True)
    with serving(status(503, Retry_After=date), whole) as server:
        _, waits, _ = get(server, tmp_path / "file")
    assert waits == [pytest.approx(4.5, abs=1)]


@pytest.mark.parametrize(
    ("answer", "found"),
    [(status(503), "503"), (cut(1000, True), "connection broke"), (cut(1000, False), "connection broke")],
)
def test_it_gives_up_after_all_attempts_and_leaves_nothing(tmp_path, answer, found):
    with serving(answer) as server:
        with pytest.raises(InputError, match=rf"{found}.*\(4 attempts\)"):
            get(server, tmp_path / "file")
        assert len(server.requests) == 4
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(InputError, match=r"connection broke.*refused"):
        get(None, tmp_path / "file", url=f"http://127.0.0.1:{port}/x")


def test_a_server_that_stops_talking(tmp_path):
    def silent(handler):
        respond(handler, 200, CONTENT[:10], Content_Length=str(len(CONTENT)))
        handler.wfile.flush()
        time.sleep(1)

    policy = Policy(attempts=2, read_timeout=0.2)
    with serving(silent, whole) as server:
        get(server, tmp_path / "file", policy)
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize(("number", "error"), [(404, NotFoundError), (410, NotFoundError), (403, InputError)])
def test_a_plain_refusal_is_not_tried_again(tmp_path, number, error):
    with serving(status(number)) as server:
        with pytest.raises(error, match=str(number)):
            get(server, tmp_path / "file")
        assert len(server.requests) == 1
    assert list(tmp_path.iterdir()) == []


def test_redirects_are_followed(tmp_path):
    with serving(status(302, Location="/elsewhere"), whole) as server:
        final, _, _ = get(server, tmp_path / "file")
        assert final == server.url.replace("/model.tar.gz", "/elsewhere")
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_redirects_to_other_schemes_are_refused(tmp_path, location):
    with serving(status(302, Location=location)) as server, pytest.raises(InputError):
        get(server, tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_redirect_loops_end(tmp_path):
    with serving(status(302, Location="/again")) as server, pytest.raises(InputError, match="TooManyRedirects"):
        get(server, tmp_path / "file")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "/etc/passwd"])
def test_only_http_and_https(tmp_path, url):
    with pytest.raises(InputError, match="Only http and https"):
        get(None, tmp_path / "file", url=url)


@pytest.mark.parametrize("stated", [True, False])
def test_too_large(tmp_path, stated):
    def answer(handler):
        respond(handler, 200, CONTENT, **({} if stated else {"Content_Length": None}))

    policy = Policy(attempts=3, max_bytes=len(CONTENT) - 1)
    with serving(answer) as server:
        with pytest.raises(InputError, match="524,28"):
            get(server, tmp_path / "file", policy)
        assert len(server.requests) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_bytes_are_those_on_the_server_even_where_it_calls_them_encoded(tmp_path):
    # Servers are known to say so of a .tar.gz, and clients to unpack it then.
    with serving(lambda handler: respond(handler, 200, CONTENT, Content_Encoding="gzip")) as server:
        get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_what_stood_there_before_stays_until_the_new_file_is_whole(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    with serving(cut(10, False)) as server, pytest.raises(InputError):
        get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"old"
