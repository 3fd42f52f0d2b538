"""One tiny detector with random weights through everything that comes after training."""

import csv
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from odtl import checkpoints, evaluation, plots, records, serving
from odtl.compare import ParityError, Tolerances
from odtl.detecting.run import Options, detect_inputs
from odtl.detections import Detections
from odtl.detector import Detector
from odtl.errors import InputError
from odtl.experiment import write_experiment
from odtl.export.choice import Choice
from odtl.export.formats import PATHS
from odtl.export.gate import check_export
from odtl.export.graphs import export_graphs
from odtl.export.metadata import write_labels
from odtl.export.reference import Evaluated, read_reference, write_reference
from odtl.export.sidecars import describe
from odtl.files import sha256_of
from odtl.serving import INPUT, OUTPUTS

FACTORY = "retinanet"
SIDE = 64
IMAGES = 4
TOLERANCES = Tolerances(min_iou=0.99, max_score_difference=0.01)
CLASSES = {"bb8": 1, "r2d2": 2}
LABEL_MAP = "item { id: 1 name: 'bb8' }\nitem { id: 2 name: 'r2d2' }\n"
TINY = {
    "runtime": {"mixed_precision_dtype": "float32"},
    "task": {
        "model": {
            "num_classes": 3,
            "input_size": [SIDE, SIDE, 3],
            "min_level": 3,
            "max_level": 5,
            "backbone": {"type": "mobilenet", "mobilenet": {"model_id": "MobileNetV2", "filter_size_scale": 0.35}},
            "decoder": {"type": "fpn", "fpn": {"num_filters": 16, "use_separable_conv": True, "use_keras_layer": True}},
            "head": {"num_convs": 1, "num_filters": 16, "use_separable_conv": True},
            "anchor": {"anchor_size": 3},
            # The default is made for TPUs, and slow on CPUs.
            "detection_generator": {"nms_version": "batched"},
        },
        "validation_data": {"dtype": "float32", "global_batch_size": 2, "drop_remainder": False, "is_training": False},
    },
}


class Chain:
    """The files of a tiny experiment. The ground truth is made of what the model finds, so that AP is not just 0."""

    def __init__(self, folder):
        from official.core import exp_factory
        from official.vision import registry_imports  # noqa: F401 - registers the factories

        self.folder = folder
        self.experiment, self.checkpoint = folder / "experiment.yaml", folder / "ckpt"
        self.label_map, self.records = folder / "label_map.pbtxt", folder / "test.tfrecord"
        config = exp_factory.get_exp_config(FACTORY)
        config.override(TINY)
        write_experiment(config.as_dict(), self.experiment)
        self.label_map.write_text(LABEL_MAP)
        _scramble(checkpoints.build_model(config), self.checkpoint)
        self.model, self.config = checkpoints.load_model(self.experiment, FACTORY, self.checkpoint)
        # Five images and batches of two: the last batch is a partial one.
        self.images = [_noise(seed, side, side) for seed, side in enumerate([64, 97, 150, 40, 64])]
        found = list(serving.detect_encoded(self.model, self.config, map(_png, self.images), batch_size=2))
        examples = [
            _example(number, image, detections.take(np.arange(0, 12, 3)) if number < 5 else None)
            for number, (image, detections) in enumerate(zip(self.images, found, strict=True), start=1)
        ]
        self.records.write_bytes(b"".join(records.frame(records.serialize(example)) for example in examples))
        self.evaluation = {
            key: folder / "evaluation" / name
            for key, name in {
                "metrics_json": "metrics.json",
                "per_class_csv": "per_class.csv",
                "pr_curve_csv": "pr_curve.csv",
                "detections_json": "detections.json",
            }.items()
        }
        self.arguments = self.experiment, FACTORY, self.checkpoint
        self.metrics = evaluation.evaluate(
            *self.arguments, [self.records], self.label_map, **self.evaluation, batch_size=2
        )
        self.candidates, self.export = folder / "candidates", folder / "export"
        self.choice = Choice("best", 3, "best AP on the validation images: 0.5", str(self.checkpoint))
        facts = export_graphs(
            *self.arguments, self.label_map, self.candidates / "saved_model", self.candidates / "frozen_graph"
        )
        for name in ("saved_model", "frozen_graph"):
            describe(self.candidates / f"{name}.json", self.candidates / name, self.choice, facts)
        write_labels(self.label_map, self.export / "label_map.pbtxt", self.export / "labels.txt")
        self.reference = self.candidates / "reference.json"
        self.write_reference(self.reference)
        self.parity = {
            name: self.gate(name, self.candidates / name, self.export) for name in ("saved_model", "frozen_graph")
        }

    def write_reference(self, path, evaluated=None, **records):
        inputs = {"test": [self.records], **records}
        sidecar = path.with_suffix(".summary")
        write_reference(self.experiment, FACTORY, self.choice, self.label_map, inputs, IMAGES, path, sidecar, evaluated)
        return json.loads(sidecar.read_text())

    def gate(self, name, candidate, target, tolerances=TOLERANCES, reference=None, **records):
        return check_export(
            name,
            candidate,
            candidate.with_suffix(".json"),
            reference or self.reference,
            self.label_map,
            {"test": [self.records], **records},
            IMAGES,
            tolerances,
            target / PATHS[name],
            target / f"parity/{name}.json",
        )


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    return Chain(tmp_path_factory.mktemp("chain"))


