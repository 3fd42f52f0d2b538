"""Images are fetched from a real server on loopback, through what real servers do."""

import gzip
import io
import ipaddress
import json
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from functools import partial
from hashlib import sha256
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import respond, serving_site, status
from PIL import Image

from odtl import repairs
from odtl.annotations.model import Origin
from odtl.errors import InputError
from odtl.fetching.journal import journal_path
from odtl.fetching.ledger import Row, as_fetched, check_failures, files_are_there, read_ledger, write_ledger
from odtl.fetching.policy import Policy
from odtl.fetching.shard import fetch_images
from odtl.fetching.storing import Store, image_path
from odtl.fetching.urls import UrlError, parse
from odtl.listing import list_manifests, with_fetched
from odtl.manifest import Line
from odtl.origins import shown_url
from odtl.records import frame, serialize
from odtl.run_lock import UNFINISHED

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
QUICK = Policy(
    timeout=3, connect_timeout=1, stall_timeout=1, attempts=3, first_wait=0.01, max_wait=0.3, allow_addresses=LOOPBACK
)


def picture(number=0, kind="JPEG", size=(32, 24)):
    stream = io.BytesIO()
    Image.new("RGB", size, (number % 256, number // 256, 90)).save(stream, kind)
    return stream.getvalue()


JPEG = picture()


@pytest.fixture
def site():
    with serving_site({}) as site:
        yield site


@pytest.fixture
def images(tmp_path):
    return tmp_path / "images"


def fetch(images, *urls, policy=QUICK, shard="train-00000-of-00001", **stated):
    wanted = [(f"i{number}", Origin(url, **stated)) for number, url in enumerate(urls)]
    return fetch_images(wanted, images, shard, policy, stream=io.StringIO())


def files(images):
    return sorted(path.relative_to(images).as_posix() for path in images.rglob("*") if path.is_file())


def send(data, *pieces, then=None):
    """Return an answer: raw bytes, sent as they are, with pauses of so many seconds where a piece is a number."""

    def answer(handler):
        for piece in (data, *pieces):
            if isinstance(piece, bytes):
                handler.wfile.write(piece)
                handler.wfile.flush()
            else:
                time.sleep(piece)
        if then is not None:
            then(handler)
        handler.close_connection = True

    return answer


def reset(handler):
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def moved(location, number=302):
    return partial(respond, status=number, Location=location)


def in_turn(*answers):
    left = list(answers)
    return lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)


# What is kept


def test_ledger_row_of_what_was_fetched(site, images):
    site.answers["/a.jpg"] = JPEG
    url = f"{site.base}/a.jpg"
    (row,) = fetch(images, url, licence="CC0", source="a page")
    path = f"{images.as_posix()}/i0.jpg"
    digest = sha256(JPEG).hexdigest()
    assert row == Row("i0", url, "fetched", url, path, digest, len(JPEG), "JPEG", "CC0", "a page")
    assert Path(path).read_bytes() == JPEG
    assert files(images) == [".journal/train-00000-of-00001.jsonl", "i0.jpg"]
    assert os.stat(path).st_mode & 0o777 == 0o666 & ~current_umask()
    assert site.headers[0]["Accept-Encoding"] == "identity"
    assert site.headers[0]["User-Agent"].startswith("object-detection-transfer-learning/")


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize(
    ("kind", "ending"),
    [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("BMP", "bmp"), ("GIF", "gif"), ("TIFF", "tiff")],
)
def test_content_decides_what_it_is(site, images, kind, ending):
    site.answers["/x.jpg"] = partial(respond, status=200, body=picture(kind=kind), Content_Type="text/html")
    (row,) = fetch(images, f"{site.base}/x.jpg")
    assert (row.format, Path(row.path).name) == (kind, f"i0.{ending}")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<!DOCTYPE html><html>Not found</html>", "image_not_an_image: an HTML page"),
        (b"", "image_empty"),
        (b"MZ" + bytes(500), "image_not_an_image: no image of a known format"),
        (b"<svg/>", "image_not_an_image: an XML or SVG file"),
        (JPEG[:-40], "image_damaged"),
    ],
)
def test_what_is_no_image_is_failed(site, images, body, reason):
    site.answers["/x.jpg"] = partial(respond, status=200, body=body, Content_Type="image/jpeg")
    (row,) = fetch(images, f"{site.base}/x.jpg")
    assert row.status == "failed"
    assert row.error.startswith(reason)
    assert (row.path, row.sha256, row.bytes) == ("", "", 0)
    assert files(images) == [".journal/train-00000-of-00001.jsonl"]


