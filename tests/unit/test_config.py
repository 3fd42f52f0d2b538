"""The configuration: every mistake is named, with what is allowed, before anything runs."""

import copy
from pathlib import Path

import pytest
import yaml

from odtl.config import check_config, check_files, experiment_settings
from odtl.errors import InputError, nearest

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
DEFAULT = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
MODELS = ["demo", "retinanet_mobilenetv2_256"]

COMMONS = {"provider": "wikimedia", "query": "x", "max_results": 9}


def changed(path: str, value) -> dict:
    """Return the default configuration with one value set; `path` is dotted."""
    config = copy.deepcopy(DEFAULT)
    *parents, key = [int(part) if part.isdigit() else part for part in path.split(".")]
    place = config
    for parent in parents:
        place = place[parent]
    place[key] = value
    return config


def message(config: dict) -> str:
    with pytest.raises(InputError) as caught:
        check_config(config, SCHEMA, MODELS)
    return str(caught.value)


def test_default_configuration_is_valid():
    check_config(DEFAULT, SCHEMA, MODELS)


@pytest.mark.parametrize(
    ("path", "value", "key", "advice"),
    [
        ("training.batchsize", 4, "training.batchsize", "Did you mean `batch_size`?"),
        ("training.batch_size", "8", "training.batch_size: found '8'", "a whole number"),
        ("training.learning_rate", 0, "training.learning_rate: found 0", "more than 0"),
        (
            "training",
            {**DEFAULT["training"], "train_steps": 600, "warmup_steps": 600},
            "experiments.detector.warmup_steps",
            "shorter than the training",
        ),
        ("training.early_stopping.patience", 0, "training.early_stopping.patience: found 0", "at least 1"),
        ("training.early_stopping.patiense", 3, "early_stopping.patiense", "Did you mean `patience`?"),
        ("training.ema", 1, "training.ema: found 1", "less than 1"),
        ("training.freeze", "backbones", "training.freeze: found 'backbones'", "the text backbone"),
        ("training.freeze", True, "training.freeze: found True", "a text or a whole number or null"),
        ("training.freeze", 0, "training.freeze: found 0", "at least 1"),
        ("training.freeze_backbone", True, "training.freeze_backbone", "Write `freeze: backbone`"),
        ("training.warm_start.when", False, "training.warm_start.when: found False", "never | always | small_change"),
        ("training.warm_start.train_steps", 0, "training.warm_start.train_steps: found 0", "more than 0"),
        ("training.mixed_precision", "half", "training.mixed_precision: found 'half'", "float32 | bfloat16 | float16"),
        ("data.sources.0.format", "vco", "data.sources.0.format: found 'vco'", "voc | csv"),
        ("data.sources.0.imgaes", "x", "data.sources.0.imgaes", "Did you mean `images`?"),
        ("data.sources.0.annotations", {"trian": "a.csv"}, "'trian'", "train | val | test"),
        ("data.sources", [], "data.sources: found []", "at least 1"),
        ("data.split.fractions.val", 0.5, "data.split.fractions", "add up to 1"),
        ("data.split.fractions.val", -0.1, "data.split.fractions.val: found -0.1", "at least 0 and at most 1"),
        ("data.split.group", "(", "data.split.group: found '('", "regular expression"),
        ("data.shards", 0, "data.shards: found 0", "at least 1"),
        ("data.strict", "yes", "data.strict: found 'yes'", "a boolean"),
        ("experiments.records", {"model": "demo"}, "the name 'records'", "not the name of a folder"),
        ("experiments.a/b", {"model": "demo"}, "the name 'a/b'", "Letters, digits"),
        ("experiments.detector.model", "dmeo", "experiments.detector.model: found 'dmeo'", "Did you mean `demo`?"),
        ("experiments.detector", {}, "experiments.detector.model: found nothing", "needed"),
        ("experiments.detector.train_step", 9, "experiments.detector.train_step", "Did you mean `train_steps`?"),
        ("labels.classes", ["a", "a"], "labels.classes", "each entry once"),
        ("labels.aliases", {"a": "b", "b": "c"}, "labels.aliases.a", "alias itself"),
        ("detect.score_threshold", 1.5, "detect.score_threshold: found 1.5", "at most 1"),
        ("detect.class_thresholds", {"mug": 1.5}, "detect.class_thresholds.mug: found 1.5", "at most 1"),
        ("detect.tile", 8, "detect.tile: found 8", "at least 32"),
        ("exprot", {}, "exprot", "Did you mean `export`?"),
        ("searches.a", {"provider": "gogle"}, "searches.a.provider: found 'gogle'", "google | tumblr | openverse"),
        ("searches.a", {"query": "x"}, "searches.a.provider: found nothing", "needed"),
        ("searches.a", {"provider": "google", "query": "x"}, "searches.a.max_results: found nothing", "needed"),
        ("searches.a", {**COMMONS, "qerry": "x"}, "searches.a.qerry: found 'x'", "Did you mean `query`?"),
        (
            "searches.a",
            {**COMMONS, "license": ["by-nc"]},
            "searches.a.license.0: found 'by-nc'",
            "cc0 | pdm | by | by-sa",
        ),
        ("searches.a", {**COMMONS, "query": "x" * 201}, "searches.a.query", "at most 200 letters"),
        ("searches.a", {"provider": "google", "query": "x", "max_results": 101}, "found 101", "at most 100"),
        ("searches.a", {"provider": "tumblr", "max_results": 9}, "searches.a", "a `tag`, a `blog`, or both"),
        ("searches.a/b", COMMONS, "the name 'a/b'", "Letters, digits"),
        ("experiments.searches", {"model": "demo"}, "the name 'searches'", "not the name of a folder"),
    ],
)
def test_mistake_is_named_with_what_is_allowed(path, value, key, advice):
    text = message(changed(path, value))
    assert key in text
    assert advice in text