def _scramble(model, checkpoint) -> None:
    """Write weights that find something: fresh ones score 0.01 everywhere. Boxes stay close to their anchors."""
    generator = np.random.default_rng(1)
    for variable in model.trainable_variables:
        if "kernel" in variable.name:
            # He et al. 2015; a depthwise kernel sees one channel only.
            inputs = np.prod(variable.shape[: 2 if "depthwise" in variable.name else 3])
            variable.assign(generator.normal(0, np.sqrt(2 / inputs), variable.shape))
    for variable in model.head.trainable_variables:
        if "kernel" in variable.name or "bias" in variable.name:
            spread = 0.05 if "box" in variable.name else 0.4
            variable.assign(generator.normal(0, spread, variable.shape))
    checkpoints.weights_of(model).write(str(checkpoint))


def _noise(seed: int, width: int, height: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height))


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _example(number: int, image: Image.Image, wanted: Detections | None) -> dict:
    """Make an Example whose objects are the given detections, a little smaller, so that only some of the IoUs count."""
    boxes = np.zeros((0, 4)) if wanted is None else wanted.boxes / image.width
    shrunk = boxes + np.array([0.08, 0.04, -0.08, -0.04]) * np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return {
        "image/encoded": [_png(image)],
        "image/filename": [f"{number}.png".encode()],
        "image/format": [b"png"],
        "image/width": [image.width],
        "image/height": [image.height],
        "image/source_id": [str(10 * number).encode()],
        "image/object/class/label": [] if wanted is None else wanted.classes.tolist(),
        "image/object/difficult": [1] * len(boxes),
        **{f"image/object/bbox/{edge}": shrunk[:, index].tolist()
           for index, edge in enumerate(("xmin", "ymin", "xmax", "ymax"))},
    }  # fmt: skip


def _official_metrics(chain: Chain) -> dict:
    """Score the same records with official.vision's own task and evaluator."""
    from official.core import task_factory

    task = task_factory.get_task(chain.config.task)
    data = chain.config.task.validation_data.replace(input_path=str(chain.records))
    state, metrics = None, task.build_metrics(training=False)
    for batch in task.build_inputs(data):
        state = task.aggregate_logs(state, task.validation_step(batch, chain.model, metrics))
    return task.reduce_aggregated_logs(state)


