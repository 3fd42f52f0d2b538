"""The experiment's configuration: what goes in, what is refused, and that official.vision takes it."""

import copy

import pytest
import yaml

from odtl.errors import InputError
from odtl.experiment import SHUFFLE_BYTES, build_experiment, read_experiment, write_experiment

FACTORY = "retinanet_mobile_coco"
SETTINGS = {
    "task": {
        "losses": {"l2_weight_decay": 4e-5},
        "model": {"backbone": {"type": "mobilenet", "mobilenet": {"model_id": "MobileNetV2"}}, "max_level": 6},
    }
}
SCHEDULE = {
    "train_steps": 300,
    "batch_size": 8,
    "learning_rate": 0.05,
    "warmup_steps": 50,
    "validation_interval": 100,
    "image_size": 256,
    "augmentation": {"hflip": True, "scale_min": 0.5, "scale_max": 2.0},
    "freeze": None,
    "ema": None,
    "seed": 7,
}
FROM_DATA = dict.fromkeys(["batch_size", "train_steps", "learning_rate", "warmup_steps", "validation_interval"])
TRAIN = {"images": 140, "max_boxes": 12, "image_bytes": 140 * 30_000}
VAL = {"images": 20, "max_boxes": 130, "image_bytes": 20 * 30_000}


def build(**changes):
    arguments = {
        "factory": FACTORY,
        "settings": SETTINGS,
        "schedule": SCHEDULE,
        "num_classes": 2,
        "train_records": ["records/train-0.tfrecord", "records/train-1.tfrecord"],
        "val_records": ["records/val-0.tfrecord"],
        "train_summary": TRAIN,
        "val_summary": VAL,
        "init_checkpoint": "pretrained/ckpt",
        "restore": ["backbone", "decoder"],
        "overrides": {},
    }
    return build_experiment(**{**arguments, **changes})


def test_data_classes_and_checkpoint_are_filled_in():
    task = build()["task"]
    train, validation = task["train_data"], task["validation_data"]
    assert task["model"]["num_classes"] == 3
    assert task["model"]["input_size"] == [256, 256, 3]
    assert task["annotation_file"] is None
    assert (task["init_checkpoint"], task["init_checkpoint_modules"]) == ("pretrained/ckpt", ["backbone", "decoder"])
    assert train["input_path"] == ["records/train-0.tfrecord", "records/train-1.tfrecord"]
    assert validation["input_path"] == ["records/val-0.tfrecord"]
    assert (train["dtype"], validation["dtype"]) == ("float32", "float32")
    assert (train["is_training"], validation["is_training"]) == (True, False)
    assert validation["drop_remainder"] is False
    assert (train["shuffle_buffer_size"], train["seed"]) == (140, 7)
    assert train["parser"]["max_num_instances"] == validation["parser"]["max_num_instances"] == 130
    assert (train["parser"]["aug_rand_hflip"], train["parser"]["aug_scale_min"]) == (True, 0.5)
    assert validation["parser"]["aug_rand_hflip"] is False
    assert validation["parser"]["aug_scale_max"] == 1.0


def test_schedule_becomes_a_cosine_with_warm_up():
    trainer = build()["trainer"]
    optimizer = trainer["optimizer_config"]
    assert (trainer["train_steps"], trainer["validation_interval"], trainer["validation_steps"]) == (300, 100, -1)
    assert optimizer["optimizer"]["type"] == "sgd"
    assert (optimizer["optimizer"]["sgd"]["momentum"], optimizer["optimizer"]["sgd"]["clipnorm"]) == (0.9, 10.0)
    assert optimizer["learning_rate"]["type"] == "cosine"
    assert optimizer["learning_rate"]["cosine"]["initial_learning_rate"] == 0.05
    assert optimizer["learning_rate"]["cosine"]["decay_steps"] == 300
    assert optimizer["warmup"]["linear"]["warmup_steps"] == 50


def test_what_is_not_set_follows_from_the_data():
    experiment = build(schedule={**SCHEDULE, **FROM_DATA})
    task, trainer = experiment["task"], experiment["trainer"]
    assert task["train_data"]["global_batch_size"] == task["validation_data"]["global_batch_size"] == 8
    assert (trainer["train_steps"], trainer["validation_interval"], trainer["checkpoint_interval"]) == (600, 50, 100)
    assert trainer["optimizer_config"]["learning_rate"]["cosine"]["initial_learning_rate"] == 0.05
    assert trainer["optimizer_config"]["warmup"]["linear"]["warmup_steps"] == 50


