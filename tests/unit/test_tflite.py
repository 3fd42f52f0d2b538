"""The project's own detector as TFLite files, in all precisions: what they say, what they find, how they fail."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pretrained_detector
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from odtl.detections import pairwise_iou
from odtl.detector import Detector
from odtl.errors import InputError
from odtl.tflite import PRECISIONS, convert, converting
from odtl.tflite.metadata import Metadata, Settings, labels_of, read_metadata, split_labels, with_metadata
from odtl.tflite.running import run_tflite

SCRIPTS = Path(__file__).parents[2] / "workflow/scripts"
PADDING = (255 * 0.485, 255 * 0.456, 255 * 0.406)
# Of the pairs of detections that score 0.3 or more: the least IoU, and the largest difference of scores. In int8,
# 0.91 and 0.10 were measured.
CLOSE = {"float32": (0.9999, 1e-5), "float16": (0.99, 0.005), "dynamic": (0.85, 0.05), "int8": (0.75, 0.2)}


class Exported:
    def __init__(self, folder):
        import tensorflow

        self.model, self.config, self.classes = pretrained_detector.load()
        self.found = pretrained_detector.detect(self.model, self.config, pretrained_detector.IMAGES)
        self.paths = {precision: folder / f"{precision}.tflite" for precision in PRECISIONS}
        with pytest.MonkeyPatch.context() as patch:
            # The model is traced once for all precisions, which saves half of the time.
            serving = converting._serving(tensorflow, self.model, self.config)
            patch.setattr(converting, "_serving", lambda *_: serving)
            for precision, path in self.paths.items():
                convert(self.model, self.config, self.classes, precision, path, pretrained_detector.IMAGES[:8])


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return Exported(tmp_path_factory.mktemp("tflite"))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_file_says_what_a_client_needs(exported, precision):
    names = ("location", "category", "score", "number of detections")
    settings = Settings((256, 256), (256, 256), True, PADDING)
    wanted = Metadata(tuple(exported.classes), (0.0,), (1.0,), names, settings)
    assert read_metadata(exported.paths[precision]) == wanted
    with zipfile.ZipFile(exported.paths[precision]) as archive:
        assert archive.namelist() == ["labels.txt", "detector.json"]
        assert archive.read("labels.txt").decode().split("\n") == [*exported.classes, ""]
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_tensors_are_those_of_the_post_processing(exported, precision):
    interpreter = Interpreter(str(exported.paths[precision]))
    (image,) = interpreter.get_input_details()
    assert image["shape"].tolist() == [1, 256, 256, 3]
    # A pixel is its own value.
    assert (image["dtype"], image["quantization"]) == (
        (np.uint8, (1.0, 0)) if precision == "int8" else (np.float32, (0.0, 0))
    )
    interpreter.allocate_tensors()
    interpreter.invoke()
    outputs = [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]
    assert [(output.shape, output.dtype) for output in outputs] == [
        ((1, 100, 4), np.float32), ((1, 100), np.float32), ((1, 100), np.float32), ((1,), np.float32)
    ]  # fmt: skip


def test_sizes_follow_the_precision(exported):
    size = {precision: path.stat().st_size for precision, path in exported.paths.items()}
    assert 0.5 < size["float16"] / size["float32"] < 0.6
    assert size["dynamic"] < 0.45 * size["float32"]
    assert size["int8"] < 0.5 * size["float32"]


def test_int8_calculates_with_integers_up_to_the_post_processing(exported):
    # Without it, the operations are hidden in a delegate.
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(exported.paths["int8"]), experimental_op_resolver_type=plain)
    types = {tensor["index"]: tensor["dtype"] for tensor in interpreter.get_tensor_details()}
    floats = Counter(
        operation["op_name"]
        for operation in interpreter._get_ops_details()
        if types[operation["outputs"][0]] == np.float32
    )
    assert floats == {"DEQUANTIZE": 2, "TFLite_Detection_PostProcess": 1}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_finds_what_the_model_finds(exported, precision):
    least_iou, largest_difference = CLOSE[precision]
    detector = Detector.load(exported.paths[precision])
    assert detector.names == {number: name for name, number in exported.classes.items()}
    compared = 0
    for image, wanted in zip(pretrained_detector.IMAGES, exported.found, strict=True):
        (found,) = detector.detect(image[None])
        # Detections of both lists, each with its best partner in the other.
        for ours, others in ((wanted, found), (found, wanted)):
            sure = ours.at_least(0.3)
            iou = pairwise_iou(sure.boxes, others.boxes) * (sure.classes[:, None] == others.classes[None])
            partner = iou.argmax(axis=1)
            assert np.all(iou.max(axis=1) >= least_iou)
            assert np.all(np.abs(sure.scores - others.scores[partner]) <= largest_difference)
            compared += len(sure)
    assert compared > 10


def test_batch_is_detected_image_by_image(exported):
    run = run_tflite(exported.paths["float32"], threads=1)
    image = pretrained_detector.IMAGES[0]
    both, one = run(np.stack([image[:, ::-1], image])), run(image[None])
    assert both["num_detections"].shape == (2,)
    for name, values in one.items():
        np.testing.assert_array_equal(both[name][1], values[0])


def test_same_model_gives_the_same_file(exported):
    model, said = _without_metadata(exported.paths["int8"].read_bytes()), read_metadata(exported.paths["int8"])
    first, second = (with_metadata(model, said.labels, said.settings, "A detector.") for _ in range(2))
    assert first == second


def test_tensorflow_is_not_needed_to_detect(exported):
    code = (
        "import sys, numpy as np; sys.modules['tensorflow'] = None\n"
        "from odtl.detector import Detector\n"
        "found = Detector.load(sys.argv[1]).detect(np.zeros((1, 30, 40, 3), np.uint8))\n"
        "sys.exit(len(found) != 1)"
    )
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    subprocess.run([sys.executable, "-c", code, exported.paths["int8"]], check=True, env=environment)


def test_int8_needs_images(exported, tmp_path):
    with pytest.raises(InputError, match="calibration images: found none"):
        convert(exported.model, exported.config, exported.classes, "int8", tmp_path / "a.tflite", [])


def test_two_stage_detector_is_refused():
    from official.core import exp_factory

    with pytest.raises(InputError, match=r"found MaskRCNN\. Only one-stage detectors"):
        converting.check_convertible(exp_factory.get_exp_config("fasterrcnn_resnetfpn_coco"))


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.3, 0.9, 0.9999])
def test_file_that_was_cut_is_refused(exported, tmp_path, share):
    data = exported.paths["int8"].read_bytes()
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match=r"cut.tflite: TFLite metadata: .*export it again"):
        Detector.load(cut)


def test_other_file_is_refused(tmp_path):
    for content in (b"PK\5\6" + bytes(18), b"not a model" * 99, b"\x08\0\0\0TFL3" + b"\xff" * 64):
        (tmp_path / "a.tflite").write_bytes(content)
        with pytest.raises(InputError, match=r"a\.tflite: TFLite"):
            Detector.load(tmp_path / "a.tflite")


def test_file_without_metadata_takes_its_labels_from_beside(exported, tmp_path):
    bare = tmp_path / "bare.tflite"
    bare.write_bytes(_without_metadata(exported.paths["int8"].read_bytes()))
    with pytest.raises(InputError, match=r"labels: found none in the file, and none beside it"):
        Detector.load(bare)
    (tmp_path / "labels.txt").write_text("a\n???\nc\n")
    detector = Detector.load(bare)
    assert detector.names == {1: "a", 3: "c"}
    # Pixels go in as they are, and a square image needs no settings.
    square = pretrained_detector.IMAGES[0][:192, :192]
    (found,), (wanted,) = detector.detect(square[None]), Detector.load(exported.paths["int8"]).detect(square[None])
    np.testing.assert_allclose(found.boxes, wanted.boxes, atol=1e-3)
    assert len(found) > 0
    (tmp_path / "label_map.pbtxt").write_text("item { id: 2 name: 'x' }")
    assert Detector.load(bare).names == {2: "x"}


def test_float_file_without_normalisation_is_refused(exported, tmp_path):
    bare = tmp_path / "bare.tflite"
    bare.write_bytes(_without_metadata(exported.paths["float32"].read_bytes()))
    shutil.copy(pretrained_detector.RESOURCES / "pretrained/demo/label_map.pbtxt", tmp_path)
    with pytest.raises(InputError, match="metadata: found no NormalizationOptions"):
        Detector.load(bare)


def test_id_without_class_has_a_line_of_its_own():
    assert labels_of({"c": 4, "a": 1}) == ["a", "???", "???", "c"]
    assert split_labels("a\n b\u2028c\r\n\n") == ("a", " b\u2028c", "")


def test_mediapipe_reads_and_detects(exported):
    mediapipe = pytest.importorskip("mediapipe", reason="mediapipe is not installed")
    from mediapipe.tasks import python
    from mediapipe.tasks.python import vision

    def detect(path, image):
        options = vision.ObjectDetectorOptions(python.BaseOptions(model_asset_path=str(path)), score_threshold=0.3)
        with vision.ObjectDetector.create_from_options(options) as detector:
            found = detector.detect(mediapipe.Image(mediapipe.ImageFormat.SRGB, np.ascontiguousarray(image)))
        # Two classes of just one box are one detection there.
        return sorted(
            (
                (category.category_name, category.score, each.bounding_box)
                for each in found.detections
                for category in each.categories
            ),
            key=lambda entry: -entry[1],
        )

    told = 0
    for precision, path in exported.paths.items():
        ours = Detector.load(path)
        for image in pretrained_detector.IMAGES:
            # It stretches an image to the input's size: as large and as square as that, it stays as it is.
            square = np.zeros((256, 256, 3), np.uint8)
            square[:] = np.rint(PADDING)
            square[: image.shape[0], : image.shape[1]] = image
            wanted = ours.detect(square[None])[0].at_least(0.3)
            found = detect(path, square)
            assert [name for name, *_ in found] == [ours.names[number] for number in wanted.classes], precision
            for (_, score, place), box, expected in zip(found, wanted.boxes, wanted.scores, strict=True):
                assert score == pytest.approx(expected, abs=0.005)
                corners = [place.origin_x, place.origin_y, place.origin_x + place.width, place.origin_y + place.height]
                # In whole pixels, which are cut off, not rounded.
                np.testing.assert_allclose(corners, box, atol=2.5)
                told += 1
    assert told > 10


def _without_metadata(data: bytes) -> bytes:
    import flatbuffers

    model = schema.ModelT.InitFromPackedBuf(data)
    model.metadata = None
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
