"""What the profile for Kubernetes would submit: taken in by a server on loopback that answers as the API does.

No cluster is needed: Snakemake and its executor plugin are the real ones, and so is the client. A pod is played by the
command of its container, in an empty folder.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

import pytest
import yaml

pytest.importorskip("kubernetes")
pytest.importorskip("moto")
pytest.importorskip("snakemake_executor_plugin_kubernetes")

import kubernetes

from bucket_server import ENVIRONMENT, serving_buckets
from helpers import ROOT, draw_data

BUCKET = "s3://results/run"
SETTINGS = {"data": {"sources": [{"format": "voc", "images": "s3://data/photos"}], "shards": 1}}
# What the profile, as it is here, gives to pods.
SECRET = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3"]


class Cluster:
    """The part of the API that the plugin uses. `jobs` and `secrets` are what was posted.

    play: a function from a job to whether it has succeeded, called when its state is asked for.
    """

    def __init__(self, play):
        self.jobs, self.secrets, self.states = {}, [], {}
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path.endswith("/jobs"):
                    owner.jobs[body["metadata"]["name"]] = body
                else:
                    owner.secrets.append(body)
                self.answer(body)

            def do_GET(self):
                if "/jobs/" not in self.path:
                    return self.answer({"apiVersion": "v1", "kind": "PodList", "items": []})
                name = self.path.split("/jobs/")[1].split("/")[0]
                if name not in owner.states:
                    owner.states[name] = play(owner.jobs[name])
                state = {"succeeded": 1} if owner.states[name] else {"failed": 1}
                self.answer({**owner.jobs[name], "status": state})

            def do_DELETE(self):
                # What is not read would be taken for the next request.
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.answer({"apiVersion": "v1", "kind": "Status", "status": "Success"})

            def answer(self, content):
                body = json.dumps(content).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.httpd.daemon_threads = True

    def write_config(self, path):
        """Write the configuration that leads a client here."""
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{self.httpd.server_port}"}}],
            "users": [{"name": "test", "user": {}}],
        }
        path.write_text(yaml.safe_dump(content), encoding="utf-8")


@contextmanager
def cluster(play):
    each = Cluster(play)
    thread = threading.Thread(target=each.httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield each
    finally:
        each.httpd.shutdown()
        each.httpd.server_close()
        thread.join()


@pytest.fixture
def server():
    with serving_buckets("data", "results") as server:
        yield server


@pytest.fixture
def project(tmp_path):
    """A clone of the workflow, as far as Git knows its files, with a configuration."""
    folder = tmp_path / "project"
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
    for name in names.stdout.decode().splitlines():
        if not name.startswith(("tests/", "docs/", "notebooks/", "resources/demo/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / "my.yaml").write_text(yaml.safe_dump(SETTINGS), encoding="utf-8")
    # The volume of the pods, and where they find the server; all else is the profile as it is.
    profile = (folder / "profiles/kubernetes/config.yaml").read_text(encoding="utf-8")
    profile = profile.replace("remote-job-local-storage-prefix: /odtl", f"remote-job-local-storage-prefix: {tmp_path}")
    profile = profile.replace("AWS_DEFAULT_REGION]", "AWS_DEFAULT_REGION, AWS_ENDPOINT_URL_S3]")
    (folder / "profiles/kubernetes/config.yaml").write_text(profile, encoding="utf-8")
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def run(project, each, *arguments):
    each.write_config(project.parent / "kubeconfig")
    command = [sys.executable, "-m", "snakemake", *arguments, "--workflow-profile", "profiles/kubernetes"]
    command += [
        "--default-storage-prefix",
        BUCKET,
        "--configfile",
        "my.yaml",
        "--container-image",
        "example.org/odtl:1",
    ]
    command += ["--seconds-between-status-checks", "1"]
    environment = {**os.environ, "KUBECONFIG": str(project.parent / "kubeconfig")}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=900)
    return done.returncode, done.stdout + done.stderr


def model_of(body, kind):
    """Return what the client's own model makes of a body; it refuses what lacks a field or has a wrong value."""
    answer = type("Answer", (), {"data": json.dumps(body)})
    return kubernetes.client.ApiClient().deserialize(answer, kind)


