import csv
import hashlib
import io
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from odtl import records
from odtl.boxes import COLUMNS
from odtl.errors import InputError
from odtl.files import sha256_of
from odtl.sidecars import read_sidecar

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
FLOATS = st.floats(width=32, allow_nan=False)
INTS = st.integers(-(2**63), 2**63 - 1)
FEATURES = st.dictionaries(
    NAMES,
    st.one_of(
        st.lists(st.binary(max_size=20), min_size=1, max_size=4),
        st.lists(FLOATS, min_size=1, max_size=4),
        st.lists(INTS, min_size=1, max_size=4),
    ),
    max_size=6,
)


@pytest.fixture(scope="module")
def tf():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return pytest.importorskip("tensorflow")


def picture(folder, name, size=(40, 20), mode="RGB", kind="JPEG"):
    path = folder / name
    Image.new(mode, size, 90).save(path, kind)
    return path


def row(path, label="cat", box=(4, 5, 24, 15), size=(40, 20), difficult=0, truncated=0):
    edges = box if label else ("",) * 4
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return [path.name, *size, label, *edges, difficult, truncated, 0, "train", path.name, str(path), digest]


def write_boxes(path, rows):
    with open(path, "w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([COLUMNS, *rows])
    return path


@pytest.fixture
def label_map(tmp_path):
    path = tmp_path / "label_map.pbtxt"
    path.write_text("item { id: 1 name: 'cat' }\nitem { id: 2 name: 'dög' }\n", encoding="utf-8")
    return path


@pytest.fixture
def shard(tmp_path, label_map):
    a, b, c = (picture(tmp_path, name) for name in ("a.jpg", "b.jpg", "c.png"))
    grey = picture(tmp_path, "d.jpg", mode="L")
    rows = [row(a), row(a, "dög", (0, 0, 40, 20), difficult=1), row(b, ""), row(c, truncated=1), row(grey)]
    return write_boxes(tmp_path / "train-00000-of-00001.csv", rows)


def test_fields_of_an_image(shard, label_map, tmp_path):
    out = tmp_path / "out.tfrecord"
    assert records.write_records(shard, label_map, out) == (4, 4)
    first, negative, misnamed, grey = records.read_records(out)
    encoded = (tmp_path / "a.jpg").read_bytes()
    assert first == {
        "image/encoded": [encoded],
        "image/filename": [b"a.jpg"],
        "image/format": [b"jpeg"],
        "image/height": [20],
        "image/key/sha256": [hashlib.sha256(encoded).hexdigest().encode()],
        "image/object/bbox/xmin": [pytest.approx(0.1, abs=1e-7), 0.0],
        "image/object/bbox/ymin": [0.25, 0.0],
        "image/object/bbox/xmax": [pytest.approx(0.6, abs=1e-7), 1.0],
        "image/object/bbox/ymax": [0.75, 1.0],
        "image/object/class/label": [1, 2],
        "image/object/class/text": [b"cat", "dög".encode()],
        "image/object/difficult": [0, 1],
        "image/object/is_crowd": [0, 0],
        "image/object/truncated": [0, 0],
        "image/object/view": [b"Unspecified", b"Unspecified"],
        "image/source_id": [b"2836059931555064"],
        "image/width": [40],
    }
    assert negative["image/filename"] == [b"b.jpg"]
    assert all(values == [] for name, values in negative.items() if name.startswith("image/object/"))
    assert misnamed["image/object/truncated"] == [1]
    with Image.open(io.BytesIO(grey["image/encoded"][0])) as image:
        assert image.mode == "RGB"
    assert grey["image/key/sha256"] == [hashlib.sha256(grey["image/encoded"][0]).hexdigest().encode()]


def test_tensorflow_and_official_vision_read_what_was_written(tf, shard, label_map, tmp_path):
    from official.vision.dataloaders import tf_example_decoder
    from official.vision.dataloaders.utils import process_source_id

    out = tmp_path / "out.tfrecord"
    records.write_records(shard, label_map, out)
    serialized = [item.numpy() for item in tf.data.TFRecordDataset(str(out))]
    assert [
        tf.train.Example.FromString(item).SerializeToString(deterministic=True) for item in serialized
    ] == serialized
    decoder = tf_example_decoder.TfExampleDecoder()
    first, negative, *_ = (decoder.decode(item) for item in serialized)
    assert first["groundtruth_boxes"].numpy().ravel() == pytest.approx([0.25, 0.1, 0.75, 0.6, 0, 0, 1, 1])
    assert first["groundtruth_classes"].numpy().tolist() == [1, 2]
    assert first["image"].shape == (20, 40, 3)
    assert process_source_id(first["source_id"]).numpy() == records.source_id("a.jpg")
    assert negative["groundtruth_boxes"].shape == (0, 4)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(features=FEATURES)
def test_tensorflow_reads_any_fields_back(tf, features):
    example = tf.train.Example.FromString(records.serialize(features))
    kinds = {bytes: "bytes_list", float: "float_list", int: "int64_list"}
    read = {
        name: list(getattr(example.features.feature[name], kinds[type(values[0])]).value)
        for name, values in features.items()
    }
    assert read == features
    assert len(example.features.feature) == len(features)
    assert example.SerializeToString(deterministic=True) == records.serialize(features)


@given(st.lists(FEATURES, max_size=4))
def test_our_reader_reads_what_was_written(tmp_path_factory, batches):
    path = tmp_path_factory.mktemp("records") / "some.tfrecord"
    path.write_bytes(b"".join(records.frame(records.serialize(features)) for features in batches))
    assert list(records.read_records(path)) == batches


def test_our_reader_reads_what_tensorflow_writes(tf, tmp_path):
    path = tmp_path / "tf.tfrecord"
    feature = tf.train.Feature(float_list=tf.train.FloatList(value=[0.5, -1.0]))
    example = tf.train.Example(features=tf.train.Features(feature={"x": feature, "none": tf.train.Feature()}))
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(example.SerializeToString())
        writer.write(b"")
    assert list(records.read_records(path)) == [{"x": [0.5, -1.0], "none": []}, {}]


@pytest.mark.parametrize("seed", ["1", "4711"])
def test_bytes_are_the_same_in_every_process(seed, shard, label_map, tmp_path):
    here, there = tmp_path / "here.tfrecord", tmp_path / "there.tfrecord"
    records.write_records(shard, label_map, here)
    code = "import sys; from odtl import records; records.write_records(*sys.argv[1:])"
    library = str(Path(records.__file__).parent.parent)
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": library}
    subprocess.run([sys.executable, "-c", code, shard, label_map, there], check=True, env=environment)
    assert here.read_bytes() == there.read_bytes()


def test_no_image_gives_a_valid_empty_file(tf, tmp_path, label_map):
    out = tmp_path / "out.tfrecord"
    assert records.write_records(write_boxes(tmp_path / "boxes.csv", []), label_map, out) == (0, 0)
    assert out.read_bytes() == b""
    assert list(records.read_records(out)) == list(tf.data.TFRecordDataset(str(out))) == []


def test_changed_and_missing_images_are_all_told_and_nothing_is_written(shard, label_map, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"other")
    (tmp_path / "d.jpg").unlink()
    out = tmp_path / "out.tfrecord"
    with pytest.raises(InputError) as error:
        records.write_records(shard, label_map, out)
    assert [Path(problem.file).name for problem in error.value.problems] == ["a.jpg", "d.jpg"]
    assert "run again" in str(error.value)
    assert not out.exists()


def test_a_class_that_is_not_in_the_label_map_is_an_error(shard, label_map, tmp_path):
    label_map.write_text("item { id: 1 name: 'cat' }")
    with pytest.raises(InputError, match=r"class: found 'dög'. It has no id in the label map"):
        records.write_records(shard, label_map, tmp_path / "out.tfrecord")


def test_an_image_whose_rows_state_another_size_is_an_error(tmp_path, label_map):
    boxes = write_boxes(tmp_path / "boxes.csv", [row(picture(tmp_path, "a.jpg"), size=(20, 40))])
    with pytest.raises(InputError, match="40 x 20 pixels, not 20 x 40"):
        records.write_records(boxes, label_map, tmp_path / "out.tfrecord")


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda data: data[:-1], "ends within it"),
        (lambda data: data[:5], "ends within it"),
        (lambda data: data[:-6] + bytes([data[-6] ^ 1]) + data[-5:], "a wrong checksum"),
        (lambda data: struct.pack("<Q", 2**60) + data[8:], "ends within it"),
    ],
)
def test_damaged_records_are_told(tmp_path, damage, found):
    path = tmp_path / "some.tfrecord"
    whole = records.frame(records.serialize({"x": [1]}))
    path.write_bytes(whole + damage(whole))
    with pytest.raises(InputError, match=f"record 2: found .*{found}"):
        list(records.read_records(path))


