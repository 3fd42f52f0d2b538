"""A pipeline.config of the TF Object Detection API: what is translated, and that nothing is dropped in silence."""

import copy
from collections import Counter
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from odtl import zoo
from odtl.config import check_config
from odtl.errors import InputError
from odtl.pipeline_config import (
    Document,
    Fate,
    Target,
    nearest_model,
    old_label_map,
    put_in_place,
    translate,
    without_void,
)
from odtl.pipeline_config.telling import Telling, tell, tell_briefly

ROOT = Path(__file__).parents[2]
MODELS = zoo.load([ROOT / "workflow/zoo.yaml"])
DEFAULT = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
MOBILE = Target.of(MODELS["retinanet_mobilenetv2_256"])
RESNET = Target.of(MODELS["retinanet_resnet50fpn_640"])
TWO_STAGES = Target.of(MODELS["fasterrcnn_resnet50fpn_640"])

SSD = """
# A detector of cups.
model {
  ssd {
    num_classes: 3
    image_resizer { fixed_shape_resizer { height: 320 width: 320 } }
    feature_extractor {
      type: "ssd_mobilenet_v2_keras"
      depth_multiplier: 1.0
      conv_hyperparams { regularizer { l2_regularizer { weight: 4e-05 } } activation: RELU_6 }
    }
    box_predictor { convolutional_box_predictor { use_dropout: true dropout_keep_probability: 0.8 } }
    loss {
      classification_loss { weighted_sigmoid_focal { alpha: 0.75 gamma: 2.0 } }
      localization_loss { weighted_smooth_l1 { delta: 1.0 } }
    }
    post_processing {
      batch_non_max_suppression {
        score_threshold: 0.3 iou_threshold: 0.6 max_detections_per_class: 50 max_total_detections: 80
      }
      score_converter: SIGMOID
    }
    freeze_batchnorm: true
  }
}
train_config: {
  batch_size: 128
  num_steps: 50000
  fine_tune_checkpoint: "PATH_TO_BE_CONFIGURED/ckpt-0"
  freeze_variables: ".FeatureExtractor."
  gradient_clipping_by_norm: 5.0
  optimizer {
    momentum_optimizer: {
      learning_rate: {
        cosine_decay_learning_rate {
          learning_rate_base: .08 total_steps: 50000 warmup_learning_rate: .02 warmup_steps: 2000
        }
      }
      momentum_optimizer_value: 0.85
    }
    moving_average_decay: 0.999
  }
  data_augmentation_options { random_scale_crop_and_pad_to_square { output_size: 320 scale_min: 0.5 scale_max: 1.8 } }
  data_augmentation_options { random_vertical_flip {} }
  sync_replicas: true
}
train_input_reader {
  label_map_path: "map.pbtxt" tf_record_input_reader { input_path: "a.record" input_path: "b.record" }
}
eval_config { use_moving_averages: true min_score_threshold: 0.5 num_examples: 100 }
eval_input_reader { tf_record_input_reader { input_path: "c.record" } shuffle: false }
graph_rewriter { quantization { delay: 100 weight_bits: 8 } }
"""


def translated(text: str, model: Target = MOBILE):
    return translate(Document(text, "p.config"), model)


def train(inside: str) -> str:
    return f"train_config {{ {inside} }}"


def rate(inside: str, steps: str = "num_steps: 1000") -> dict:
    """Return what the settings of a learning rate stand for."""
    text = train(f"{steps} optimizer {{ momentum_optimizer {{ learning_rate {{ {inside} }} }} }}")
    found = translated(text).settings
    optimizer = found.get("overrides", {}).get("trainer", {}).get("optimizer_config", {})
    schedule = {key: found[key] for key in ("learning_rate", "warmup_steps") if key in found}
    return schedule | {key: optimizer[key] for key in ("warmup",) if key in optimizer} | {
        "form": optimizer.get("learning_rate")
    }  # fmt: skip


def fates(text: str, model: Target = MOBILE) -> dict[str, Fate]:
    return {leaf.path: outcome.fate for outcome in translated(text, model).outcomes for leaf in outcome.leaves}


