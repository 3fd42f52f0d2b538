"""Sweeps and seeds: what is made of them, by which names, and what is refused."""

import copy
from pathlib import Path

import pytest
import yaml

from odtl.config import check_config, experiment_settings
from odtl.errors import InputError
from odtl.experiments import MOST_OF_A_SWEEP, experiments_of, trainings_of, written_out

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
DEFAULT = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
DECAY = "overrides.task.losses.l2_weight_decay"


def config_of(sweeps=None, experiments=None, **training) -> dict:
    config = copy.deepcopy(DEFAULT)
    config["sweeps"] = sweeps or {}
    config["experiments"].update(experiments or {})
    config["training"].update(training)
    return config


def rates(**vary) -> dict:
    return {"rates": {"base": "detector", "vary": vary}}


def refusal(config: dict) -> list[tuple[str, str, str]]:
    with pytest.raises(InputError) as caught:
        check_config(config, SCHEMA, ["demo"])
    return [(problem.field, problem.found, problem.cure) for problem in caught.value.problems]


def test_plain_experiment_is_one_training_of_its_name():
    (training,) = trainings_of(DEFAULT).values()
    assert (training.name, training.experiment.name, training.seed) == ("detector", "detector", 1)


def test_a_sweep_is_every_combination_over_its_base():
    base = {"model": "demo", "batch_size": 4, "overrides": {"task": {"losses": {"loss_weight": 2.0}}}}
    sweeps = rates(**{"learning_rate": [0.02, 0.08], DECAY: [1.0e-5, 0.0]})
    config = config_of(sweeps, {"detector": base})
    check_config(config, SCHEMA, ["demo"])
    made = {name: each for name, each in experiments_of(config).items() if each.sweep}
    assert list(made) == [
        "rates-learning_rate-0.02-l2_weight_decay-1e-05",
        "rates-learning_rate-0.02-l2_weight_decay-0.0",
        "rates-learning_rate-0.08-l2_weight_decay-1e-05",
        "rates-learning_rate-0.08-l2_weight_decay-0.0",
    ]
    one = made["rates-learning_rate-0.08-l2_weight_decay-1e-05"]
    assert one.varied == {"learning_rate": 0.08, DECAY: 1e-5}
    settings = experiment_settings(written_out(config), one.name)
    assert (settings["model"], settings["batch_size"], settings["learning_rate"]) == ("demo", 4, 0.08)
    assert settings["overrides"] == {"task": {"losses": {"l2_weight_decay": 1e-5, "loss_weight": 2.0}}}
    # The base itself is as it was.
    assert config["experiments"]["detector"] == base


def test_part_of_a_mapping_is_varied_over_the_defaults():
    config = config_of(rates(**{"augmentation.hflip": [True, False]}))
    check_config(config, SCHEMA, ["demo"])
    settings = experiment_settings(written_out(config), "rates-hflip-false")
    assert settings["augmentation"] == {**DEFAULT["training"]["augmentation"], "hflip": False}


def test_order_of_the_keys_of_a_sweep_is_no_difference():
    one = config_of(rates(learning_rate=[0.1], batch_size=[4]))
    other = config_of(rates(batch_size=[4], learning_rate=[0.1]))
    assert list(trainings_of(one)) == list(trainings_of(other))


def test_values_of_every_kind_make_names_of_folders():
    values = [None, True, "a b/c", [1, 2], {"b": 1, "a": [0.5]}]
    names = list(experiments_of(config_of(rates(**{"overrides.x": values}))))[1:]
    assert names == ["rates-x-null", "rates-x-true", "rates-x-a-b-c", "rates-x-1-2", "rates-x-a-0.5-b-1"]


def test_keys_that_end_alike_are_told_apart():
    config = config_of(rates(**{"overrides.task.a.x": [1], "overrides.task.b.x": [2], "overrides.y": [3]}))
    assert list(experiments_of(config))[1] == "rates-a.x-1-b.x-2-y-3"


def test_long_names_are_cut_and_stay_apart():
    one, other = list(experiments_of(config_of(rates(**{"overrides.x": ["a" * 300, "a" * 301]}))))[1:]
    assert one != other
    assert len(one) == len(other) == 120


def test_seeds_are_trainings_and_the_first_keeps_its_folder():
    config = config_of(experiments={"detector": {"model": "demo", "seeds": 3, "seed": 5}, "plain": {"model": "demo"}})
    check_config(config, SCHEMA, ["demo"])
    found = {name: (each.experiment.name, each.seed) for name, each in trainings_of(config).items()}
    assert found == {
        "detector": ("detector", 5),
        "detector-seed-6": ("detector", 6),
        "detector-seed-7": ("detector", 7),
        "plain": ("plain", 1),
    }
    whole = written_out(config)
    settings = [experiment_settings(whole, name) for name in trainings_of(config)]
    assert [each["seed"] for each in settings] == [5, 6, 7, 1]
    assert [{**each, "seed": 0} for each in settings] == [{**settings[3], "seed": 0}] * 4