def test_every_image_is_scored_and_every_file_is_there(chain):
    metrics = json.loads(chain.evaluation["metrics_json"].read_text())
    assert metrics == chain.metrics
    assert (metrics["images"], metrics["images_without_object"]) == (5, 1)
    assert metrics["boxes"] > 4
    results = json.loads(chain.evaluation["detections_json"].read_text())
    assert {result["image_id"] for result in results} == {10, 20, 30, 40, 50}
    assert metrics["detections"] == len(results)
    with open(chain.evaluation["per_class_csv"], newline="") as stream:
        assert [row["class"] for row in csv.DictReader(stream)] == ["bb8", "r2d2"]
    curves = plots.read_pr_curves(chain.evaluation["pr_curve_csv"], chain.evaluation["per_class_csv"])
    assert {len(recall) for recall, _, _ in curves.values()} == {101}
    for _, precision, ap50 in curves.values():
        assert np.mean(precision) == pytest.approx(ap50)


def test_figures_are_those_of_official_vision(chain):
    theirs = _official_metrics(chain)
    ours = chain.metrics
    assert 0.05 < ours["AP"] < 0.95, "the comparison says nothing"
    for name, their_name in [*((n, n) for n in ("AP", "AP50", "AP75", "APs", "APm", "APl")),
                             ("AR@1", "ARmax1"), ("AR@10", "ARmax10"), ("AR@100", "ARmax100")]:  # fmt: skip
        value = -1 if ours[name] is None else ours[name]
        assert value == pytest.approx(float(theirs[their_name]), abs=1e-6), name


def test_export_is_whole_and_proven(chain):
    names = {path.relative_to(chain.export).as_posix() for path in chain.export.rglob("*") if path.is_file()}
    assert {
        "frozen_inference_graph.pb",
        "label_map.pbtxt",
        "labels.txt",
        "parity/frozen_graph.json",
        "parity/saved_model.json",
        "saved_model/1/saved_model.pb",
        "saved_model/1/assets.extra/label_map.pbtxt",
    } <= names
    assert (chain.export / "labels.txt").read_text() == "bb8\nr2d2\n"
    for name, report in chain.parity.items():
        written = json.loads((chain.export / f"parity/{name}.json").read_text())
        assert report["passed"] and report["images"] == 4 and report["detections"] > 10 and report["outliers"] == 0
        assert report["min_iou"] > 0.9999 and report["max_score_difference"] < 1e-4
        assert report["AP"]["export"] == pytest.approx(report["AP"]["checkpoint"], abs=1e-6)
        assert [row["class"] for row in report["per_class"]] == ["bb8", "r2d2"]
        assert written["checkpoint"]["sha256"] == chain.metrics["checkpoint_sha256"]
        assert (written["checkpoint"]["step"], written["format"]) == (3, name)
        for file, facts in written["files"].items():
            assert sha256_of(chain.export / file) == facts["sha256"]


def test_what_the_evaluation_has_found_is_not_found_again(chain, tmp_path):
    evaluated = Evaluated(chain.evaluation["metrics_json"], chain.evaluation["detections_json"])
    (tmp_path / "experiment.yaml").write_text("no model can be made of this")
    copy = Choice("best", 3, "", chain.choice.prefix)
    write_reference(
        tmp_path / "experiment.yaml", FACTORY, copy, chain.label_map, {"test": [chain.records]}, IMAGES,
        tmp_path / "reference.json", tmp_path / "summary.json", evaluated,
    )  # fmt: skip
    known, again = read_reference(chain.reference), read_reference(tmp_path / "reference.json")
    assert list(again.found) == list(known.found) == ["1.png", "2.png", "3.png", "4.png"]
    for name, detections in known.found.items():
        np.testing.assert_allclose(again.found[name].boxes, detections.boxes, atol=1e-3)
        np.testing.assert_allclose(again.found[name].scores, detections.scores, atol=1e-5)


def test_without_test_images_others_stand_in_and_that_is_said(chain, tmp_path):
    (tmp_path / "none.tfrecord").write_bytes(b"")
    split = {"test": [tmp_path / "none.tfrecord"], "val": [chain.records]}
    said = chain.write_reference(tmp_path / "reference.json", **split)
    assert (said["split"], said["images"]) == ("val", 4)
    reference = tmp_path / "reference.json"
    report = chain.gate("frozen_graph", chain.candidates / "frozen_graph", tmp_path, reference=reference, **split)
    assert "4 val image(s), since there are no test images" in report["note"]