def test_pixel_bomb_is_failed(site, images):
    stream = io.BytesIO()
    Image.new("1", (30000, 30000)).save(stream, "PNG")
    site.answers["/x.png"] = stream.getvalue()
    assert fetch(images, f"{site.base}/x.png")[0].error.startswith("image_too_large")


def test_known_bytes_are_insisted_on(site, images):
    site.answers["/x"] = JPEG
    assert fetch(images, f"{site.base}/x", sha256=sha256(JPEG).hexdigest())[0].status == "fetched"
    (row,) = fetch(images, f"{site.base}/x", sha256="0" * 64)
    assert row.error.startswith("other bytes than it was annotated with")


def test_identical_bytes_are_one_file_and_marked(site, images):
    site.answers |= {"/a": JPEG, "/b": JPEG, "/c": picture(1)}
    a, c, b = fetch(images, f"{site.base}/a", f"{site.base}/c", f"{site.base}/b")
    assert (a.same_as, b.same_as, c.same_as) == ("", "i0", "")
    assert os.path.samefile(a.path, b.path)
    assert not os.path.samefile(a.path, c.path)
    # One that was altered since is no copy.
    Path(a.path).unlink()
    Path(a.path).write_bytes(b"other")
    b = fetch(images, f"{site.base}/d", f"{site.base}/c", f"{site.base}/b")[2]
    assert Path(b.path).read_bytes() == JPEG


def test_one_address_is_asked_for_once(site, images):
    site.answers["/a"] = JPEG
    rows = fetch(images, *[f"{site.base}/a"] * 3)
    assert site.asked == ["/a"]
    assert [Path(row.path).name for row in rows] == ["i0.jpg", "i1.jpg", "i2.jpg"]
    assert [row.same_as for row in rows] == ["", "i0", "i0"]


@pytest.mark.parametrize(
    ("image", "path"),
    [
        ("peach-1a", "peach-1a.jpg"),
        ("a b/x.y", "a b/x.y.jpg"),
        ("../../x", "%2E./%2E./x.jpg"),
        ("..", "%2E..jpg"),
        ("/etc/passwd", "%/etc/passwd.jpg"),
        (".journal/x", "%2Ejournal/x.jpg"),
        ("a//b", "a/%/b.jpg"),
        ("", "%.jpg"),
        (".", "%2E.jpg"),
        ("a\\..\\b:c\0d\n", "a%5C..%5Cb%3Ac%00d%0A.jpg"),
        ("ü%20", "%C3%BC%2520.jpg"),
    ],
)
def test_no_id_leads_out_of_the_folder(images, image, path):
    assert image_path(image, "JPEG") == path
    kept = Store(images).keep(image, JPEG)
    assert (images / path).read_bytes() == JPEG
    assert (images / kept.path).resolve().is_relative_to(images.resolve())


def test_long_ids_have_files_of_their_own():
    one, other = (image_path("ü" * 300 + end, "JPEG") for end in "ab")
    assert one != other
    assert len(one.encode()) <= 210


# What servers do


def test_dead_links_are_failed_at_once(site, images):
    site.answers["/ok"] = JPEG
    site.answers |= {"/gone": status(410), "/no": status(403)}
    rows = fetch(images, *(f"{site.base}{path}" for path in ("/ok", "/404", "/gone", "/no")))
    assert [row.error for row in rows] == ["", "HTTP status 404", "HTTP status 410", "HTTP status 403"]
    assert sorted(site.asked) == ["/404", "/gone", "/no", "/ok"]


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n" % len(JPEG)


