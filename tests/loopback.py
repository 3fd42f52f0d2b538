"""A real HTTP server on loopback that answers as a test planned it; processes that have no other interface."""

import contextlib
import ctypes
import fcntl
import functools
import os
import socket
import struct
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock

_CLONE_NEWNET, _SIOCSIFFLAGS, _SIOCSIFADDR, _IFF_UP = 0x40000000, 0x8914, 0x8916, 1
# Of those that documentation is free to use, and no network is (RFC 5737).
_ANY_ADDRESS = "192.0.2.1"


def raise_loopback() -> None:
    """See to it that this network namespace's loopback interface is up: in a new one it is not."""
    with socket.socket() as sock, contextlib.suppress(PermissionError):
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", _IFF_UP))


@contextlib.contextmanager
def no_other_interface():
    """Give what this thread starts in the block loopback alone, whatever interface it listens on. For root only."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as before:
        if libc.unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        try:
            raise_loopback()
            # Where loopback is all there is, glibc finds no address for any name (AI_ADDRCONFIG), "localhost" either.
            with socket.socket() as sock:
                address = struct.pack("16sHH4s8x", b"lo:1", socket.AF_INET, 0, socket.inet_aton(_ANY_ADDRESS))
                fcntl.ioctl(sock, _SIOCSIFADDR, address)
            yield
        finally:
            libc.setns(before.fileno(), _CLONE_NEWNET)


class Server:
    """A real HTTP server on loopback that answers request after request with what the test planned.

    Each answer is a function of the handler; the last one serves all further requests.
    """

    def __init__(self, *answers):
        self.answers, self.requests = list(answers), []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                owner.requests.append(self)
                answer = owner.answers.pop(0) if len(owner.answers) > 1 else owner.answers[0]
                answer(self)
                self.close_connection = True

            def log_message(self, *args):
                pass

        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.httpd.daemon_threads = True

    @property
    def base(self):
        return f"http://127.0.0.1:{self.httpd.server_port}"

    @property
    def url(self):
        return f"{self.base}/model.tar.gz"


@contextmanager
def serving(*answers):
    """Serve the answers while the block runs; yield the Server."""
    server = Server(*answers)
    thread = threading.Thread(target=server.httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        # A proxy that the machine is set up with does not know this machine's loopback.
        with mock.patch.dict(os.environ, {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}):
            yield server
    finally:
        server.httpd.shutdown()
        server.httpd.server_close()
        thread.join()


def respond(handler, status, body=b"", **headers):
    """Send a whole answer; a header of None is left out."""
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    handler.send_response(status)
    for key, value in {"Content-Length": str(len(body)), "Connection": "close", **named}.items():
        if value is not None:
            handler.send_header(key, value)
    handler.end_headers()
    handler.wfile.write(body)


def status(number, **headers):
    """Return an answer with that status and no content to speak of."""
    return lambda handler: respond(handler, number, b"no", **headers)


class Site:
    """A real HTTP server on loopback with one answer for each path; `asked` has the paths of all requests, in order.

    answers: path to an answer (a function of the handler), or to bytes that are sent with status 200. They may be
             changed while the server runs.
    """

    def __init__(self, answers, address="127.0.0.1"):
        self.answers, self.asked, self.headers = dict(answers), [], []
        self._lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                with owner._lock:
                    owner.asked.append(self.path)
                    owner.headers.append(dict(self.headers))
                answer = owner.answers.get(self.path, status(404))
                if isinstance(answer, bytes):
                    body = answer
                    answer = functools.partial(respond, status=200, body=body, Connection="keep-alive")
                answer(self)

            def log_message(self, *args):
                pass

        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        kind = type("Server", (ThreadingHTTPServer,), {"address_family": family, "request_queue_size": 128})
        # Clients that are killed, or that hang up on what is too long, are no error of the server.
        kind.handle_error = lambda *_: None
        self.httpd = kind((address, 0), Handler)
        self.httpd.daemon_threads = True
        self.port = self.httpd.server_port

    @property
    def base(self):
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serving_site(answers, address="127.0.0.1"):
    """Serve the answers while the block runs; yield the Site."""
    site = Site(answers, address)
    thread = threading.Thread(target=site.httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        with mock.patch.dict(os.environ, {"NO_PROXY": "127.0.0.1,::1", "no_proxy": "127.0.0.1,::1"}):
            yield site
    finally:
        site.httpd.shutdown()
        site.httpd.server_close()
        thread.join()