def test_a_reference_of_other_images_or_another_checkpoint_is_refused(chain, tmp_path):
    (tmp_path / "none.tfrecord").write_bytes(b"")
    with pytest.raises(InputError, match="others than in the records"):
        chain.gate("frozen_graph", chain.candidates / "frozen_graph", tmp_path, test=[tmp_path / "none.tfrecord"])
    content = json.loads(chain.reference.read_text())
    (tmp_path / "reference.json").write_text(json.dumps({**content, "checkpoint_sha256": "f" * 64}))
    with pytest.raises(InputError, match=r"one of the checkpoint .*, not ffffffffffff"):
        chain.gate("frozen_graph", chain.candidates / "frozen_graph", tmp_path, reference=tmp_path / "reference.json")


def test_files_are_served_as_they_are_of_any_size_and_kind(chain):
    import tensorflow as tf

    served = tf.saved_model.load(str(chain.export / "saved_model/1"))
    assert set(served.signatures) == {"serving_default", "serving_bytes"}
    stream = io.BytesIO()
    chain.images[1].save(stream, "JPEG", quality=95)
    files = [_png(chain.images[0]), stream.getvalue(), _png(_noise(9, 31, 77))]
    outputs = served.signatures["serving_bytes"](encoded_image_string_tensor=tf.constant(files))
    assert {name: value.shape[0] for name, value in outputs.items()} == dict.fromkeys(OUTPUTS, 3)
    pixels = [tf.io.decode_image(file, channels=3, expand_animations=False) for file in files]
    for index, image in enumerate(pixels):
        one = served.signatures["serving_default"](image_tensor=image[None])
        assert one["num_detections"][0] > 0
        for name in OUTPUTS:
            np.testing.assert_allclose(outputs[name][index], one[name][0], atol=1e-4)


def test_a_client_of_the_tf_object_detection_api_runs_the_frozen_graph(chain):
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        graph_def = tf.compat.v1.GraphDef()
        graph_def.ParseFromString((chain.export / "frozen_inference_graph.pb").read_bytes())
        tf.import_graph_def(graph_def, name="")
    assert graph.get_tensor_by_name("image_tensor:0").dtype == tf.uint8
    assert graph.get_tensor_by_name("image_tensor:0").shape.as_list() == [None, None, None, 3]
    batch = np.stack([np.asarray(chain.images[0]), np.asarray(chain.images[4])])
    with tf.compat.v1.Session(graph=graph) as session:
        boxes, scores, classes, count = session.run([f"{name}:0" for name in OUTPUTS], {f"{INPUT}:0": batch})
    assert boxes.shape[0] == 2 and boxes.shape[2] == 4
    assert {array.dtype for array in (boxes, scores, classes, count)} == {np.dtype(np.float32)}
    assert boxes.min() >= 0 and boxes.max() <= 1
    assert np.all(np.diff(scores, axis=1) <= 0)
    results = json.loads(chain.evaluation["detections_json"].read_text())
    for index, image_id in enumerate((10, 50)):
        wanted = [result for result in results if result["image_id"] == image_id]
        found = int(count[index])
        assert found == len(wanted)
        np.testing.assert_allclose(scores[index, :found], [result["score"] for result in wanted], atol=1e-5)
        assert classes[index, :found].tolist() == [result["category_id"] for result in wanted]
        ymin, xmin, ymax, xmax = (boxes[index, :found] * SIDE).T
        expected = [result["bbox"] for result in wanted]
        np.testing.assert_allclose(np.stack([xmin, ymin, xmax - xmin, ymax - ymin], axis=1), expected, atol=1e-3)
        assert not boxes[index, found:].any() and not scores[index, found:].any()