@pytest.mark.parametrize(
    "fault",
    [
        send(b"", then=reset),
        send(HEAD + LENGTH + JPEG[:100], then=reset),
        send(HEAD + LENGTH + JPEG[:-1]),
        send(b""),
        # No length: only the picture tells that it was cut off.
        send(HEAD + b"\r\n" + JPEG[:300]),
        send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(JPEG) + JPEG[:200]),
        send(HEAD + LENGTH + JPEG[:100], 1.6),
        status(500),
        status(503),
        status(429),
        status(408),
    ],
    ids=["reset", "reset-inside", "short", "empty", "cut-off", "chunk", "stalled", "500", "503", "429", "408"],
)
def test_passing_fault_is_tried_again(site, images, fault):
    site.answers["/x"] = in_turn(fault, partial(respond, status=200, body=JPEG))
    (row,) = fetch(images, f"{site.base}/x")
    assert (row.status, row.error) == ("fetched", "")
    assert site.asked == ["/x", "/x"]
    assert Path(row.path).read_bytes() == JPEG


def test_attempts_end(site, images):
    site.answers["/x"] = status(500)
    (row,) = fetch(images, f"{site.base}/x")
    assert row.error == "HTTP status 500 (3 attempts)"
    assert site.asked == ["/x"] * 3


def test_slow_answer_is_cut_off_in_all(site, images):
    # A byte now and then is no stall, but it does not go on for ever.
    site.answers["/x"] = send(HEAD + LENGTH, *(piece for byte in JPEG[:200] for piece in (bytes([byte]), 0.05)))
    policy = Policy(timeout=1, attempts=1, allow_addresses=LOOPBACK)
    began = time.monotonic()
    (row,) = fetch(images, f"{site.base}/x", policy=policy)
    assert row.status == "failed" and "timed out" in row.error.lower()
    assert time.monotonic() - began < 9


def test_slow_server_holds_up_nobody_else(site, images):
    left, all_served = list(range(30)), threading.Event()

    def slow(handler):
        # It answers only after all images of the other server have gone out.
        respond(handler, 200 if all_served.wait(20) else 500, JPEG)

    def fast(handler):
        respond(handler, 200, JPEG)
        left.pop()
        if not left:
            all_served.set()

    site.answers = {f"/{number}": fast for number in range(30)}
    with serving_site({f"/{number}": slow for number in range(8)}) as other:
        policy = Policy(parallel=8, per_host=4, attempts=1, allow_addresses=LOOPBACK)
        urls = [*(f"{other.base}/{number}" for number in range(8)), *(f"{site.base}/{number}" for number in range(30))]
        assert {row.status for row in fetch(images, *urls, policy=policy)} == {"fetched"}


def test_redirects_are_followed(site, images):
    with serving_site({"/y z": status(404), "/y%20z": JPEG}) as other:
        site.answers |= {"/a": moved("/b", 301), "/b": moved("c?q", 307), "/c?q": moved(f"{other.base}/y z", 308)}
        (row,) = fetch(images, f"{site.base}/a")
        assert (row.status, row.final_url) == ("fetched", f"{other.base}/y%20z")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (moved("/x"), "more than 5 redirects"),
        (moved("file:///etc/passwd"), "a redirect to file:///etc/passwd: the scheme 'file': only http and https"),
        (moved("ftp://a.org/x"), "a redirect to ftp://a.org/x: the scheme 'ftp'"),
        (moved("http://10.0.0.1/x"), "10.0.0.1 is a private address, which is not connected to"),
        (moved("http://[::1]/x"), "::1 is a loopback address"),
        (moved("http://169.254.169.254/latest"), "169.254.169.254 is a link-local address"),
        (moved(None), "HTTP status 302 without saying where"),
    ],
)
def test_redirect_that_is_not_followed(site, images, answer, error):
    site.answers["/x"] = answer
    (row,) = fetch(images, f"{site.base}/x")
    assert row.error.startswith(error)
    assert files(images) == [".journal/train-00000-of-00001.jsonl"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost", "[::ffff:127.0.0.1]", "[::]"]
)
def test_own_machine_is_not_asked(site, images, host):
    site.answers["/x"] = JPEG
    policy = Policy(attempts=2, first_wait=0.01)
    (row,) = fetch(images, f"http://{host}:{site.port}/x", policy=policy)
    assert row.status == "failed"
    assert "which is not connected to: see fetch.allow_addresses" in row.error
    assert site.asked == []


def test_ipv6(images):
    try:
        serving = serving_site({"/x": JPEG}, "::1")
        with serving as site:
            url = f"http://[::1]:{site.port}/x"
            assert "::1 is a loopback address" in fetch(images, url)[0].error
            assert site.asked == []
            allowed = Policy(allow_addresses=(ipaddress.ip_network("::1/128"),))
            assert fetch(images, url, policy=allowed)[0].status == "fetched"
    except OSError:
        pytest.skip("this machine has no IPv6")