def test_settings_with_a_counterpart_are_translated():
    assert translated(SSD).settings == {
        "batch_size": 128,
        "train_steps": 50_000,
        "learning_rate": 0.08,
        "warmup_steps": 2_000,
        "image_size": 384,
        "ema": 0.999,
        "freeze": "backbone",
        "augmentation": {"hflip": False, "scale_min": 0.5, "scale_max": 1.8},
        "overrides": {
            "task": {
                "losses": {"l2_weight_decay": 4e-5, "focal_loss_alpha": 0.75, "focal_loss_gamma": 2.0},
                "model": {
                    "detection_generator": {
                        "pre_nms_score_threshold": 0.3,
                        "nms_iou_threshold": 0.6,
                        "max_num_detections": 80,
                    }
                },
            },
            "trainer": {
                "optimizer_config": {
                    "optimizer": {"type": "sgd", "sgd": {"momentum": 0.85, "clipnorm": 5.0}},
                    "warmup": {"linear": {"warmup_learning_rate": 0.02}},
                }
            },
        },
    }


def test_each_setting_of_the_file_has_one_fate():
    document = Document(SSD, "p.config")
    told = Counter(leaf for outcome in translate(document, MOBILE).outcomes for leaf in outcome.leaves)
    assert set(told) == set(document.leaves)
    assert set(told.values()) == {1}


def test_what_has_no_counterpart_is_told():
    found = fates(SSD)
    for path, fate in {
        "model.ssd.num_classes": Fate.NEEDLESS,
        "model.ssd.feature_extractor.type": Fate.OTHERWISE,
        "model.ssd.box_predictor.convolutional_box_predictor.use_dropout": Fate.NONE,
        "model.ssd.loss.localization_loss.weighted_smooth_l1.delta": Fate.OTHERWISE,
        "model.ssd.post_processing.batch_non_max_suppression.max_detections_per_class": Fate.NONE,
        "model.ssd.freeze_batchnorm": Fate.NONE,
        "train_config.fine_tune_checkpoint": Fate.OTHERWISE,
        "train_config.data_augmentation_options.random_vertical_flip": Fate.NONE,
        "train_config.sync_replicas": Fate.NEEDLESS,
        "train_input_reader.tf_record_input_reader.input_path": Fate.YOURS,
        "eval_config.min_score_threshold": Fate.YOURS,
        "eval_input_reader.shuffle": Fate.NEEDLESS,
        "graph_rewriter.quantization.weight_bits": Fate.NONE,
    }.items():
        assert found[path] is fate, path


def test_unknown_settings_are_told_too():
    found = translated("train_config { batch_size: 2 bacth_size: 3 } model { detr { num_queries: 100 } }")
    (unknown,) = [each for each in found.outcomes if each.leaves[0].name == "bacth_size"]
    assert "not known" in unknown.note
    assert found.settings["batch_size"] == 2