# As scripts for frozen graphs of the TF Object Detection API are written: only PATH_TO_CKPT differs.
CLIENT = """
import numpy as np
import tensorflow.compat.v1 as tf

detection_graph = tf.Graph()
with detection_graph.as_default():
    od_graph_def = tf.GraphDef()
    with tf.gfile.GFile(PATH_TO_CKPT, "rb") as fid:
        serialized_graph = fid.read()
        od_graph_def.ParseFromString(serialized_graph)
        tf.import_graph_def(od_graph_def, name="")

with detection_graph.as_default():
    with tf.Session(graph=detection_graph) as sess:
        ops = tf.get_default_graph().get_operations()
        all_tensor_names = {output.name for op in ops for output in op.outputs}
        tensor_dict = {}
        for key in ["num_detections", "detection_boxes", "detection_scores", "detection_classes", "detection_masks"]:
            tensor_name = key + ":0"
            if tensor_name in all_tensor_names:
                tensor_dict[key] = tf.get_default_graph().get_tensor_by_name(tensor_name)
        image_tensor = tf.get_default_graph().get_tensor_by_name("image_tensor:0")
        output_dict = sess.run(tensor_dict, feed_dict={image_tensor: np.expand_dims(image, 0)})
        output_dict["num_detections"] = int(output_dict["num_detections"][0])
        output_dict["detection_classes"] = output_dict["detection_classes"][0].astype(np.uint8)
        output_dict["detection_boxes"] = output_dict["detection_boxes"][0]
        output_dict["detection_scores"] = output_dict["detection_scores"][0]
"""


def test_a_script_written_for_such_graphs_runs_with_another_path(chain):
    path = str(chain.export / "frozen_inference_graph.pb")
    names = {"PATH_TO_CKPT": path, "image": np.asarray(chain.images[0])}
    exec(CLIENT, names)
    found = names["output_dict"]
    (wanted,) = Detector.load(path).detect(names["image"][None])
    count = found["num_detections"]
    assert count == len(wanted) > 0
    assert set(found) == set(OUTPUTS)
    assert found["detection_classes"][:count].tolist() == wanted.classes.tolist()
    np.testing.assert_allclose(found["detection_scores"][:count], wanted.scores, atol=1e-5)
    np.testing.assert_allclose(found["detection_boxes"][:count, [1, 0, 3, 2]] * SIDE, wanted.boxes, atol=1e-3)


@pytest.mark.parametrize("place", ["", "saved_model", "saved_model/1", "frozen_inference_graph.pb"])
def test_detector_takes_images_of_any_size(chain, place):
    detector = Detector.load(chain.export / place)
    assert detector.names == {1: "bb8", 2: "r2d2"}
    for width, height in [(1, 1), (37, 501), (501, 37), (1000, 1), (3, 400)]:
        (found,) = detector.detect(np.asarray(_noise(0, width, height))[None])
        boxes = found.boxes
        assert np.all(boxes[:, :2] < boxes[:, 2:]) and np.all(boxes >= 0)
        assert np.all(boxes <= np.array([width, height, width, height]) + 1e-3)
    assert len(found) > 0
    one, same = detector.detect(np.stack([np.asarray(chain.images[0])] * 2))
    # How a batch is cut among threads decides the last bits.
    np.testing.assert_allclose(one.boxes, same.boxes, atol=1e-3)


def test_a_portrait_stored_lying_is_detected_upright(chain, tmp_path):
    upright = _noise(3, 60, 90)
    lying = upright.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "in").mkdir()
    upright.save(tmp_path / "in/upright.png")
    lying.save(tmp_path / "in/lying.png", exif=exif)
    detect_inputs(chain.export / "frozen_inference_graph.pb", tmp_path / "in", tmp_path / "out", Options(0.05))
    with open(tmp_path / "out/detections.csv", newline="") as stream:
        rows = [tuple(row.values()) for row in csv.DictReader(stream)]
    lying_rows = [row[1:] for row in rows if row[0] == "lying.png"]
    assert lying_rows and lying_rows == [row[1:] for row in rows if row[0] == "upright.png"]
    assert lying_rows[0][:2] == ("60", "90")


def _damaged_graph(chain) -> bytes:
    """Return the frozen graph with one weight in ten set to zero, as a careless quantisation might."""
    import tensorflow as tf

    graph_def = tf.compat.v1.GraphDef.FromString((chain.export / "frozen_inference_graph.pb").read_bytes())
    for node in graph_def.node:
        if node.op == "Const" and len(node.attr["value"].tensor.tensor_content) > 4000:
            weights = tf.make_ndarray(node.attr["value"].tensor).copy()
            if weights.dtype == np.float32:
                weights.reshape(-1)[::10] = 0
                node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(weights))
    return graph_def.SerializeToString()


