"""The project's own detector as an ONNX file."""

import sys

import numpy as np
import pretrained_detector
import pytest

from odtl import onnx
from odtl.detector import Detector
from odtl.errors import InputError

IMAGES = pretrained_detector.IMAGES[:8]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    model, config, classes = pretrained_detector.load()
    path = tmp_path_factory.mktemp("onnx") / "detector.onnx"
    onnx.convert(model, config, classes, path)
    return path, classes, pretrained_detector.detect(model, config, IMAGES)


def test_finds_just_what_the_model_finds(exported):
    path, classes, reference = exported
    detector = Detector.load(path)
    assert detector.names == {number: name for name, number in classes.items()}
    for image, wanted in zip(IMAGES, reference, strict=True):
        (found,) = detector.detect(image[None])
        assert found.classes.tolist() == wanted.classes.tolist()
        np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-4)
        np.testing.assert_allclose(found.boxes, wanted.boxes, atol=0.05)
    assert sum(len(wanted) for wanted in reference) > 100


def test_batch_is_detected_as_a_whole(exported):
    run, _ = onnx.run_onnx(exported[0], threads=1)
    image = IMAGES[0]
    both, one = run(np.stack([image[:, ::-1], image])), run(image[None])
    for name, values in one.items():
        np.testing.assert_allclose(both[name][1], values[0], atol=1e-5)


def test_file_meets_the_standard(exported):
    import onnx as standard

    standard.checker.check_model(str(exported[0]), full_check=True)


def test_damaged_file_is_refused(exported, tmp_path):
    data = exported[0].read_bytes()
    for content in (b"", data[: len(data) // 2], b"no model" * 99):
        (tmp_path / "a.onnx").write_bytes(content)
        with pytest.raises(InputError, match=r"a\.onnx: ONNX model: .*export it again"):
            Detector.load(tmp_path / "a.onnx")


def test_missing_package_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "a.onnx").write_bytes(b"x")
    with pytest.raises(InputError, match=r"onnxruntime: found not installed .* `make onnx` installs it"):
        Detector.load(tmp_path / "a.onnx")
