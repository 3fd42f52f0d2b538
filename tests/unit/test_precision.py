"""What a training computes in, by the hardware."""

import pytest

from odtl.training import precision


@pytest.mark.parametrize(
    "gpus, dtype",
    [
        ([], "float32"),
        ([(6, 1)], "float32"),
        ([(7, 5)], "float16"),
        ([(8, 0)], "bfloat16"),
        ([(9, 0), (7, 0)], "float16"),
        # A card that does not tell, such as another maker's.
        ([None, (8, 0)], "float32"),
    ],
)
def test_fastest(gpus, dtype):
    assert precision.fastest(gpus) == dtype


@pytest.fixture
def config():
    from official.core import exp_factory
    from official.vision import registry_imports  # noqa: F401 - registers the factories

    config = exp_factory.get_exp_config("retinanet_mobile_coco")
    config.override({"runtime": {"mixed_precision_dtype": "float32"}})
    config.lock()
    return config


def test_auto_is_what_the_hardware_is_fast_at(config, monkeypatch):
    monkeypatch.setattr(precision, "_compute_capabilities", lambda: [(8, 6)])
    resolved = precision.resolve(config, "auto")
    assert resolved.runtime.mixed_precision_dtype == "bfloat16"
    assert config.runtime.mixed_precision_dtype == "float32"
    assert resolved.task.as_dict() == config.task.as_dict()


@pytest.mark.parametrize("wanted", ["float32", "bfloat16", None])
def test_what_is_asked_for_is_kept(config, wanted, monkeypatch):
    monkeypatch.setattr(precision, "_compute_capabilities", lambda: [(8, 6)])
    assert precision.resolve(config, wanted) is config
