import hashlib
import io
import json
import os
import re
import struct
import subprocess
import sys
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from loopback import respond, serving, status

from odtl import bundle, pretrained, zoo
from odtl.download import Policy
from odtl.errors import InputError
from odtl.files import folder_sha256, sha256_of
from odtl.model_table import model_table, read_times

HOME = Path(__file__).parents[2]
TABLE = HOME / "workflow/zoo.yaml"
TIMES = HOME / "workflow/model_times.json"
ENTRY = {
    "family": "RetinaNet",
    "factory": "retinanet",
    "settings": {"task": {"model": {"max_level": 6}}},
    "restore": ["backbone"],
    "archive": {"file": "some.tar.gz", "url": "https://example.org/some.tar.gz"},
    "licence": {"name": "not stated", "source": "nowhere"},
    "input_size": 256,
}
FILES = ("ckpt-7.index", "ckpt-7.data-00000-of-00001")


@pytest.fixture(scope="module")
def tf():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def checkpoint(tf, tmp_path_factory):
    """A checkpoint that TensorFlow wrote, with known values: the folder it lies in, as ckpt-7."""
    folder = tmp_path_factory.mktemp("checkpoint")
    kernel = tf.Variable(tf.reshape(tf.range(600, dtype=tf.float32), [2, 3, 100]))
    tf.train.Checkpoint(kernel=kernel, bias=tf.Variable([1, 2])).write(str(folder / "ckpt-7"))
    return folder