def test_of_a_setting_that_stands_there_twice_the_last_one_counts():
    found = translated("train_config { batch_size: 2\n batch_size: 3 }")
    assert found.settings["batch_size"] == 3
    assert [(each.leaves[0].value, each.fate) for each in found.outcomes][-1] == (2, Fate.NEEDLESS)


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        (
            "constant_learning_rate { learning_rate: 0.01 }",
            {"learning_rate": 0.01, "form": {"type": "constant", "constant": {"learning_rate": 0.01}}},
        ),
        (
            "exponential_decay_learning_rate { initial_learning_rate: 0.004 decay_steps: 300 decay_factor: 0.5 }",
            {
                "learning_rate": 0.004,
                "form": {
                    "type": "exponential",
                    "exponential": {
                        "initial_learning_rate": 0.004,
                        "decay_steps": 300,
                        "decay_rate": 0.5,
                        "staircase": True,
                    },
                },
            },
        ),
        (
            "exponential_decay_learning_rate { initial_learning_rate: 0.004 decay_steps: 800720 }",
            {"learning_rate": 0.004, "form": {"type": "constant", "constant": {"learning_rate": 0.004}}},
        ),
        (
            "manual_step_learning_rate { initial_learning_rate: 0.1 schedule { step: 400 learning_rate: .01 } "
            "schedule { step: 800 learning_rate: .001 } schedule { step: 5000 learning_rate: .0001 } }",
            {
                "learning_rate": 0.1,
                "form": {"type": "stepwise", "stepwise": {"boundaries": [400, 800], "values": [0.1, 0.01, 0.001]}},
            },
        ),
        (
            "manual_step_learning_rate { initial_learning_rate: 0.001 warmup: true "
            "schedule { step: 100 learning_rate: .1 } schedule { step: 800 learning_rate: .01 } }",
            {
                "learning_rate": 0.1,
                "warmup_steps": 100,
                "warmup": {"linear": {"warmup_learning_rate": 0.001}},
                "form": {"type": "stepwise", "stepwise": {"boundaries": [800], "values": [0.1, 0.01]}},
            },
        ),
        (
            "manual_step_learning_rate { initial_learning_rate: 0.9 schedule { step: 0 learning_rate: .3 } "
            "schedule { step: 9000 learning_rate: .03 } }",
            {"learning_rate": 0.3, "form": {"type": "constant", "constant": {"learning_rate": 0.3}}},
        ),
        (
            "cosine_decay_learning_rate { learning_rate_base: .04 total_steps: 700 warmup_learning_rate: 0 "
            "warmup_steps: 50 }",
            {
                "learning_rate": 0.04,
                "warmup_steps": 50,
                "warmup": {"linear": {"warmup_learning_rate": 0}},
                "form": {"type": "cosine", "cosine": {"decay_steps": 700}},
            },
        ),
        # What is not written has the API's default: 10,000 steps of warm-up, more than there are.
        (
            "cosine_decay_learning_rate { total_steps: 1000 }",
            {"learning_rate": 0.002, "form": None},
        ),
    ],
)
def test_schedules_of_the_learning_rate(inside, expected):
    assert rate(inside) == expected


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        ("momentum_optimizer { }", {"type": "sgd", "sgd": {"momentum": 0.9}}),
        (
            "rms_prop_optimizer { decay: 0.8 }",
            {"type": "rmsprop", "rmsprop": {"rho": 0.8, "momentum": 0.9, "epsilon": 1.0}},
        ),
        ("adam_optimizer { epsilon: 1e-7 }", {"type": "adam", "adam": {"epsilon": 1e-7}}),
    ],
)
def test_optimizers(optimizer, expected):
    found = translated(train(f"optimizer {{ {optimizer} }}")).settings
    assert found["overrides"]["trainer"]["optimizer_config"]["optimizer"] == expected


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("random_horizontal_flip {}", {"hflip": True}),
        ("random_vertical_flip {}", {"hflip": False}),
        ("random_image_scale { min_scale_ratio: 0.8 }", {"hflip": False, "scale_min": 0.8, "scale_max": 2.0}),
        ("ssd_random_crop {}", {"hflip": False, "scale_min": 1.0, "scale_max": 2.0}),
        ("random_crop_image { min_area: 0.64 }", {"hflip": False, "scale_min": 1.0, "scale_max": 1.25}),
        ("random_pad_image {}", {"hflip": False, "scale_min": 0.5, "scale_max": 1.0}),
        (
            "ssd_random_crop_pad { operations { min_area: 0.5 max_padded_size_ratio: [4.0, 4.0] } }",
            {"hflip": False, "scale_min": 0.25, "scale_max": 1.41},
        ),
        (
            "random_square_crop_by_scale { scale_min: 0.5 scale_max: 1.25 }",
            {"hflip": False, "scale_min": 0.8, "scale_max": 2.0},
        ),
    ],
)
def test_augmentation(steps, expected):
    found = translated(train(f"data_augmentation_options {{ {steps} }}")).settings["augmentation"]
    assert found == pytest.approx(expected)


def test_without_a_list_of_augmentations_those_here_stay():
    found = translated(train("batch_size: 2"))
    assert "augmentation" not in found.settings
    assert any("augmentation" in remark for remark in found.remarks)