def test_an_export_that_differs_is_not_published(chain, tmp_path):
    candidate = tmp_path / "frozen_graph"
    shutil.copytree(chain.candidates / "frozen_graph", candidate)
    (candidate / "frozen_inference_graph.pb").write_bytes(_damaged_graph(chain))
    said = json.loads((chain.candidates / "frozen_graph.json").read_text())
    candidate.with_suffix(".json").write_text(json.dumps(said))
    with pytest.raises(InputError, match=r"others than recorded: frozen_inference_graph.pb"):
        chain.gate("frozen_graph", candidate, tmp_path / "export")
    describe(candidate.with_suffix(".json"), candidate, chain.choice, {})
    with pytest.raises(
        ParityError, match=r"`frozen_graph` differs from the checkpoint by more than is allowed"
    ) as error:
        chain.gate("frozen_graph", candidate, tmp_path / "export")
    assert ".png: " in str(error.value) and "score difference" in str(error.value)
    assert {image.image for image in error.value.images} <= {"1.png", "2.png", "3.png", "4.png"}
    # Detections may differ as they like: then it is the AP of a class that fell.
    lenient = Tolerances(min_iou=0, max_score_difference=1, max_outliers=1, max_ap_drop=0.02)
    with pytest.raises(
        ParityError, match=r"AP of class (bb8|r2d2) falls by 0\.\d+, from 0\.\d+ to 0\.\d+; allowed are 0.02"
    ):
        chain.gate("frozen_graph", candidate, tmp_path / "export", lenient)
    assert not (tmp_path / "export").exists()


def test_label_map_of_another_model_is_refused(chain, tmp_path):
    (tmp_path / "label_map.pbtxt").write_text(LABEL_MAP + "item { id: 3 name: 'c3po' }")
    with pytest.raises(InputError, match="highest id: found 3"):
        export_graphs(*chain.arguments, tmp_path / "label_map.pbtxt", tmp_path / "saved_model", tmp_path / "graph")
    assert not list(tmp_path.glob("*graph")) and not list(tmp_path.glob("saved_model"))
    with pytest.raises(InputError, match="highest id: found 3"):
        evaluation.evaluate(*chain.arguments, [chain.records], tmp_path / "label_map.pbtxt", **chain.evaluation)


def test_what_cannot_be_loaded_is_explained(chain, tmp_path):
    with pytest.raises(InputError, match="nothing there"):
        Detector.load(tmp_path / "nowhere")
    graph = tmp_path / "frozen_inference_graph.pb"
    graph.write_bytes((chain.export / graph.name).read_bytes()[:5000])
    with pytest.raises(InputError, match=r"label_map.pbtxt: label map: found no such file"):
        Detector.load(graph)
    (tmp_path / "label_map.pbtxt").write_text(LABEL_MAP)
    with pytest.raises(InputError, match=r"frozen graph: found .* export it again"):
        Detector.load(graph)
    graph.write_bytes(b"")
    with pytest.raises(InputError, match="no image_tensor, detection_boxes"):
        Detector.load(graph)
    (tmp_path / "saved_model").mkdir()
    with pytest.raises(InputError, match="SavedModel: found"):
        Detector.load(tmp_path / "saved_model")
    (tmp_path / "metadata.json").write_text(json.dumps({"classes": {"bb8": 1}}))
    with pytest.raises(InputError, match=r"found 2 class\(es\).*exported with 1 class\(es\)"):
        Detector.load(graph)
    # What is said of another model, the one before, says nothing of this one.
    before = {"classes": {"bb8": 1}, "files": {"frozen_inference_graph.pb": {"sha256": "0" * 64}}}
    (tmp_path / "metadata.json").write_text(json.dumps(before))
    with pytest.raises(InputError, match="no image_tensor, detection_boxes"):
        Detector.load(graph)