def test_number_of_seeds_is_no_setting_of_a_training():
    before, after = written_out(config_of(seeds=2)), written_out(config_of(seeds=3))
    for name in trainings_of(config_of(seeds=2)):
        assert experiment_settings(before, name) == experiment_settings(after, name)


def test_seeds_of_a_base_are_those_of_its_sweep():
    config = config_of(rates(learning_rate=[0.1]), {"detector": {"model": "demo", "seeds": 2}})
    assert list(trainings_of(config)) == [
        *("detector", "detector-seed-2"),
        *("rates-learning_rate-0.1", "rates-learning_rate-0.1-seed-2"),
    ]


@pytest.mark.parametrize(
    ("sweeps", "field", "found", "cure"),
    [
        (
            rates(learning_rat=[0.1, 0.2]),
            "sweeps.rates.vary.learning_rat",
            "0.1",
            "There is no such key. Did you mean `learning_rate`?",
        ),
        (
            rates(**{"augmentation.hflp": [True]}),
            "sweeps.rates.vary.augmentation.hflp",
            "True",
            "There is no such key. Did you mean `hflip`?",
        ),
        (rates(batch_size=[0]), "sweeps.rates.vary.batch_size", "0", "Allowed: at least 1."),
        (rates(**{"batch_size.x": [1]}), "sweeps.rates.vary.batch_size.x", "{'x': 1}", "Allowed: a whole number"),
        (rates(model=["dmeo"]), "sweeps.rates.vary.model", "'dmeo'", "Not in the zoo. Did you mean `demo`?"),
        (
            {"rates": {"base": "detectr", "vary": {"seed": [1]}}},
            "sweeps.rates.base",
            "'detectr'",
            "There is no such experiment. Did you mean `detector`?",
        ),
        (
            rates(learning_rate=[0.1, 0.2], seed=list(range(51))),
            "sweeps.rates.vary",
            "2 x 51 = 102 experiments",
            f"at most {MOST_OF_A_SWEEP}",
        ),
        (rates(seed=[]), "sweeps.rates.vary.seed", "[]", "at least 1 of it"),
        ({"rates": {"base": "detector", "vary": {}}}, "sweeps.rates.vary", "{}", "at least 1 of it"),
        (
            {"rates": {"base": "detector", "vray": {}, "vary": {"seed": [1]}}},
            "sweeps.rates.vray",
            "{}",
            "Did you mean `vary`?",
        ),
        ({"a/b": {"base": "detector", "vary": {"seed": [1]}}}, "sweeps", "the name 'a/b'", "Letters, digits"),
    ],
)
def test_mistake_in_a_sweep_is_named_with_what_is_allowed(sweeps, field, found, cure):
    problems = refusal(config_of(sweeps))
    assert (field, found) in [problem[:2] for problem in problems]
    assert cure in problems[0][2]


def test_each_wrong_value_of_a_sweep_is_told_once():
    problems = refusal(config_of(rates(batch_size=[0, 4, -1], seed=[1, 2])))
    assert sorted(problem[:2] for problem in problems) == [
        ("sweeps.rates.vary.batch_size", "-1"),
        ("sweeps.rates.vary.batch_size", "0"),
    ]


def test_values_that_only_disagree_together_are_told_with_their_combination():
    vary = {"augmentation.scale_min": [0.5, 2.0], "learning_rate": [0.1]}
    ((field, found, _),) = refusal(config_of(rates(**vary)))
    assert field == "sweeps.rates.vary.augmentation.scale_min"
    assert found == "2.0, above scale_max 1.4"
    ((field, found, _),) = refusal(config_of(rates(**{"augmentation.scale_max": [0.5], "learning_rate": [0.1]})))
    assert field == "sweeps.rates (augmentation.scale_max 0.5, learning_rate 0.1): augmentation.scale_min"
    assert found == "0.7, above scale_max 0.5"


def test_mistake_of_the_base_is_told_of_the_base_alone():
    augmentation = {"scale_min": 2.0, "scale_max": 1.0}
    experiments = {"detector": {"model": "demo", "augmentation": augmentation}}
    problems = refusal(config_of(rates(learning_rate=[0.1, 0.2]), experiments))
    assert [problem[0] for problem in problems] == ["experiments.detector.augmentation.scale_min"]


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (config_of(experiments={"detector-seed-2": {"model": "demo"}}, seeds=2), "experiments.detector, seed 2"),
        (config_of(rates(seed=[1]), {"rates-seed-1": {"model": "demo"}}), "sweeps.rates"),
        (config_of(rates(**{"overrides.x": ["a b", "a/b"]})), "sweeps.rates"),
    ],
)
def test_one_name_for_two_folders_is_refused(config, field):
    assert refusal(config)[0][0] == field