def test_rest_of_the_schedule_fits_what_is_overridden():
    overrides = {"trainer": {"train_steps": 60}, "task": {"train_data": {"global_batch_size": 4}}}
    trainer = build(schedule={**SCHEDULE, **FROM_DATA}, overrides=overrides)["trainer"]
    assert trainer["optimizer_config"]["learning_rate"]["cosine"]["decay_steps"] == 60
    assert trainer["optimizer_config"]["learning_rate"]["cosine"]["initial_learning_rate"] == 0.025


@pytest.mark.parametrize(
    ("factory", "settings", "rate"),
    [
        # 0.32 is published for batches of 256, and 0.12 for 64; of 640 px, batches are of 4.
        ("retinanet_resnetfpn_coco", {}, 0.005),
        ("fasterrcnn_resnetfpn_coco", {}, 0.0075),
        # A table of models may say what its own learnt at.
        (
            "retinanet_resnetfpn_coco",
            {
                "task": {"train_data": {"global_batch_size": 16}},
                "trainer": {
                    "optimizer_config": {
                        "learning_rate": {"type": "cosine", "cosine": {"initial_learning_rate": 0.02}},
                    }
                },
            },
            0.005,
        ),
    ],
)
def test_large_models_learn_at_the_rate_that_was_published_for_an_image(factory, settings, rate):
    schedule = {**SCHEDULE, **FROM_DATA, "image_size": 640}
    optimizer = build(factory=factory, settings=settings, schedule=schedule)["trainer"]["optimizer_config"]
    assert optimizer["learning_rate"]["cosine"]["initial_learning_rate"] == pytest.approx(rate)


@pytest.mark.parametrize(("freeze", "frozen"), [(None, False), ("backbone", True), (5, False)])
def test_only_a_whole_backbone_is_frozen_by_official_vision(freeze, frozen):
    assert build(schedule={**SCHEDULE, "freeze": freeze})["task"]["freeze_backbone"] is frozen


def test_weights_and_their_statistics_are_averaged_where_asked_for():
    assert build()["trainer"]["optimizer_config"]["ema"] is None
    ema = build(schedule={**SCHEDULE, "ema": 0.999})["trainer"]["optimizer_config"]["ema"]
    assert (ema["average_decay"], ema["trainable_weights_only"], ema["dynamic_decay"]) == (0.999, False, True)


@pytest.mark.parametrize(("steps", "momentum"), [(60, 0.9), (300, 0.95), (600, 0.975), (1500, 0.99), (90_000, 0.99)])
def test_batch_normalisation_forgets_its_start_well_before_the_end(steps, momentum):
    model = build(schedule={**SCHEDULE, "train_steps": steps, "warmup_steps": None})["task"]["model"]
    assert model["norm_activation"]["norm_momentum"] == pytest.approx(momentum)


def test_zoo_goes_over_the_recipe_and_the_user_over_both():
    assert build()["task"]["losses"]["l2_weight_decay"] == 4e-5
    overrides = {
        "task": {"losses": {"l2_weight_decay": 0.0}, "model": {"norm_activation": {"norm_momentum": 0.8}}},
        "trainer": {"optimizer_config": {"optimizer": {"type": "adam", "adam": {"beta_1": 0.8}}}},
    }
    experiment = build(overrides=overrides)
    assert experiment["task"]["losses"]["l2_weight_decay"] == 0.0
    assert experiment["task"]["model"]["norm_activation"]["norm_momentum"] == 0.8
    assert experiment["trainer"]["optimizer_config"]["optimizer"]["adam"]["beta_1"] == 0.8


def test_shuffle_buffer_is_bounded_by_bytes():
    large = {"images": 100_000, "max_boxes": 3, "image_bytes": 100_000 * 4 * 1024**2}
    buffer = build(train_summary=large)["task"]["train_data"]["shuffle_buffer_size"]
    assert buffer == SHUFFLE_BYTES // (4 * 1024**2)
    huge = {"images": 8, "max_boxes": 3, "image_bytes": 16 * SHUFFLE_BYTES}
    assert build(train_summary=huge)["task"]["train_data"]["shuffle_buffer_size"] == 1