def test_training_asks_for_a_gpu(project, server):
    # All that the training reads is there; what it holds is of no matter here.
    for split in ("train", "val", "test"):
        for name in ("records/{}.tfrecord", "records/{}.json", "boxes/{}.csv", "boxes/{}.json"):
            server.put("results", f"run/results/{name.format(f'{split}-00000-of-00001')}", b"{}")
    server.put("results", "run/results/detector/experiment.yaml", b"{}")
    server.put("results", "run/results/pretrained/demo/source.json", b"{}")
    server.put("results", "run/results/dataset/label_map.pbtxt", b"item { id: 1 name: 'disc' }\n")
    draw_data(project.parent / "drawn", 6)
    server.upload(project.parent / "drawn", "data", "photos")
    archives = []

    def play(_job):
        # Snakemake removes it in the end.
        for key in server.keys("results", "run/"):
            if "workflow-sources" in key:
                archives.append(server.client.get_object(Bucket="results", Key=key)["Body"].read())
        return False

    with cluster(play) as each:
        status, output = run(project, each, "results/detector/checkpoint/training.json", "--allowed-rules", "train")
    assert len(each.jobs) == 1, output[-4000:]
    assert status != 0
    (body,) = each.jobs.values()
    job = model_of(body, "V1Job")
    pod = job.spec.template.spec
    (container,) = pod.containers
    assert (job.spec.backoff_limit, pod.restart_policy, container.image) == (0, "Never", "example.org/odtl:1")
    # Kubernetes wants both to be the same of what is no core and no memory.
    assert container.resources.limits["nvidia.com/gpu"] == container.resources.requests["nvidia.com/gpu"] == "1"
    assert container.resources.limits["memory"] == "12000M" and container.resources.limits["cpu"] == "4000m"
    (toleration,) = pod.tolerations
    assert (toleration.key, toleration.value, toleration.effect) == ("nvidia.com/gpu", "present", "NoSchedule")
    assert {mount.name: mount.mount_path for mount in container.volume_mounts} == {
        "workdir": "/workdir",
        "odtl": "/odtl",
    }
    assert [volume.persistent_volume_claim.claim_name for volume in pod.volumes[1:]] == ["odtl"]
    # Credentials go by reference to a Secret, and are nowhere else.
    (secret,) = (model_of(each, "V1Secret") for each in each.secrets)
    given = {variable.name: variable.value_from.secret_key_ref for variable in container.env}
    # What was told to the storage plugin by a variable, as the region, goes the same way.
    assert set(given) - {"SNAKEMAKE_STORAGE_S3_REGION"} == set(SECRET)
    assert {ref.name for ref in given.values()} == {secret.metadata.name}
    held = base64.b64decode(secret.data[given["AWS_SECRET_ACCESS_KEY"].key]).decode()
    assert held == ENVIRONMENT["AWS_SECRET_ACCESS_KEY"]
    for text in (json.dumps(body), output):
        assert ENVIRONMENT["AWS_SECRET_ACCESS_KEY"] not in text and ENVIRONMENT["AWS_ACCESS_KEY_ID"] not in text
    # The sources that the pod unpacks have the library.
    (archive,) = archives
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        names = set(tar.getnames())
    assert {"Snakefile", "my.yaml", "workflow/scripts/odtl/training/loop.py", "workflow/zoo.yaml"} <= names


def test_pods_find_all_that_they_need_in_the_bucket(project, server):
    draw_data(project.parent / "drawn", 6)
    server.upload(project.parent / "drawn", "data", "photos")
    # Where the plugin would install the storage plugin, it is here already.
    tools = project.parent / "tools"
    tools.mkdir()
    for name, line in {"pip": "exit 0", "python": f'exec {sys.executable} "$@"'}.items():
        (tools / name).write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
        (tools / name).chmod(0o755)
    told = []

    def play(job):
        (container,) = job["spec"]["template"]["spec"]["containers"]
        folder = project.parent / "pods" / job["metadata"]["name"]
        folder.mkdir(parents=True)
        environment = {"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(folder), "NO_PROXY": "127.0.0.1"}
        environment |= {name: os.environ[name] for name in (*SECRET, "AWS_EC2_METADATA_DISABLED")}
        command = [*container["command"], *container["args"]]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
        told.append(done.stdout + done.stderr)
        return done.returncode == 0

    target = "results/records/train-00000-of-00001.tfrecord"
    with cluster(play) as each:
        status, output = run(project, each, target)
    assert status == 0, output[-3000:] + "".join(told)[-6000:]
    rules = re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)", output, re.MULTILINE)
    assert sorted(rules) == ["fetch_images", "make_boxes", "write_records"]
    assert len(each.jobs) == 3
    assert f"run/{target}" in server.keys("results", "run/results/records")
    size = server.client.head_object(Bucket="results", Key=f"run/{target}")["ContentLength"]
    assert size > 2000
    secrets = [ENVIRONMENT["AWS_SECRET_ACCESS_KEY"], ENVIRONMENT["AWS_ACCESS_KEY_ID"]]
    assert not any(secret in text for secret in secrets for text in (*told, output))
