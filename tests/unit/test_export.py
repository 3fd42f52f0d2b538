"""One tiny detector with random weights through everything that comes after training."""

import csv
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from odtl import checkpoints, evaluation, export, plots, records, serving
from odtl.compare import ParityError
from odtl.detections import Detections
from odtl.detector import Detector
from odtl.errors import InputError
from odtl.experiment import write_experiment
from odtl.inference import detect_folder
from odtl.serving import INPUT, OUTPUTS

FACTORY = "retinanet"
SIDE = 64
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
        self.export = folder / "export"
        self.parity = export.export(*self.arguments, self.label_map, [self.records], self.export, images=4)


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
        "metadata.json",
        "parity.json",
        "saved_model/saved_model.pb",
        "saved_model/assets.extra/label_map.pbtxt",
    } <= names
    parity = json.loads((chain.export / "parity.json").read_text())
    assert set(parity["formats"]) == {"saved_model", "frozen_inference_graph.pb"}
    for report in parity["formats"].values():
        assert report["passed"] and report["images"] == 4 and report["detections"] > 10
        assert report["min_iou"] > 0.9999 and report["max_score_difference"] < 1e-4
    metadata = json.loads((chain.export / "metadata.json").read_text())
    assert metadata["classes"] == CLASSES
    assert metadata["input"]["size"] == [SIDE, SIDE]
    assert metadata["checkpoint_sha256"] == chain.metrics["checkpoint_sha256"] == parity["checkpoint_sha256"]
    assert set(metadata["files"]) == names - {"metadata.json", "parity.json"}


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


@pytest.mark.parametrize("place", ["", "saved_model", "frozen_inference_graph.pb"])
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
    detect_folder(chain.export / "frozen_inference_graph.pb", tmp_path / "in", tmp_path / "out", 0.05)
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


def test_an_export_that_differs_is_not_made(chain, tmp_path, monkeypatch):
    damaged = _damaged_graph(chain)

    def write_models(_model, _preprocessing, folder):
        shutil.copytree(chain.export / "saved_model", folder / "saved_model")
        (folder / "frozen_inference_graph.pb").write_bytes(damaged)

    monkeypatch.setattr(export, "_write_models", write_models)
    with pytest.raises(
        ParityError, match=r"`frozen_inference_graph.pb` differs from the checkpoint on . of 2"
    ) as error:
        export.export(*chain.arguments, chain.label_map, [chain.records], tmp_path / "export", images=2)
    assert ".png: " in str(error.value) and "score difference" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_label_map_of_another_model_is_refused(chain, tmp_path):
    (tmp_path / "label_map.pbtxt").write_text(LABEL_MAP + "item { id: 3 name: 'c3po' }")
    with pytest.raises(InputError, match="highest id: found 3"):
        export.export(*chain.arguments, tmp_path / "label_map.pbtxt", [chain.records], tmp_path / "export")
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