def test_without_validation_images_nothing_is_validated():
    empty = {"images": 0, "max_boxes": 0, "image_bytes": 0}
    experiment = build(val_summary=empty)
    assert experiment["task"]["validation_data"]["input_path"] == ""


def test_size_of_the_model_stays_where_the_schedule_names_none():
    assert build(schedule={**SCHEDULE, "image_size": None})["task"]["model"]["input_size"] == [384, 384, 3]


@pytest.mark.parametrize(
    ("overrides", "key", "hint"),
    [
        ({"trainer": {"train_step": 5}}, "trainer.train_step", "`train_steps`"),
        ({"task": {"modle": {}}}, "task.modle", "`model`"),
        (
            {"task": {"model": {"backbone": {"mobilenet": {"filter_sise_scale": 0.5}}}}},
            "task.model.backbone.mobilenet.filter_sise_scale",
            "`filter_size_scale`",
        ),
        # official.vision itself takes any key below a setting that is unset so far.
        (
            {"task": {"train_data": {"parser": {"aug_type": {"randaugg": {}}}}}},
            "task.train_data.parser.aug_type.randaugg",
            "`randaug`",
        ),
    ],
)
def test_misspelt_override_is_named_with_the_nearest_key(overrides, key, hint):
    with pytest.raises(InputError) as caught:
        build(overrides=overrides)
    (problem,) = caught.value.problems
    assert problem.field == key
    assert hint in problem.cure


def test_all_misspelt_overrides_are_told_at_once():
    with pytest.raises(InputError) as caught:
        build(overrides={"trainer": {"train_step": 5}, "runtim": {}})
    assert {problem.field for problem in caught.value.problems} == {"trainer.train_step", "runtim"}


@pytest.mark.parametrize(
    "overrides",
    [
        {"trainer": {"train_steps": "many"}},
        {"task": {"freeze_backbone": 1}},
        {"task": {"losses": {"l2_weight_decay": True}}},
        {"task": {"model": 5}},
    ],
)
def test_override_of_another_type_is_refused(overrides):
    with pytest.raises(InputError):
        build(overrides=overrides)


OPTIMIZER = "trainer.optimizer_config.optimizer"


@pytest.mark.parametrize(
    ("key", "value", "where", "cure"),
    [
        (f"{OPTIMIZER}.type", "sdg", f"{OPTIMIZER}.type", "Did you mean `sgd`?"),
        (f"{OPTIMIZER}.adam", {"beta_1": 0.8}, OPTIMIZER, "write `type: adam` beside it"),
        (f"{OPTIMIZER}.sgd.momentum", "0.9x", f"{OPTIMIZER}.sgd.momentum", "A number"),
        (
            "task.model.norm_activation.activation",
            "relu7",
            "task.model.norm_activation.activation",
            "Did you mean `relu`?",
        ),
        ("task.model.anchor.aspect_ratios", 1.0, "task.model.anchor.aspect_ratios", "A list of numbers"),
        ("task.model.anchor.aspect_ratios", [1, "2"], "task.model.anchor.aspect_ratios", "A list of numbers"),
        ("task.model.anchor.num_scales", 2.5, "task.model.anchor.num_scales", "A whole number"),
        ("task.model.head.attribute_heads", [{"nam": "x"}], "task.model.head.attribute_heads.0.nam", "`name`"),
        ("task.model.detection_generator.nms_version", "v9", "task.model.detection_generator.nms_version", "v1"),
        ("task.train_data.input_path", 5, "task.train_data.input_path", "or a text"),
        ("task.losses.l2_weight_decay", "1e-5", "task.losses.l2_weight_decay", "write 1.0e-5"),
        ("task.validation_data.parser.aug_rand_hflip", None, "task.validation_data.parser.aug_rand_hflip", "True or"),
        ("task.train_data.parser.aug_type", {"type": "randaugh"}, "task.train_data.parser.aug_type.type", "`randaug`"),
    ],
)
def test_override_that_cannot_be_is_refused_with_what_can(key, value, where, cure):
    overrides = value
    for part in reversed(key.split(".")):
        overrides = {part: overrides}
    with pytest.raises(InputError) as caught:
        build(overrides=overrides)
    (problem,) = caught.value.problems
    assert problem.field == where
    assert cure in problem.cure


