"""Every setting of official.vision can be overridden, and no misspelling of one gets through."""

import copy
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odtl.errors import InputError
from odtl.overriding import factory_config, override_config, plain

FACTORIES = ("retinanet_mobile_coco", "retinanet_resnetfpn_coco", "fasterrcnn_resnetfpn_coco")


@pytest.fixture(scope="module")
def configs():
    return {factory: factory_config(factory) for factory in FACTORIES}


def leaves(value, path=()):
    """Yield the path and the value of every setting of a nested mapping."""
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from leaves(inner, (*path, key))
        else:
            yield (*path, key), inner


def nested(path, value):
    for key in reversed(path):
        value = {key: value}
    return value


@pytest.mark.parametrize("factory", FACTORIES)
def test_every_setting_takes_its_own_value(configs, factory):
    config = configs[factory]
    before = plain(config.as_dict())
    count = 0
    for path, value in leaves(before):
        assert plain(override_config(copy.deepcopy(config), nested(path, value), "x").as_dict()) == before, path
        count += 1
    assert count > 150
    # All of them at once, as experiment.yaml has them.
    assert plain(override_config(copy.deepcopy(config), before, "x").as_dict()) == before


def misspelt(name: str, number: int) -> str:
    """Return a name with one letter left out, doubled or swapped with the next one."""
    generator = random.Random(number)
    at = generator.randrange(len(name) - 1)
    return generator.choice(
        [name[:at] + name[at + 1 :], name[: at + 1] + name[at:], name[:at] + name[at + 1] + name[at] + name[at + 2 :]]
    )


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_every_misspelling_is_refused_with_the_key_that_was_meant(configs, data):
    config = configs[data.draw(st.sampled_from(FACTORIES))]
    path, value = data.draw(st.sampled_from([*leaves(plain(config.as_dict()))]))
    at = data.draw(st.sampled_from([at for at, key in enumerate(path) if len(key) > 4]))
    wrong = misspelt(path[at], data.draw(st.integers(0, 1000)))
    place = config
    for key in path[:at]:
        place = getattr(place, key)
    known = set(vars(place)) - set(config.RESERVED_ATTR)
    if wrong in known:
        return
    with pytest.raises(InputError) as caught:
        override_config(copy.deepcopy(config), nested([*path[:at], wrong, *path[at + 1 :]], value), "x")
    (problem,) = [each for each in caught.value.problems if each.field == ".".join([*path[:at], wrong])]
    # Where there are two that are alike, either may be meant.
    assert "Did you mean `" in problem.cure
    alike = [each for each in known if abs(len(each) - len(wrong)) < 3]
    assert any(f"`{each}`?" in problem.cure for each in alike)