def test_name_that_resolves_to_another_address_the_second_time(site, images, monkeypatch):
    """What is checked is what is connected to: nothing of ours looks the name up before."""
    site.answers["/x"] = JPEG
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: pytest.fail("looked up"))
    (row,) = fetch(images, f"http://localhost:{site.port}/x", policy=Policy(attempts=1))
    assert "loopback address" in row.error
    assert site.asked == []


def test_too_large_is_not_taken(site, images):
    big = bytes(300_000)
    endless = send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[b"10000\r\n" + bytes(65536) + b"\r\n"] * 200)
    lying = send(HEAD + b"Content-Length: 100\r\n\r\n" + big)
    compressed = partial(respond, status=200, body=gzip.compress(big), Content_Encoding="gzip")
    site.answers |= {"/big": big, "/endless": endless, "/bomb": compressed, "/lying": lying}
    policy = Policy(max_bytes=100_000, attempts=2, first_wait=0.01, allow_addresses=LOOPBACK)
    rows = fetch(images, *(f"{site.base}/{name}" for name in ("big", "endless", "bomb", "lying")), policy=policy)
    limit = "more than 100,000 bytes (fetch.max_bytes)"
    assert [row.error for row in rows[:3]] == [limit] * 3
    # A length that is too short ends the answer there.
    assert rows[3].error.startswith("image_not_an_image: nothing but zeros")
    assert site.asked.count("/endless") == 1


def test_compressed_answer_is_understood(site, images):
    site.answers["/x"] = partial(respond, status=200, body=gzip.compress(JPEG), Content_Encoding="gzip")
    (row,) = fetch(images, f"{site.base}/x")
    assert Path(row.path).read_bytes() == JPEG


def test_retry_after_is_waited_for_and_the_host_left_alone(site, images):
    stamps = {}

    def busy(handler):
        stamps["busy"] = time.monotonic()
        respond(handler, 429, b"", Retry_After="1")

    def fine(handler):
        stamps.setdefault("next", time.monotonic())
        respond(handler, 200, JPEG)

    site.answers |= {"/0": in_turn(busy, fine), **{f"/{number}": fine for number in range(1, 6)}}
    policy = Policy(parallel=4, per_host=1, attempts=2, first_wait=0.01, max_wait=5, allow_addresses=LOOPBACK)
    rows = fetch(images, *(f"{site.base}/{number}" for number in range(6)), policy=policy)
    assert {row.status for row in rows} == {"fetched"}
    assert stamps["next"] - stamps["busy"] >= 0.95
    # No longer than max_wait, whatever the server asks for.
    site.answers["/9"] = in_turn(lambda handler: respond(handler, 503, b"", Retry_After="86400"), fine)
    began = time.monotonic()
    assert fetch(images, f"{site.base}/9", policy=QUICK)[0].status == "fetched"
    assert time.monotonic() - began < 3


def test_no_more_at_a_time_than_allowed(site, images):
    lock, now, most = threading.Lock(), [0], [0]

    def answer(handler):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.03)
        with lock:
            now[0] -= 1
        respond(handler, 200, JPEG)

    site.answers = {f"/{number}": answer for number in range(20)}
    policy = Policy(parallel=8, per_host=3, allow_addresses=LOOPBACK)
    fetch(images, *(f"{site.base}/{number}" for number in range(20)), policy=policy)
    assert most[0] == 3


def test_silent_host_is_given_up(images):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    policy = Policy(parallel=4, per_host=2, attempts=3, first_wait=0.02, allow_addresses=LOOPBACK)
    rows = fetch(images, *(f"http://127.0.0.1:{port}/{number}" for number in range(60)), policy=policy)
    assert {row.status for row in rows} == {"failed"}
    assert sum("is not asked any more" in row.error for row in rows) >= 50
    assert "connect" in rows[0].error.lower()


def test_host_without_a_name(images):
    (row,) = fetch(images, "http://nowhere.invalid/x", policy=Policy(attempts=1, timeout=5))
    assert row.status == "failed"


