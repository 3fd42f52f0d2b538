"""The pipeline.configs of two real projects, translated; the expected values are those that stand in the files."""

from pathlib import Path

import pytest
import yaml

from odtl import zoo
from odtl.experiment import build_experiment
from odtl.pipeline_config import Document, Fate, Target, nearest_model, read_document, translate
from odtl.pipeline_config.__main__ import configuration
from odtl.pipeline_config.telling import counted

ZOO = Path(__file__).parents[2] / "workflow/zoo.yaml"
MODELS = zoo.load([ZOO])
STARWARS = "averdones_starwars/ssd_inception_v2_pets.config"
PEACH = "peach/faster_rcnn_resnet50_coco.config"
SUMMARY = {"images": 100, "max_boxes": 5, "image_bytes": 10**6}


def translated(path: Path) -> tuple[Document, Target, object]:
    document = read_document(str(path))
    target = Target.of(MODELS[nearest_model(document, MODELS.values())])
    return document, target, translate(document, target)


def test_starwars(real_data):
    _, target, result = translated(real_data / STARWARS)
    assert target.name == "retinanet_mobilenetv2_320"
    assert result.settings == {
        "image_size": 320,
        "batch_size": 24,
        "train_steps": 200_000,
        "learning_rate": 0.004,
        "augmentation": {"hflip": True, "scale_min": 1.0, "scale_max": 2.0},
        "overrides": {
            "task": {
                "losses": {"l2_weight_decay": 4e-5},
                "model": {"detection_generator": {"nms_iou_threshold": 0.6, "max_num_detections": 100}},
            },
            "trainer": {
                "optimizer_config": {
                    # The first of its steps down is at 800,720, after the end.
                    "learning_rate": {"type": "constant", "constant": {"learning_rate": 0.004}},
                    "optimizer": {"type": "rmsprop", "rmsprop": {"rho": 0.9, "momentum": 0.9, "epsilon": 1.0}},
                }
            },
        },
    }
    assert counted(result) == {
        Fate.TRANSLATED: 16,
        Fate.YOURS: 4,
        Fate.OTHERWISE: 47,
        Fate.NONE: 6,
        Fate.NEEDLESS: 8,
    }


def test_peach(real_data):
    _, target, result = translated(real_data / PEACH)
    assert target.name == "fasterrcnn_resnet50fpn_640"
    assert result.settings == {
        "image_size": 1024,
        "batch_size": 1,
        "train_steps": 20,
        "learning_rate": 0.0003,
        "augmentation": {"hflip": True},
        "overrides": {
            "task": {
                "losses": {"l2_weight_decay": 0.0},
                "model": {
                    "detection_generator": {"nms_iou_threshold": 0.6, "max_num_detections": 300},
                    "roi_generator": {
                        "num_proposals": 300,
                        "test_num_proposals": 300,
                        "nms_iou_threshold": 0.7,
                        "test_nms_iou_threshold": 0.7,
                        "pre_nms_score_threshold": 0.0,
                        "test_pre_nms_score_threshold": 0.0,
                    },
                },
            },
            "trainer": {
                "optimizer_config": {
                    "learning_rate": {"type": "constant", "constant": {"learning_rate": 0.0003}},
                    "optimizer": {"type": "sgd", "sgd": {"momentum": 0.9, "clipnorm": 10.0}},
                }
            },
        },
    }


@pytest.mark.parametrize("path", [STARWARS, PEACH])
def test_every_setting_has_a_fate(real_data, path):
    document, _, result = translated(real_data / path)
    assert {leaf for outcome in result.outcomes for leaf in outcome.leaves} == set(document.leaves)
    assert not [outcome for outcome in result.outcomes if "not known" in outcome.note]


@pytest.mark.parametrize("path", [STARWARS, PEACH])
def test_official_vision_takes_what_is_translated(real_data, path):
    _, target, result = translated(real_data / path)
    defaults = yaml.safe_load((ZOO.parents[1] / "config/config.yaml").read_text(encoding="utf-8"))["training"]
    settings = {**defaults, **result.settings}
    settings["augmentation"] = {**defaults["augmentation"], **result.settings["augmentation"]}
    experiment = build_experiment(
        target.factory, target.settings, settings, 2, ["a"], ["b"], SUMMARY, SUMMARY, overrides=settings["overrides"]
    )
    optimizer = experiment["trainer"]["optimizer_config"]
    assert optimizer["learning_rate"]["constant"]["learning_rate"] == result.settings["learning_rate"]
    assert experiment["task"]["train_data"]["global_batch_size"] == result.settings["batch_size"]


def test_printed_configuration_names_the_real_records(real_data):
    config = yaml.safe_load(configuration(str(real_data / PEACH), None, [ZOO]))
    assert config["labels"] == {"classes": ["Peach"]}
    assert [Path(source["annotations"]).name for source in config["data"]["sources"]] == [
        "coco_train.record",
        "coco_val.record",
    ]
    assert all(Path(source["annotations"]).is_file() for source in config["data"]["sources"])
    assert config["experiments"]["detector"]["batch_size"] == 1