def pack(path, files, links=()):
    """Make a .tar.gz of name -> bytes or file, without any check of the names."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            data = content.read_bytes() if isinstance(content, Path) else content
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for member in links:
            archive.addfile(member)
    return path


@pytest.fixture
def archive(tmp_path, checkpoint):
    """An archive as they are published: a folder with the checkpoint and what else was lying around."""
    files = {f"mobilenetv2_ssd_i256_ckpt/{name}": checkpoint / name for name in FILES}
    return pack(tmp_path / "some.tar.gz", {**files, "mobilenetv2_ssd_i256_ckpt/params.yaml": b"x: 1\n"})


def model(url=None, sha256=None, file="some.tar.gz", path=None):
    entry = zoo._model("some", {**ENTRY, "archive": {"file": file, "url": url}}, Path())
    return replace(entry, sha256=sha256, path=path, **({"archive_file": None} if path else {}))


class Fetch:
    """Fetches into a folder of the test without ever waiting."""

    def __init__(self, folder):
        self.folder, self.checksums, self.lines = folder / "pretrained", folder / "state/checksums.json", []

    def __call__(self, entry, mirror=None):
        policy = Policy(attempts=3, connect_timeout=2, read_timeout=2)
        fetching = pretrained.Fetching(policy, self.lines.append, lambda seconds: None)
        return pretrained.fetch(entry, self.folder, mirror, self.checksums, fetching)

    @property
    def recorded(self):
        return json.loads(self.checksums.read_text()) if self.checksums.exists() else {}


@pytest.fixture
def fetch(tmp_path):
    return Fetch(tmp_path)


def serve_file(path):
    return lambda handler: respond(handler, 200, Path(path).read_bytes(), ETag='"v1"')


# ---- the table


@pytest.fixture(scope="module")
def models():
    return zoo.load([TABLE])


def test_every_model_is_one_that_official_vision_builds_its_configuration_of(tf, models):
    from official.core import exp_factory
    from official.vision import registry_imports  # noqa: F401 - registers the factories

    from odtl.overriding import override_config

    assert len(models) >= 14
    for name, entry in models.items():
        config = override_config(exp_factory.get_exp_config(entry.factory), entry.settings, name)
        made = config.as_dict()
        for key, value in flatten(entry.settings).items():
            found = made
            for part in key.split("."):
                found = found[part]
            assert found == value, f"{name}: {key}"
        assert config.task.model.input_size == [entry.input_size, entry.input_size, 3]


def flatten(settings, prefix=""):
    pairs = {}
    for key, value in settings.items():
        where = f"{prefix}{key}"
        pairs |= flatten(value, f"{where}.") if isinstance(value, dict) else {where: value}
    return pairs


def test_the_narrow_model_is_built_as_it_says(tf, models):
    from official.core import exp_factory, task_factory
    from official.vision import registry_imports  # noqa: F401 - registers the factories

    config = exp_factory.get_exp_config(models["demo"].factory)
    config.override(dict(models["demo"].settings), is_strict=True)
    config.task.model.num_classes = 3
    detector = task_factory.get_task(config.task).build_model()
    outputs = detector(tf.zeros([1, 256, 256, 3]), training=True)
    assert {level: tuple(scores.shape) for level, scores in outputs["cls_outputs"].items()} == {
        str(level): (1, 256 >> level, 256 >> level, 9 * 3) for level in range(3, 8)
    }
    assert sum(int(tf.size(weight)) for weight in detector.trainable_variables) < 500_000


def test_parts_are_those_that_can_be_restored():
    from odtl.restoring import PARTS

    assert tuple(zoo._SCHEMA["properties"]["restore"]["items"]["enum"]) == PARTS


def test_the_demo_lies_in_the_repository(models):
    assert models["demo"].path == HOME / "resources/pretrained/demo"
    assert models["demo"].archive_url is None


def test_the_documentation_has_the_same_table(models):
    text = (HOME / "docs/models.md").read_text(encoding="utf-8")
    assert model_table(models, read_times(TIMES)) in text
    assert read_times(TIMES).keys() == models.keys()
    assert "| 22800 |" in text and "e+" not in model_table(models, read_times(TIMES))
    keys = set(re.findall(r"^\| `(\w+)` \|", text.split("## Add a model", 1)[1], re.MULTILINE))
    assert keys == set(zoo._SCHEMA["properties"])


def write_table(table, **changes):
    entry = {**ENTRY, **changes}
    table.write_text(yaml.safe_dump({"models": {"mine": {k: v for k, v in entry.items() if v is not None}}}))
    return table


def test_a_table_of_ones_own(tmp_path):
    entry = zoo.load([TABLE, write_table(tmp_path / "mine.yaml")])["mine"]
    assert entry.settings == {"task": {"model": {"max_level": 6, "input_size": [256, 256, 3]}}}
    assert (entry.archive_file, entry.archive_url) == ("some.tar.gz", "https://example.org/some.tar.gz")
    assert entry.restore == ("backbone",)
    inside = write_table(tmp_path / "mine.yaml", archive=None, path="weights/here")
    assert zoo.load([inside])["mine"].path == tmp_path / "weights/here"


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"famly": "x"}, r"models\.mine\.famly.*Did you mean `family`"),
        ({"factory": None}, "'factory' is a required property"),
        ({"restore": ["backbones"]}, r"models\.mine\.restore\.0: found 'backbones'.*not one of"),
        ({"sha256": "123"}, r"models\.mine\.sha256"),
        ({"archive": {"file": "../up.tar.gz", "url": None}}, r"models\.mine\.archive\.file"),
        ({"archive": {"file": "x.tar.gz", "url": "file:///x"}}, r"models\.mine\.archive\.url"),
        ({"path": "weights"}, "found archive and path.*either"),
        ({"archive": None}, "found neither.*either"),
        ({"coco_ap": 230}, r"models\.mine\.coco_ap: found 230"),
        ({"normalisation": {"mean": [0.5], "stddev": [1, 1, 1], "source": "x"}}, r"normalisation\.mean"),
    ],
)
def test_a_faulty_table_is_told(tmp_path, changes, found):
    path = write_table(tmp_path / "mine.yaml", **changes)
    with pytest.raises(InputError, match=found) as error:
        zoo.load([path])
    assert all(problem.file == str(path) for problem in error.value.problems)


@pytest.mark.parametrize(
    "text", ["- a", "model: {}", "models: {a: 1}", "models: {../a: {}}", "{", "models: {}\nmore: 1"]
)
def test_a_file_that_is_no_table_is_told(tmp_path, text):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(InputError, match=r"mine\.yaml"):
        zoo.load([tmp_path / "mine.yaml"])


def test_missing_tables_and_names_that_stand_in_two_are_all_told(tmp_path):
    path = write_table(tmp_path / "mine.yaml")
    with pytest.raises(InputError) as error:
        zoo.load([path, path, tmp_path / "none.yaml"])
    assert [problem.field for problem in error.value.problems] == ["models.mine", "file"]


def test_names_that_stand_twice_in_one_table_are_told(tmp_path):
    path = write_table(tmp_path / "mine.yaml")
    path.write_text(path.read_text() + path.read_text().split("\n", 1)[1])
    with pytest.raises(InputError, match=r"models\.mine: found lines 2 and \d+"):
        zoo.load([path])


def test_classes_are_a_label_map_or_names_in_order_of_id(tmp_path):
    (tmp_path / "map.pbtxt").write_text("item { id: 3 name: 'cat' }")
    for given, classes in (("map.pbtxt", {"cat": 3}), (["cat", "dog"], {"cat": 1, "dog": 2}), (None, None)):
        assert zoo.load([write_table(tmp_path / "mine.yaml", classes=given)])["mine"].classes == classes
    with pytest.raises(InputError, match=r"none\.pbtxt: classes: found no such file"):
        zoo.load([write_table(tmp_path / "mine.yaml", classes="none.pbtxt")])


def test_classes_of_coco_are_those_of_its_annotation_files(models):
    """80 names among the ids 1 to 90; official.vision learns them with 91 classes, the background among them."""
    coco = models["retinanet_mobilenetv2_256"].classes
    assert len(coco) == 80
    assert max(coco.values()) == 90
    missing = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
    assert set(range(1, 91)) - set(coco.values()) == missing
    assert (coco["person"], coco["stop sign"], coco["bottle"], coco["toothbrush"]) == (1, 13, 44, 90)


def test_same_classes_are_checked_against_the_model(models):
    def check(name, same):
        zoo.check_same_classes({"detector": {"model": name, "same_classes": same}}, models)

    check("retinanet_mobilenetv2_256", {"PET": "bottle"})
    check("fasterrcnn_resnet50fpn_640", {})
    with pytest.raises(InputError, match=r"same_classes\.PET: found 'botle'.*Did you mean `bottle`"):
        check("retinanet_mobilenetv2_256", {"PET": "botle"})
    with pytest.raises(InputError, match="Nothing is known of the classes"):
        check("fasterrcnn_resnet50fpn_640", {"PET": "bottle"})


def test_table_has_the_fast_models_first_and_marks_what_is_counted(models):
    names = ["retinanet_resnet50fpn_640", "demo", "fasterrcnn_resnet50fpn_640"]
    measured = {
        "demo": {"parameters": 530000, "milliseconds": 5.04, "times": 1.0},
        "retinanet_resnet50fpn_640": {"parameters": 1, "milliseconds": 500, "times": 99.6},
    }
    lines = model_table({name: models[name] for name in names}, measured).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    columns = [cells[0].index(name) for name in ("model", "CPU time", "ms", "COCO AP", "parameters (M)")]
    assert [[row[column] for column in columns] for row in cells[2:]] == [
        ["`demo`", "1", "5.04", "-", "0.53*"],
        ["`retinanet_resnet50fpn_640`", "99.6", "500", "36.8", "34"],
        ["`fasterrcnn_resnet50fpn_640`", "-", "-", "-", "-"],
    ]
    assert len({len(line) for line in lines}) == 1


def test_models_are_listed_without_any_data(tmp_path):
    table = write_table(tmp_path / "mine.yaml")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"pretrained": {"zoo": [str(table)]}}))
    script = [sys.executable, str(HOME / "workflow/scripts/list_models.py"), str(tmp_path / "config.yaml")]
    listed = subprocess.run(script, capture_output=True, text=True, cwd=tmp_path, check=True).stdout
    assert "| `mine` " in listed
    assert "| `demo` " in listed
    table.unlink()
    failed = subprocess.run(script, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert failed.returncode == 1
    assert "mine.yaml" in failed.stderr
    assert "Traceback" not in failed.stderr


# ---- where the weights come from


def test_download_of_an_archive_of_the_published_layout(tf, fetch, archive):
    with serving(serve_file(archive)) as server:
        source = fetch(model(server.url))
        url = server.url
    assert json.loads((fetch.folder / "source.json").read_text()) == source
    assert source == {
        "model": "some",
        "prefix": "mobilenetv2_ssd_i256_ckpt/ckpt-7",
        "sha256": sha256_of(archive),
        "url": url,
        "licence": {"name": "not stated", "source": "nowhere"},
    }
    reader = tf.train.load_checkpoint(str(fetch.folder / source["prefix"]))
    assert reader.get_tensor("kernel/.ATTRIBUTES/VARIABLE_VALUE")[1, 2, 99] == 599
    assert fetch.recorded == {"some": sha256_of(archive)}
    assert (fetch.folder / "mobilenetv2_ssd_i256_ckpt/params.yaml").read_text() == "x: 1\n"


def test_a_bad_network_is_overcome(fetch, archive):
    def cut(handler):
        data = archive.read_bytes()
        respond(handler, 200, data[: len(data) // 2], Content_Length=str(len(data)), ETag='"v1"')

    with serving(status(503), cut, serve_file(archive)) as server:
        assert fetch(model(server.url))["sha256"] == sha256_of(archive)


def test_what_came_first_is_verified_ever_after(fetch, archive, tmp_path, checkpoint):
    with serving(serve_file(archive)) as server:
        fetch(model(server.url))
        first = (fetch.folder / "source.json").read_bytes()
        known = sha256_of(archive)
        pack(archive, {f"other/{name}": checkpoint / name for name in FILES})
        with pytest.raises(InputError) as error:
            fetch(model(server.url))
    message = str(error.value)
    assert known in message
    assert sha256_of(archive) in message
    assert '"some" in' in message
    assert "checksums.json" in message
    assert (fetch.folder / "source.json").read_bytes() == first
    assert fetch.recorded == {"some": known}


def test_a_pinned_checksum_is_verified_and_not_recorded(fetch, archive):
    with serving(serve_file(archive)) as server:
        fetch(model(server.url, sha256=sha256_of(archive)))
        assert fetch.recorded == {}
        with pytest.raises(
            InputError, match=rf"{sha256_of(archive)}.*Expected sha256 {'0' * 64} \(models\.some\.sha256"
        ):
            fetch(model(server.url, sha256="0" * 64))


def test_nothing_is_recorded_of_what_cannot_be_used(fetch):
    with (
        serving(lambda handler: respond(handler, 200, b"<html>Please log in</html>")) as server,
        pytest.raises(InputError, match="login page"),
    ):
        fetch(model(server.url))
    assert fetch.recorded == {}
    assert not fetch.folder.exists()


def test_a_dead_link_is_an_error_at_once(fetch):
    with serving(status(404)) as server:
        with pytest.raises(InputError, match="404"):
            fetch(model(server.url))
        assert len(server.requests) == 1
    assert not fetch.folder.exists()


def test_a_mirror_on_the_network_goes_before_the_published_place(fetch, archive):
    with serving(serve_file(archive)) as mirror:
        source = fetch(model("http://127.0.0.1:9/never"), mirror=f"{mirror.base}/models/")
        assert source["url"] == f"{mirror.base}/models/some.tar.gz"
        assert mirror.requests[0].path == "/models/some.tar.gz"


def test_what_a_mirror_lacks_comes_from_the_published_place(fetch, archive, tmp_path):
    (tmp_path / "empty").mkdir()
    with serving(status(404), serve_file(archive)) as server:
        assert fetch(model(server.url), mirror=f"{server.base}/mirror")["url"] == server.url
        assert fetch(model(server.url), mirror=str(tmp_path / "empty"))["url"] == server.url
    assert f"some: some.tar.gz is not in the mirror {tmp_path / 'empty'}" in fetch.lines


def test_the_password_of_a_mirror_is_used_and_told_nowhere(fetch, archive):
    with serving(status(503), serve_file(archive)) as mirror:
        source = fetch(model(), mirror=mirror.base.replace("//", "//me:secret@"))
        assert mirror.requests[0].headers["Authorization"].startswith("Basic ")
    with serving(status(404)) as mirror, pytest.raises(InputError) as error:
        fetch(model(), mirror=mirror.base.replace("//", "//me:secret@"))
    assert "secret" not in json.dumps(source) + str(error.value) + "".join(fetch.lines)


def test_a_mirror_folder_holds_archives(fetch, archive):
    source = fetch(model(), mirror=str(archive.parent))
    assert source["sha256"] == sha256_of(archive)
    assert fetch.recorded == {"some": sha256_of(archive)}


def test_a_mirror_folder_holds_unpacked_archives(fetch, checkpoint, tmp_path):
    folder = tmp_path / "mirror/mobilenet_v2_0.35_imagenet"
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_bytes((checkpoint / name).read_bytes())
    entry = model(file="mobilenet_v2_0.35_imagenet.tar.gz", sha256="0" * 64)
    source = fetch(entry, mirror=str(tmp_path / "mirror"))
    listing = "".join(f"{sha256_of(folder / name)}  {name}\n" for name in sorted(FILES))
    assert source["sha256"] == hashlib.sha256(listing.encode()).hexdigest() == folder_sha256(folder)
    assert source["prefix"] == "ckpt-7"
    assert fetch.recorded == {"some/": source["sha256"]}
    (folder / "more").write_bytes(b"x")
    with pytest.raises(InputError, match='"some/" in'):
        fetch(entry, mirror=str(tmp_path / "mirror"))


def test_a_model_without_address_needs_a_mirror(fetch, tmp_path):
    with pytest.raises(InputError, match=r"no mirror is set.*some\.tar\.gz"):
        fetch(model())
    with pytest.raises(InputError, match="not in the mirror"):
        fetch(model(), mirror=str(tmp_path))
    with pytest.raises(InputError, match=r"pretrained\.mirror"):
        fetch(model(), mirror=str(tmp_path / "none"))


def test_a_model_in_the_repository(fetch, checkpoint, tmp_path):
    assert fetch(model(path=checkpoint), mirror="/nowhere")["prefix"] == "ckpt-7"
    assert fetch.recorded == {}
    fetch(model(path=checkpoint, sha256=folder_sha256(checkpoint)))
    with pytest.raises(InputError, match="Expected sha256 000"):
        fetch(model(path=checkpoint, sha256="0" * 64))
    with pytest.raises(InputError, match="no such folder"):
        fetch(model(path=tmp_path / "none"))


def test_a_path_in_the_project_is_told_relative_to_it(fetch, checkpoint, monkeypatch):
    monkeypatch.chdir(checkpoint.parent)
    assert fetch(model(path=checkpoint))["url"] == checkpoint.name


def test_a_read_only_mirror_does_not_make_a_read_only_copy(fetch, checkpoint, tmp_path):
    folder = tmp_path / "mirror/some"
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_bytes((checkpoint / name).read_bytes())
        (folder / name).chmod(0o444)
    folder.chmod(0o555)
    fetch(model(), mirror=str(tmp_path / "mirror"))
    assert all(os.stat(path).st_mode & 0o200 for path in [fetch.folder, *fetch.folder.iterdir()])


def test_models_fetched_at_once_are_all_recorded(checkpoint, tmp_path):
    pack(tmp_path / "some.tar.gz", {name: checkpoint / name for name in FILES})
    checksums = tmp_path / "checksums.json"

    def one(number):
        entry = replace(model(), name=f"m{number}")
        quiet = pretrained.Fetching(report=lambda line: None)
        pretrained.fetch(entry, tmp_path / f"out{number}", str(tmp_path), checksums, quiet)

    threads = [threading.Thread(target=one, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(json.loads(checksums.read_text())) == [f"m{number}" for number in range(8)]


@pytest.mark.parametrize("text", ["{", "[]", '{"some": 1}'])
def test_a_damaged_file_of_checksums_is_told(fetch, archive, text):
    fetch.checksums.parent.mkdir()
    fetch.checksums.write_text(text)
    with pytest.raises(InputError, match=r"checksums\.json"):
        fetch(model(), mirror=str(archive.parent))


# ---- what is in an archive


def link(name, target, kind=tarfile.SYMTYPE):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    ("files", "links", "found"),
    [
        ({"../evil": b"x"}, (), "a name that leaves the folder"),
        ({"a/../../evil": b"x"}, (), "a name that leaves the folder"),
        ({"/tmp/evil": b"x"}, (), "an absolute name"),
        ({}, [link("a", "/etc/passwd")], "a link to /etc/passwd"),
        ({}, [link("a", "/etc/passwd", tarfile.LNKTYPE)], "a link to /etc/passwd"),
        ({}, [link("pipe", "", tarfile.FIFOTYPE)], "neither a file nor a folder"),
        ({}, [link("null", "", tarfile.CHRTYPE)], "neither a file nor a folder"),
    ],
)
def test_unsafe_archives_are_refused(fetch, tmp_path, checkpoint, files, links, found):
    whole = {name: checkpoint / name for name in FILES}
    (tmp_path / "mirror").mkdir()
    pack(tmp_path / "mirror/some.tar.gz", {**whole, **files}, links)
    with pytest.raises(InputError, match=found):
        fetch(model(), mirror=str(tmp_path / "mirror"))
    assert not fetch.folder.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mirror"]


def test_archives_that_unpack_to_too_much_are_refused(fetch, archive, monkeypatch):
    monkeypatch.setattr(pretrained, "_MAX_MEMBERS", 2)
    with pytest.raises(InputError, match="more than 2 members"):
        fetch(model(), mirror=str(archive.parent))
    monkeypatch.undo()
    monkeypatch.setattr(pretrained, "_MAX_UNPACKED_BYTES", 100)
    with pytest.raises(InputError, match="100 bytes"):
        fetch(model(), mirror=str(archive.parent))


@pytest.mark.parametrize("keep", [0.2, 0.9])
def test_a_truncated_archive_is_told(fetch, archive, keep):
    data = archive.read_bytes()
    archive.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(InputError, match="The archive cannot be read"):
        fetch(model(), mirror=str(archive.parent))
    assert not fetch.folder.exists()


def test_an_archive_without_a_checkpoint_is_told(fetch, tmp_path):
    pack(tmp_path / "some.tar.gz", {"README": b"hello"})
    with pytest.raises(InputError, match="found none"):
        fetch(model(), mirror=str(tmp_path))


@pytest.mark.parametrize(
    ("state", "found"),
    [
        (None, "ckpt-10"),
        ('model_checkpoint_path: "ckpt-9"\nall_model_checkpoint_paths: "ckpt-10"\n', "ckpt-9"),
        ('model_checkpoint_path: "/elsewhere/ckpt-9"\n', "ckpt-9"),
        ('model_checkpoint_path: "ckpt-4711"\n', "ckpt-10"),
    ],
)
def test_the_checkpoint_among_several(tmp_path, state, found):
    for name in ("ckpt-9", "ckpt-10", "best"):
        (tmp_path / f"{name}.index").touch()
    if state:
        (tmp_path / "checkpoint").write_text(state)
    assert pretrained.find_checkpoint(tmp_path) == tmp_path / found


def test_several_checkpoints_of_one_step_are_told(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "ckpt-9.index").touch()
    with pytest.raises(InputError, match="found a/ckpt-9, b/ckpt-9"):
        pretrained.find_checkpoint(tmp_path)


# ---- checkpoints on disk


def copy(checkpoint, folder):
    for name in FILES:
        (folder / name).write_bytes((checkpoint / name).read_bytes())
    return folder / "ckpt-7"


def test_a_checkpoint_is_read_as_tensorflow_wrote_it(tf, checkpoint):
    entries = bundle.check_checkpoint(checkpoint / "ckpt-7")
    shapes = tf.train.load_checkpoint(str(checkpoint / "ckpt-7")).get_variable_to_shape_map()
    assert {name: list(entry.shape) for name, entry in entries.items()} == shapes
    kernel = entries["kernel/.ATTRIBUTES/VARIABLE_VALUE"]
    data = (checkpoint / FILES[1]).read_bytes()[kernel.offset : kernel.offset + kernel.size]
    assert struct.unpack("<600f", data) == tuple(range(600))


def test_a_large_index_is_read_whole(tf, tmp_path):
    names = [f"layer_with_weights-{number}/kernel" for number in range(2000)]
    prefix = str(tmp_path / "big")
    tf.raw_ops.SaveV2(
        prefix=prefix, tensor_names=names, shape_and_slices=[""] * 2000, tensors=[tf.constant(1.0)] * 2000
    )
    assert sorted(bundle.check_checkpoint(prefix)) == sorted(names)


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda prefix: Path(f"{prefix}.data-00000-of-00001").unlink(), "data file: found nothing"),
        (lambda prefix: os.truncate(f"{prefix}.data-00000-of-00001", 100), "data file: found 100 of"),
        (lambda prefix: os.truncate(f"{prefix}.index", 60), "no checkpoint index"),
        (lambda prefix: Path(f"{prefix}.index").write_bytes(b"<html>"), "no checkpoint index"),
        (lambda prefix: flip(f"{prefix}.index", 20), "wrong checksum"),
    ],
)
def test_damaged_checkpoints_are_told(checkpoint, tmp_path, damage, found):
    prefix = copy(checkpoint, tmp_path)
    damage(prefix)
    with pytest.raises(InputError, match=found):
        bundle.check_checkpoint(prefix)


def flip(path, position):
    data = bytearray(Path(path).read_bytes())
    data[position] ^= 1
    Path(path).write_bytes(data)


def test_any_damaged_byte_of_an_index_ends_in_a_clear_error_or_in_the_same_tensors(checkpoint, tmp_path):
    prefix = copy(checkpoint, tmp_path)
    whole, index = bundle.check_checkpoint(prefix), Path(f"{prefix}.index")
    data = index.read_bytes()
    for position in range(len(data)):
        flip(index, position)
        try:
            assert bundle.check_checkpoint(prefix) == whole
        except InputError as error:
            assert "ckpt-7" in str(error)
        index.write_bytes(data)