def test_passwords_are_used_and_told_to_nobody(site, images):
    site.answers |= {"/x": moved("/y"), "/y": JPEG}
    url = f"http://me:s3cret@127.0.0.1:{site.port}/x?X-Amz-Signature=s3cret"
    site.answers["/x?X-Amz-Signature=s3cret"] = moved("/y?token=s3cret")
    site.answers["/y?token=s3cret"] = JPEG
    stream = io.StringIO()
    (row,) = fetch_images([("i", Origin(url))], images, "s", QUICK, stream=stream)
    assert row.status == "fetched"
    assert [headers["Authorization"] for headers in site.headers] == ["Basic bWU6czNjcmV0"] * 2
    assert (row.url, row.final_url) == (f"{site.base}/x", f"{site.base}/y")
    written = journal_path(images, "s").read_text(encoding="utf-8") + str(row) + stream.getvalue()
    assert "s3cret" not in written
    # Another signature is the same image.
    fetch_images([("i", Origin(url.replace("s3cret", "other")))], images, "s", QUICK, stream=stream)
    assert len(site.asked) == 2


def test_environments_proxy_is_asked_and_literal_addresses_are_checked_all_the_same(site, images, monkeypatch):
    site.answers["http://a.example/x"] = JPEG
    monkeypatch.setenv("http_proxy", site.base)
    monkeypatch.setenv("no_proxy", "b.example")
    policy = Policy(attempts=1)
    rows = fetch(images, "http://a.example/x", "http://10.0.0.1/x", policy=policy)
    assert rows[0].status == "fetched"
    assert "10.0.0.1 is a private address" in rows[1].error
    assert site.asked == ["http://a.example/x"]


# What is here already


def test_only_what_is_missing_is_asked_for(site, images):
    site.answers = {f"/{number}": picture(number) for number in range(5)}
    urls = [f"{site.base}/{number}" for number in range(5)]
    first = fetch(images, *urls)
    assert len(site.asked) == 5
    site.asked.clear()
    assert fetch(images, *urls) == first
    assert site.asked == []
    # Gone, cut short, and of the same size with other bytes.
    Path(first[1].path).unlink()
    Path(first[2].path).write_bytes(b"x")
    Path(first[3].path).write_bytes(bytes(first[3].bytes))
    assert fetch(images, *urls) == first
    assert sorted(site.asked) == ["/1", "/2", "/3"]
    # Another address under the same id.
    site.asked.clear()
    site.answers["/9"] = picture(9)
    fetch(images, f"{site.base}/9", *urls[1:])
    assert site.asked == ["/9"]


def test_failed_ones_are_tried_again(site, images):
    assert fetch(images, f"{site.base}/x")[0].status == "failed"
    site.answers["/x"] = JPEG
    assert fetch(images, f"{site.base}/x")[0].status == "fetched"


def test_torn_and_odd_lines_of_the_journal(site, images):
    site.answers = {f"/{number}": picture(number) for number in range(3)}
    urls = [f"{site.base}/{number}" for number in range(3)]
    first = fetch(images, *urls)
    journal = journal_path(images, "train-00000-of-00001")
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) == 3
    odd = [b"[]\n", b'{"image": 5}\n', b"\xff\n", b"null\n", b"[" * 100_000 + b"\n"]
    torn = next(line for line in lines if b'"i1"' in line)
    whole = [line for line in lines if line is not torn]
    journal.write_bytes(b"".join([*odd, *whole, torn[:-20]]))
    site.asked.clear()
    assert fetch(images, *urls) == first
    assert site.asked == ["/1"]
    site.asked.clear()
    assert fetch(images, *urls) == first
    assert site.asked == []


def test_another_number_of_shards_asks_for_nothing(site, images):
    site.answers = {f"/{number}": picture(number) for number in range(4)}
    urls = [f"{site.base}/{number}" for number in range(4)]
    first = fetch(images, *urls, shard="train-00000-of-00001")
    site.asked.clear()
    assert fetch(images, *urls, shard="train-00001-of-00002") == first
    assert site.asked == []
    journal_path(images, "train-00000-of-00001").unlink()
    assert fetch(images, *urls, shard="train-00001-of-00002") == first
    assert site.asked == []


