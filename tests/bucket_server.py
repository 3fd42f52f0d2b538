"""A server on loopback that speaks S3: moto's, with a log of all that it was asked."""

import os
import threading
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import boto3
import requests
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

# No secret: moto takes any.
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIAONLYFORTESTS",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIONLYFORTESTS",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}


class Server:
    """A real server on loopback. `asked` has (method, path, query) of each request, in order."""

    def __init__(self):
        self.asked = []
        application = DomainDispatcherApplication(create_backend_app)

        def logged(environ, start_response):
            self.asked.append((environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", "")))
            return application(environ, start_response)

        self.httpd = make_server("127.0.0.1", 0, logged, threaded=True)
        self.httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.httpd.server_port}"
        self.client = None

    def got(self, *endings):
        """Return the paths of the objects that were read and whose keys have one of the endings."""
        return [path for method, path, _ in self.asked if method == "GET" and path.endswith(endings)]

    def put(self, bucket, key, data):
        """Write an object."""
        self.client.put_object(Bucket=bucket, Key=key, Body=data)

    def upload(self, folder: Path, bucket, prefix):
        """Write all files of a folder below a prefix."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(bucket, f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())

    def keys(self, bucket, prefix=""):
        """Return the keys below a prefix."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]


@contextmanager
def serving_buckets(*names):
    """Serve empty buckets of these names while the block runs, with an environment that leads to them."""
    server = Server()
    thread = threading.Thread(target=server.httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    with mock.patch.dict(os.environ, {**ENVIRONMENT, "AWS_ENDPOINT_URL_S3": server.url}):
        # The machine's own settings must not lead elsewhere.
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "http_proxy", "HTTP_PROXY"):
            os.environ.pop(name, None)
        try:
            server.client = boto3.client("s3")
            # What another server of this process has left: moto keeps its buckets per process.
            requests.post(f"{server.url}/moto-api/reset", timeout=10)
            for name in names:
                server.client.create_bucket(Bucket=name)
            server.asked.clear()
            yield server
        finally:
            server.httpd.shutdown()
            server.httpd.server_close()
            thread.join()