def test_averages_that_were_never_evaluated_are_left_out():
    # They are made unless the file says otherwise, but only evaluated where it says so.
    optimizer = "optimizer { adam_optimizer {} moving_average_decay: 0.99 }"
    assert "ema" not in translated(train(optimizer)).settings
    used = "eval_config { use_moving_averages: true }"
    assert translated(f"{train(optimizer)} {used}").settings["ema"] == 0.99
    assert translated(f"{train('optimizer { adam_optimizer {} }')} {used}").settings["ema"] == 0.9999


@pytest.mark.parametrize(
    ("resizer", "model", "size"),
    [
        ("fixed_shape_resizer { height: 512 width: 512 }", MOBILE, 512),
        ("fixed_shape_resizer { height: 300 width: 300 }", MOBILE, 256),
        ("fixed_shape_resizer { height: 300 width: 300 }", Target.of(MODELS["retinanet_mobilenetv2_320"]), 320),
        ("fixed_shape_resizer {}", TWO_STAGES, 320),
        ("fixed_shape_resizer { height: 256 width: 640 }", MOBILE, 640),
        ("keep_aspect_ratio_resizer { min_dimension: 600 max_dimension: 1024 }", TWO_STAGES, 1024),
        ("keep_aspect_ratio_resizer { min_dimension: 640 max_dimension: 640 }", RESNET, 640),
        ("keep_aspect_ratio_resizer { min_dimension: 600 max_dimension: 9999 }", RESNET, 4096),
    ],
)
def test_image_size_fits_the_model(resizer, model, size):
    text = f"model {{ ssd {{ image_resizer {{ {resizer} }} }} }}"
    assert translated(text, model).settings["image_size"] == size


def test_batch_normalisation_is_frozen_where_the_backbone_allows_it():
    text = "model { faster_rcnn { feature_extractor { batch_norm_trainable: false } } }"
    backbone = translated(text, TWO_STAGES).settings["overrides"]["task"]["model"]["backbone"]
    assert backbone == {"resnet": {"bn_trainable": False}}
    assert translated(text, MOBILE).settings == {}
    assert translated(text.replace("false", "true"), TWO_STAGES).settings == {}


def test_two_stages_are_translated_only_for_a_model_with_two():
    text = "model { faster_rcnn { first_stage_max_proposals: 300 second_stage_batch_size: 64 } }"
    model = translated(text, TWO_STAGES).settings["overrides"]["task"]["model"]
    assert model["roi_generator"] == {"num_proposals": 300, "test_num_proposals": 300}
    assert model["roi_sampler"] == {"num_sampled_rois": 64}
    assert translated(text, MOBILE).settings == {}
    assert set(fates(text, MOBILE).values()) == {Fate.OTHERWISE}


@pytest.mark.parametrize(
    ("kind", "extractor", "size", "model"),
    [
        ("ssd", "ssd_mobilenet_v2", 300, "retinanet_mobilenetv2_320"),
        ("ssd", "ssd_mobilenet_v1_fpn_keras", 640, "retinanet_mobilenetv2_320"),
        ("ssd", "ssd_mobilenet_v3_small", 224, "retinanet_mobilenetv2_256"),
        ("ssd", "ssd_resnet50_v1_fpn", 640, "retinanet_resnet50fpn_640"),
        ("ssd", "ssd_efficientnet-b0_bifpn_keras", 512, "retinanet_resnet50fpn_640"),
        ("ssd", "ssd_efficientnet-b3_bifpn_keras", 896, "retinanet_spinenet49_640"),
        ("ssd", "ssd_efficientnet-b7_bifpn_keras", 1536, "retinanet_spinenet143_1280"),
        ("center_net", "hourglass_104", 512, "retinanet_spinenet96_1024"),
        ("faster_rcnn", "faster_rcnn_resnet50_keras", 640, "fasterrcnn_resnet50fpn_640"),
        ("faster_rcnn", "faster_rcnn_inception_v2", 600, "fasterrcnn_resnet50fpn_640"),
        ("faster_rcnn", "faster_rcnn_resnet101", 600, "fasterrcnn_resnet101fpn_640"),
    ],
)
def test_nearest_model(kind, extractor, size, model):
    resizer = f"image_resizer {{ fixed_shape_resizer {{ height: {size} width: {size} }} }}"
    text = f"model {{ {kind} {{ feature_extractor {{ type: '{extractor}' }} {resizer} }} }}"
    assert nearest_model(Document(text, "p"), MODELS.values()) == model