CHILD = """
import ipaddress, sys
from odtl.annotations.model import Origin
from odtl.fetching.policy import Policy
from odtl.fetching.shard import fetch_images
wanted = [(f"i{number}", Origin(f"{sys.argv[1]}/{number}")) for number in range(60)]
policy = Policy(parallel=4, per_host=4, allow_addresses=(ipaddress.ip_network("127.0.0.0/8"),))
fetch_images(wanted, sys.argv[2], "s", policy)
"""


def test_killed_in_the_middle(site, images):
    """SIGKILL: what was fetched is not asked for again, and nothing half-written is taken for an image."""

    def slow(number):
        return lambda handler: (time.sleep(0.02), respond(handler, 200, picture(number)))

    site.answers = {f"/{number}": slow(number) for number in range(60)}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", CHILD, site.base, str(images)], env=environment) as child:
        while len(site.asked) < 25 and child.poll() is None:
            time.sleep(0.005)
        child.kill()
    begun = list(site.asked)
    assert 25 <= len(begun) < 60
    site.asked.clear()
    rows = fetch_images([(f"i{n}", Origin(f"{site.base}/{n}")) for n in range(60)], images, "s", QUICK, io.StringIO())
    assert {row.status for row in rows} == {"fetched"}
    for number, row in enumerate(rows):
        assert Path(row.path).read_bytes() == picture(number)
    # Asked for twice is at most what was on its way, or had come and was not stored yet.
    assert 60 - len(begun) <= len(site.asked) <= 60 - len(begun) + 8
    assert not {path for path in begun if path in site.asked} - set(begun[-12:])


def test_certificate_that_nobody_vouches_for(images, tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    with serving_site({"/x": JPEG}) as site:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        site.httpd.socket = context.wrap_socket(site.httpd.socket, server_side=True)
        url = f"https://127.0.0.1:{site.port}/x"
        (row,) = fetch(images, url)
        assert "certificate" in row.error and site.asked == []
        with mock.patch.dict(os.environ, {"SSL_CERT_FILE": certificate}):
            assert fetch(images, url)[0].status == "fetched"


def test_images_inside_records(images, tmp_path):
    path = tmp_path / "a.record"
    path.write_bytes(b"".join(frame(serialize({"image/encoded": [data]})) for data in (JPEG, b"no image")))
    rows = fetch(images, *(f"tfrecord:{path}#{number}" for number in (1, 2, 3)))
    assert [row.status for row in rows] == ["fetched", "failed", "failed"]
    assert Path(rows[0].path).read_bytes() == JPEG
    assert rows[1].error.startswith("image_not_an_image")
    assert rows[2].error == "2 record(s) that can be read"
    assert fetch(images, rows[0].url) == [rows[0]]


# Ledgers


def test_ledger_reads_back(tmp_path, site, images):
    site.answers["/a"] = JPEG
    rows = fetch(images, f"{site.base}/a", f"{site.base}/b", licence='CC "BY", 4')
    path = tmp_path / "ledger.csv"
    write_ledger(path, rows)
    assert list(read_ledger(path).values()) == rows
    header = "image,url,status,final_url,path,sha256,bytes,format,licence,source,error,same_as,label"
    assert path.read_text(encoding="utf-8").splitlines()[0] == header
    assert files_are_there(path)
    Path(rows[0].path).write_bytes(JPEG[:-1])
    assert not files_are_there(path)
    Path(rows[0].path).unlink()
    assert not files_are_there(path)
    write_ledger(path, [])
    assert read_ledger(path) == {} and files_are_there(path)


def line(**changed):
    return Line("a", None, None, "a", None, origin=Origin("http://a.org/x"))._replace(**changed)


def test_line_takes_what_was_fetched_for_it():
    rows = {"a": Row("a", "http://a.org/x", "fetched", path="results/images/a.png", sha256="12ab")}
    assert as_fetched(line(), rows) == line(image="results/images/a.png", sha256="12ab")
    # Of an image that is a file anyway, or of no image at all, nothing is fetched.
    for other in (line(image="a.jpg", sha256="00"), line(origin=None)):
        assert as_fetched(other, {}) == other


def test_line_of_what_could_not_be_fetched_is_rejected():
    rows = {"a": Row("a", "http://a.org/x", "failed", error="HTTP status 404")}
    (problem,) = as_fetched(line(), rows).problems
    assert (problem.reason, problem.file, problem.found) == ("image_not_fetched", "http://a.org/x", "HTTP status 404")
    assert repairs.STATUS_OF["image_not_fetched"] == repairs.REJECTED


def test_ledger_of_another_list_is_refused():
    with pytest.raises(InputError, match="no row in the ledger"):
        as_fetched(line(), {})


def test_images_to_detect_are_those_that_were_fetched(tmp_path):
    entry = {"image": None, "sha256": None, "group": "g", "annotation": None, "problems": []}
    lines = [{**entry, "id": name, "origin": {"url": f"http://a.org/{name}"}} for name in "abc"]
    lines += [{**entry, "id": "d", "image": "d.jpg", "sha256": "00"}, {**entry, "id": "orphan"}]
    (tmp_path / "m.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in lines), encoding="utf-8")
    listing = {entry.name: entry.path for entry in list_manifests([tmp_path / "m.jsonl"])}
    assert listing == {"a": "", "b": "", "c": "", "d": "d.jpg"}
    write_ledger(tmp_path / "l.csv", [Row("a", "", "fetched", path="x/a.png"), Row("b", "", "failed")])
    assert with_fetched(listing, [tmp_path / "l.csv"]) == {"a": "x/a.png", "d": "d.jpg"}


def test_kill_leaves_nothing_that_the_next_run_does_not_clear_away(images, monkeypatch):
    left = []
    monkeypatch.setattr(os, "replace", lambda temporary, path: left.append(Path(temporary).name))
    Store(images).keep("a b/" + "ü" * 90, JPEG)
    assert UNFINISHED.fullmatch(left[0])
    assert len(left[0].encode()) <= 255


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=2, max_size=2, unique=True))
def test_any_ids_have_files_of_their_own_in_the_folder(ids):
    paths = [image_path(each, "PNG") for each in ids]
    assert len(set(paths)) == 2
    for path in paths:
        parts = path.split("/")
        assert all(part and not part.startswith(".") for part in parts)
        assert all(len(part.encode()) <= 210 for part in parts) and path.isprintable() and "\\" not in path


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.text(max_size=60), st.text(max_size=60).map("http://".__add__)))
def test_any_text_is_a_url_or_refused(text):
    shown_url(text)
    try:
        target = parse(text)
    except UrlError:
        return
    assert target.url.isascii() and target.url.isprintable() and " " not in target.url
    assert parse(target.url) == target