@pytest.mark.parametrize(
    "search",
    [
        {"provider": "google", "query": "x", "max_results": 100, "license": ["cc_attribute"], "class": "mug"},
        {"provider": "tumblr", "tag": "x", "max_results": 9000},
        {"provider": "tumblr", "blog": "a.tumblr.com", "tag": "x", "max_results": 9, "split": "train"},
        {"provider": "openverse", "query": "x", "max_results": 400, "license": ["by-nc-sa", "cc0"]},
        COMMONS,
    ],
)
def test_searches_of_each_provider_are_taken(search):
    check_config(changed("searches.a", search), SCHEMA, MODELS)


def test_csv_source_needs_its_table():
    config = changed("data.sources", [{"format": "csv", "images": "images"}])
    assert "data.sources.0.annotations: found nothing" in message(config)


def test_alias_to_unknown_class_of_fixed_list_is_named():
    config = changed("labels", {"classes": ["r2d2"], "aliases": {"r2-d2": "r2d3"}})
    assert "labels.aliases.r2-d2: found 'r2d3'" in message(config)


def test_missing_section_is_named_once_for_each():
    config = copy.deepcopy(DEFAULT)
    del config["detect"], config["data"]["shards"]
    text = message(config)
    assert text.count("detect: found nothing") == 1
    assert text.count("data.shards: found nothing") == 1


def test_all_mistakes_are_told_at_once():
    config = changed("training.batchsize", 4)
    config["data"]["shards"] = 0
    config["detect"]["score_threshold"] = 2
    with pytest.raises(InputError) as caught:
        check_config(config, SCHEMA, MODELS)
    assert len(caught.value.problems) == 3


def test_experiment_overrides_training_and_merges_mappings():
    config = changed("experiments.detector.augmentation", {"hflip": False})
    config["experiments"]["detector"]["batch_size"] = 3
    settings = experiment_settings(config, "detector")
    assert settings["batch_size"] == 3
    assert settings["augmentation"] == {**DEFAULT["training"]["augmentation"], "hflip": False}
    assert settings["learning_rate"] == DEFAULT["training"]["learning_rate"]


def test_one_experiment_alone_may_start_warm():
    config = changed("experiments.detector.warm_start", {"when": "small_change"})
    check_config(config, SCHEMA, MODELS)
    settings = experiment_settings(config, "detector")
    assert settings["warm_start"] == {**DEFAULT["training"]["warm_start"], "when": "small_change"}


def test_partial_augmentation_of_an_experiment_is_allowed():
    check_config(changed("experiments.detector.augmentation", {"hflip": False}), SCHEMA, MODELS)


def test_nearest_says_nothing_where_nothing_is_near():
    assert nearest("zebra", ["batch_size"]) == ""


def test_schema_and_default_configuration_hold_the_same_keys():
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))

    def keys(part: dict, prefix: str = "") -> set[str]:
        part = {**part, **schema["$defs"].get(part.get("$ref", "").rsplit("/", 1)[-1], {})}
        found = set()
        for key, value in part.get("properties", {}).items():
            found |= {f"{prefix}{key}"} | keys(value, f"{prefix}{key}.")
        return found

    def default_keys(part: dict, prefix: str = "") -> set[str]:
        found = set()
        for key, value in part.items():
            found.add(f"{prefix}{key}")
            if isinstance(value, dict) and f"{prefix}{key}" != "experiments":
                found |= default_keys(value, f"{prefix}{key}.")
        return found

    assert keys(schema) == default_keys(DEFAULT)
    source = schema["$defs"]["source"]["properties"]
    assert set(source) == set(DEFAULT["data"]["sources"][0])


def test_every_key_is_explained():
    text = (ROOT / "config/README.md").read_text(encoding="utf-8")

    def leaves(part: dict) -> set[str]:
        return {key for k, v in part.items() for key in ({k} | (leaves(v) if isinstance(v, dict) else set()))}

    named = leaves({key: value for key, value in DEFAULT.items() if key != "experiments"})
    named |= set(DEFAULT["data"]["sources"][0])
    assert [key for key in sorted(named) if f"`{key}`" not in text] == []


def test_order_of_keys_is_no_difference():
    one = changed("experiments.detector.overrides", {"b": {"d": 1, "c": [{"f": 1, "e": 2}]}, "a": 2})
    two = changed("experiments.detector.overrides", {"a": 2, "b": {"c": [{"e": 2, "f": 1}], "d": 1}})
    assert repr(experiment_settings(one, "detector")) == repr(experiment_settings(two, "detector"))


def test_a_key_that_a_file_has_twice_is_told_with_both_lines(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text(
        "labels: {aliases: {a: b}}\ndata:\n  sources:\n    - {format: voc, images: a, format: csv}\nlabels: {}\n"
    )
    with pytest.raises(InputError) as error:
        check_files([path])
    assert [(problem.field, problem.found) for problem in error.value.problems] == [
        ("line 4", "`format` for the second time, after line 4"),
        ("line 5", "`labels` for the second time, after line 1"),
    ]
    path.write_text("a: {b: 1}\nc: {b: 1}\nd: [{b: 1}, {b: 1}]\n")
    check_files([path])
    path.write_text("")
    check_files([path])