def test_narrow_mobilenet_is_nearest_to_the_narrow_one():
    text = "model { ssd { feature_extractor { type: 'ssd_mobilenet_v2' depth_multiplier: 0.35 } } }"
    assert nearest_model(Document(text, "p"), MODELS.values()) == "retinanet_mobilenetv2_035_256"


def test_model_of_another_kind_has_no_nearest_one():
    assert nearest_model(Document("model { detr { num_classes: 2 } }", "p"), MODELS.values()) is None
    assert nearest_model(Document("train_config { batch_size: 2 }", "p"), MODELS.values()) is None


@pytest.mark.parametrize(
    ("text", "where", "cure"),
    [
        ("train_config {\n batch_size: 'eight'\n}", "line 2, train_config.batch_size", "A whole number above 0"),
        ("train_config {\n batch_size: 0\n}", "line 2", "A whole number above 0"),
        ("train_config {\n num_steps: -1\n}", "line 2", "A whole number of at least 0"),
        ("train_config {\n num_steps: 1.5\n}", "line 2", "A whole number"),
        ("train_config {\n batch_size {}\n}", "line 2", "A whole number"),
        ("train_config {\n optimizer { use_moving_average: maybe }\n}", "line 2", "true or false"),
        ("train_config {\n freeze_variables: 3 }", "line 2", "A text in quotes"),
        ("item {\n id: 1 name: 'cup' }", "line 1", "model, train_config"),
        ("# nothing", "text", "model, train_config"),
    ],
)
def test_wrong_values_are_refused_with_their_line(text, where, cure):
    with pytest.raises(InputError) as caught:
        translated(text)
    (problem,) = caught.value.problems
    assert problem.file == "p.config"
    assert problem.field.startswith(where)
    assert cure in problem.cure


def configured(tmp_path, text: str = SSD, training=None, **own) -> dict:
    (tmp_path / "p.config").write_text(text, encoding="utf-8")
    config = copy.deepcopy(DEFAULT)
    config["training"] |= training or {}
    config["experiments"] = {"detector": {"model": "retinanet_mobilenetv2_256", **own}}
    config["experiments"]["detector"].setdefault("pipeline_config", str(tmp_path / "p.config"))
    return config


def test_translated_settings_go_over_training_and_under_the_own_ones(tmp_path):
    config = configured(
        tmp_path, training={"batch_size": 4, "seed": 9}, train_steps=70, augmentation={"scale_max": 1.2}
    )
    placed = put_in_place(config, MODELS)
    own = placed["experiments"]["detector"]
    assert "pipeline_config" not in {**own, **placed["training"]}
    assert (own["batch_size"], own["train_steps"], placed["training"]["seed"]) == (128, 70, 9)
    assert own["augmentation"] == {"hflip": False, "scale_min": 0.5, "scale_max": 1.2}
    assert config["experiments"]["detector"]["train_steps"] == 70


def test_file_of_training_is_every_experiments_unless_it_says_null(tmp_path):
    config = configured(tmp_path)
    path = config["experiments"]["detector"].pop("pipeline_config")
    config["training"]["pipeline_config"] = path
    config["experiments"]["other"] = {"model": "demo", "pipeline_config": None}
    placed = put_in_place(config, MODELS)["experiments"]
    assert placed["detector"]["batch_size"] == 128
    assert placed["other"] == {"model": "demo"}


def test_what_is_put_in_place_is_a_valid_configuration(tmp_path):
    config = configured(tmp_path)
    check_config(config, ROOT / "workflow/schemas/config.schema.yaml", MODELS)
    placed = put_in_place(config, MODELS)
    placed["training"]["pipeline_config"] = None
    check_config(placed, ROOT / "workflow/schemas/config.schema.yaml", MODELS)


def test_all_files_that_cannot_be_used_are_told_at_once(tmp_path):
    config = configured(tmp_path, text="train_config {\n batch_size: none }")
    config["experiments"]["other"] = {"model": "demo", "pipeline_config": str(tmp_path / "missing.config")}
    with pytest.raises(InputError) as caught:
        put_in_place(config, MODELS)
    assert [problem.found for problem in caught.value.problems] == ["none", "no such file"]