def failed(count):
    return [Row(f"f{n}", f"http://h{n % 2}.org/{n}", "failed", error="HTTP 404") for n in range(count)]


def fetched(count):
    return [Row(f"i{number}", "http://a.org/", "fetched") for number in range(count)]


def test_a_few_failures_are_borne():
    check_failures([*failed(3), *fetched(3)], 0.1)
    check_failures([*failed(10), *fetched(90)], 0.1)
    check_failures(failed(50), 1)
    check_failures([], 0.1)


@pytest.mark.parametrize(("dead", "alive", "share"), [(9, 0, 0.0), (1, 99, 0.0), (3, 2, 0.1), (1, 0, 0.5), (4, 4, 0.1)])
def test_more_than_that_are_not(dead, alive, share):
    with pytest.raises(InputError, match=f"{dead} of {dead + alive} images"):
        check_failures([*failed(dead), *fetched(alive)], share)


def test_which_failed_is_written_where_the_job_leaves_it(tmp_path):
    path = tmp_path / "train.failed.csv"
    with pytest.raises(InputError, match=r"train\.failed\.csv has a row for each"):
        check_failures([*fetched(1), *failed(2)], 0.0, path)
    assert [(row.image, row.url, row.error) for row in read_ledger(path).values()] == [
        ("f0", "http://h0.org/0", "HTTP 404"),
        ("f1", "http://h1.org/1", "HTTP 404"),
    ]
    check_failures(fetched(3), 0.0, path)
    assert not path.exists()


def test_too_many_failures_stop_the_run_and_are_counted():
    with pytest.raises(InputError) as told:
        check_failures([*failed(11), *fetched(89)], 0.1)
    text = str(told.value)
    assert "11 of 100 images" in text
    assert "h0.org: HTTP 404 (6 times)" in text and "h1.org: HTTP 404 (5 times)" in text
    assert "fetch.max_failed, 0.1 now" in text