@pytest.mark.parametrize(
    "overrides",
    [
        {"task": {"losses": {"box_loss_weight": 12.5}, "model": {"anchor": {"anchor_size": 4}}}},
        {"task": {"model": {"norm_activation": {"activation": "swish"}}}},
        {"task": {"train_data": {"cycle_length": 2}, "init_checkpoint_modules": ["backbone", "decoder"]}},
        {"trainer": {"optimizer_config": {"optimizer": {"type": "adam", "adam": {"beta_1": 0.8}}}}},
    ],
)
def test_override_that_can_be_is_taken(overrides):
    build(overrides=overrides)


def test_number_of_classes_is_the_label_maps():
    with pytest.raises(InputError, match="background"):
        build(overrides={"task": {"model": {"num_classes": 2}}})


@pytest.mark.parametrize("path", ["a,b.tfrecord", "a*.tfrecord", "a?.tfrecord", "a[1].tfrecord"])
def test_record_path_that_would_be_a_pattern_is_refused(path):
    with pytest.raises(InputError, match="patterns"):
        build(train_records=[path])


def test_training_without_images_is_refused():
    with pytest.raises(InputError, match="train split"):
        build(train_summary={"images": 0, "max_boxes": 0, "image_bytes": 0})


def test_unknown_factory_is_refused():
    with pytest.raises(InputError, match="no experiment of that name"):
        build(factory="retinanet_of_mars")


def test_another_family_of_detectors_is_built_the_same_way():
    experiment = build(factory="fasterrcnn_resnetfpn_coco", settings={})
    assert experiment["task"]["model"]["num_classes"] == 3
    assert experiment["task"]["validation_data"]["drop_remainder"] is False


def test_arguments_are_left_as_they_are():
    before = copy.deepcopy((SETTINGS, SCHEDULE, TRAIN, VAL))
    build(overrides={"task": {"losses": {"focal_loss_gamma": 2.0}}})
    assert before == (SETTINGS, SCHEDULE, TRAIN, VAL)


def test_file_gives_the_same_configuration_and_official_vision_takes_it(tmp_path):
    from official.core import train_utils

    experiment = build()
    path = tmp_path / "experiment.yaml"
    write_experiment(experiment, path, "600 steps, and what else there is to be told of them: " + "as set. " * 20)
    assert path.read_text().startswith("# 600 steps, and what else")
    assert yaml.safe_load(path.read_text()) == experiment
    assert read_experiment(path, FACTORY).as_dict() == experiment
    parsed = train_utils.parse_configuration(
        train_utils.ParseConfigOptions(experiment=FACTORY, config_file=[str(path)]), print_return=False
    )
    assert parsed.task.as_dict() == experiment["task"]
    assert parsed.trainer.as_dict() == experiment["trainer"]


def test_file_with_an_unknown_key_is_refused(tmp_path):
    path = tmp_path / "experiment.yaml"
    write_experiment({"task": {"modle": {}}}, path)
    with pytest.raises(InputError) as caught:
        read_experiment(path, FACTORY)
    assert caught.value.problems[0].file == str(path)


@pytest.mark.parametrize(
    ("size", "fitting"), [(300, "256 or 320, for example"), (40, "64, for example"), (1000, "960 or 1024, for example")]
)
def test_size_that_the_model_is_not_built_for_is_refused(size, fitting):
    with pytest.raises(InputError) as caught:
        build(schedule={**SCHEDULE, "image_size": size})
    (problem,) = caught.value.problems
    assert (problem.field, problem.found) == ("image_size", f"{size} x {size}")
    assert problem.cure == f"This model takes multiples of 64: {fitting}."


def test_size_of_an_override_is_named_as_such():
    with pytest.raises(InputError, match=r"task.model.input_size: found 256 x 300"):
        build(
            schedule={**SCHEDULE, "image_size": None},
            overrides={"task": {"model": {"input_size": [256, 300, 3]}}},
        )