@given(NAMES)
def test_source_id_is_stable_and_exact_as_a_double(image_id):
    number = records.source_id(image_id)
    assert 1 <= number < 2**53
    assert int(float(number)) == number == records.source_id(image_id)


def test_source_id_of_a_name_that_is_no_utf8():
    assert records.source_id(b"caf\xe9.jpg".decode("utf-8", "surrogateescape")) > 0


def test_source_ids_of_many_images_differ():
    assert len({records.source_id(f"train/{number}.jpg") for number in range(20_000)}) == 20_000


def test_sidecar_says_what_is_in_the_record(tmp_path, label_map):
    shard = write_boxes(tmp_path / "boxes.csv", [row(picture(tmp_path, "a.jpg"))])
    out, sidecar = tmp_path / "a.tfrecord", tmp_path / "a.json"
    records.write_records(shard, label_map, out, sidecar, sha256_of(shard))
    content = read_sidecar(sidecar)
    assert (content["images"], content["boxes"]) == (1, 1)
    assert content["files"]["records"] == {"bytes": out.stat().st_size, "sha256": sha256_of(out)}


def test_ids_may_be_given_without_a_file(tmp_path):
    shard = write_boxes(tmp_path / "boxes.csv", [row(picture(tmp_path, "a.jpg"))])
    records.write_records(shard, {"cat": 7}, tmp_path / "a.tfrecord")
    (example,) = records.read_records(tmp_path / "a.tfrecord")
    assert example["image/object/class/label"] == [7]