@pytest.mark.parametrize(
    ("own", "form", "warmup"),
    [
        ({}, True, True),
        ({"batch_size": 4}, True, True),
        ({"learning_rate": 0.1}, False, False),
        ({"train_steps": None}, False, True),
        ({"warmup_steps": 5}, True, False),
    ],
)
def test_form_of_the_learning_rate_goes_where_the_experiment_has_another_one(own, form, warmup):
    text = SSD.replace("total_steps: 50000", "total_steps: 60000")
    left = without_void(translated(text).settings, own)["overrides"]["trainer"]["optimizer_config"]
    assert ("learning_rate" in left, "warmup" in left) == (form, warmup)
    assert "optimizer" in left


def telling(**own) -> Telling:
    document = Document(SSD, "p.config")
    found = translate(document, MOBILE)
    used = without_void(found.settings, own)
    classes, old = {"cup": 1, "pot": 2}, {"cup": 2, "jug": 1, "can": 3}
    return Telling(document, found, MOBILE.name, "retinanet_mobilenetv2_320", own, used, classes, old)


def test_every_setting_is_told_with_its_line():
    text = " ".join(tell(telling()).split())
    for leaf in Document(SSD, "p.config").leaves:
        assert leaf.name in text
    assert "line 27 train_config.batch_size: 128 -> batch_size: 128" in text


def test_what_an_experiment_says_itself_is_told():
    text = " ".join(tell(telling(batch_size=8, train_steps=None)).split())
    assert "-> batch_size: 128, but this experiment's own is 8" in text
    assert "-> train_steps: 50000, but this experiment's own is null" in text


def test_classes_that_disagree_are_told():
    for text in (tell(telling()), tell_briefly(telling(), "x")):
        assert "num_classes is 3, but the data has 2 classes" in text
        assert "Classes that the data does not have: jug, can." in text
        assert "Classes that the old label map does not have: pot." in text
        assert "cup 2 -> 1" in text


@pytest.mark.parametrize("named", ["maps/map.pbtxt", "../old/map.pbtxt", r"C:\\\\old\\\\map.pbtxt", "D:/old/map.pbtxt"])
def test_old_label_map_is_found_beside_the_file(tmp_path, named):
    (tmp_path / "maps").mkdir()
    for place in ("map.pbtxt", "maps/map.pbtxt"):
        (tmp_path / place).write_text("item { id: 1 name: 'a' }", encoding="utf-8")
    path = tmp_path / "p.config"
    path.write_text(f'train_input_reader {{ label_map_path: "{named}" }}', encoding="utf-8")
    expected = tmp_path / ("maps/map.pbtxt" if named.startswith("maps") else "map.pbtxt")
    assert Path(old_label_map(str(path))) == expected


WORDS = """model ssd train_config batch_size num_steps optimizer learning_rate constant_learning_rate warmup schedule
step manual_step_learning_rate momentum_optimizer image_resizer fixed_shape_resizer height freeze_variables type
data_augmentation_options ssd_random_crop min_area random_horizontal_flip eval_config feature_extractor"""
words = st.sampled_from(WORDS.split())
scalars = st.sampled_from(["1", "0", "-3", "0.5", "1e400", "nan", "'x'", "true", "RELU", "300000"])


@st.composite
def messages(draw, depth: int = 0):
    parts = []
    for name in draw(st.lists(words, max_size=4)):
        nested = depth < 4 and draw(st.booleans())
        parts.append(f"{name} {{ {draw(messages(depth + 1))} }}" if nested else f"{name}: {draw(scalars)}")
    return "\n".join(parts)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(inside=messages(), model=st.sampled_from([MOBILE, TWO_STAGES]))
def test_any_settings_are_told_or_refused(inside, model):
    try:
        document = Document(f"train_config {{ {inside} }} model {{ ssd {{ {inside} }} }}", "p.config")
        result = translate(document, model)
    except InputError as error:
        assert all(problem.file == "p.config" for problem in error.problems)
        return
    assert {leaf for outcome in result.outcomes for leaf in outcome.leaves} == set(document.leaves)
