"""The schedule from the data: absolute values at sizes that were measured or published for, and what is refused."""

import pytest

from odtl.errors import InputError
from odtl.schedule import (
    PLACES,
    Rate,
    Schedule,
    adopt_overrides,
    batch_for,
    describe,
    interval_for,
    left_to_data,
    places_left_to_data,
    plan_schedule,
    rounded,
    rounded_up,
    steps_for,
    warmup_for,
)

NOTHING = dict.fromkeys(PLACES)
RATE = Rate(0.00625, 0.32)


def plan(images, val_images=0, size=256, rate=RATE, **settings):
    return plan_schedule({**NOTHING, **settings}, images, val_images, size * size, rate)


def test_raccoons_and_the_demo_train_as_was_measured():
    assert plan(147, 13) == Schedule(8, 600, 0.05, 50, 50, 100)
    assert plan(292, 38) == Schedule(8, 600, 0.05, 50, 60, 100)


@pytest.mark.parametrize(
    ("images", "batch", "steps"),
    [
        (1, 1, 5_000),
        (3, 2, 2_500),
        (20, 8, 600),
        (300, 8, 600),
        (1_000, 8, 2_000),
        (3_999, 8, 8_000),
        (4_000, 16, 4_000),
        # Of PASCAL VOC 07+12, 18,000 steps of 16 are published, and the 1x schedule of COCO is 90,000 of 16.
        (16_551, 32, 8_000),
        (118_287, 32, 50_000),
        (1_000_000, 32, 50_000),
        (3_000_000, 32, 100_000),
    ],
)
def test_batch_and_steps_at_256_pixels(images, batch, steps):
    made = plan(images)
    assert (made.batch_size, made.train_steps) == (batch, steps)


@pytest.mark.parametrize(("size", "batch"), [(256, 32), (320, 16), (384, 8), (512, 8), (640, 4), (1024, 2), (1280, 2)])
def test_batch_goes_by_the_memory_that_images_take(size, batch):
    assert batch_for(100_000, size * size) == batch


def test_small_batches_of_large_images_take_more_steps_at_a_lower_rate():
    made = plan(150, size=640)
    assert (made.batch_size, made.train_steps, made.learning_rate, made.warmup_steps) == (4, 1_200, 0.025, 100)


def test_rest_follows_what_is_set():
    assert plan(147, 13, batch_size=16) == Schedule(16, 300, 0.1, 25, 25, 100)
    assert plan(147, 13, train_steps=60) == Schedule(8, 60, 0.05, 5, 12, 60)
    assert plan(147, 13, train_steps=60, batch_size=2, validation_interval=100).validation_interval == 60
    assert plan(147, 13, learning_rate=0.5, warmup_steps=0) == Schedule(8, 600, 0.5, 0, 50, 100)


def test_rate_grows_with_the_batch_up_to_what_is_known_of_the_model():
    assert plan(1_000, batch_size=32, rate=Rate(0.00125, 0.32)).learning_rate == 0.04
    assert plan(1_000, batch_size=32).learning_rate == 0.2
    assert plan(1_000, batch_size=256).learning_rate == 0.32


@pytest.mark.parametrize(("steps", "warm_up"), [(1, 0), (11, 0), (12, 1), (600, 50), (12_000, 1_000), (90_000, 1_000)])
def test_warm_up(steps, warm_up):
    assert warmup_for(steps) == warm_up


@pytest.mark.parametrize(
    ("val_images", "interval"),
    # Few cost little more than the start of an evaluation; with as many as the training sees, there are four or five.
    [(0, 400), (1_000, 400), (10_000, 1_200), (20_000, 2_000), (1_000_000, 2_000)],
)
def test_costly_evaluations_are_rarer(val_images, interval):
    assert interval_for(8_000, 32, val_images) == interval


@pytest.mark.parametrize(
    ("value", "nearest", "above"),
    [(0.3, 1, 1), (1, 1, 1), (6.6, 7, 7), (9.6, 10, 10), (11, 12, 12), (600, 600, 600), (601, 600, 800),
     (692, 600, 800), (693, 800, 800), (2_002, 2_000, 2_500), (97_000, 100_000, 100_000)],
)  # fmt: skip
def test_rounding(value, nearest, above):
    assert (rounded(value), rounded_up(value)) == (nearest, above)


def test_one_image_more_changes_no_steps():
    for images in (20, 150, 300, 1_000, 2_000, 5_000, 10_000, 118_287):
        assert steps_for(images, 8) == steps_for(images + 1, 8)


def test_batch_that_no_step_could_fill_is_refused_with_a_warm_up_that_is_too_long():
    with pytest.raises(InputError) as caught:
        plan(10, batch_size=16, train_steps=50, warmup_steps=50)
    batch, warm_up = caught.value.problems
    assert (batch.field, batch.found) == ("batch_size", "16, with 10 training images")
    assert (warm_up.field, warm_up.found) == ("warmup_steps", "50 of 50 train_steps")


def test_warm_up_is_compared_with_steps_that_follow_from_the_data():
    with pytest.raises(InputError, match="600 train_steps, which follow from the data"):
        plan(150, warmup_steps=600)


OVERRIDES = {"trainer": {"train_steps": 90, "optimizer_config": {"warmup": {"linear": {"warmup_steps": 0}}}}}


def test_schedule_fits_what_overrides_set():
    adopted = adopt_overrides({**NOTHING, "train_steps": 600, "batch_size": 4}, OVERRIDES)
    assert adopted == {**NOTHING, "train_steps": 90, "batch_size": 4, "warmup_steps": 0}
    assert adopt_overrides(NOTHING, {"trainer": {"train_steps": "many"}}) == NOTHING


def test_what_is_overridden_does_not_follow_from_the_data():
    settings = {**NOTHING, "learning_rate": 0.1, "overrides": OVERRIDES}
    assert left_to_data(settings) == ["batch_size", "validation_interval"]
    assert places_left_to_data(settings) == [
        "task.train_data.global_batch_size",
        "task.validation_data.global_batch_size",
        "trainer.validation_interval",
    ]
    own = {"trainer": {"checkpoint_interval": 7}}
    places = places_left_to_data({**NOTHING, "overrides": own})
    assert "trainer.train_steps" in places
    assert "trainer.checkpoint_interval" not in places


EXPERIMENT = {
    "task": {"train_data": {"global_batch_size": 8}},
    "trainer": {
        "train_steps": 600,
        "validation_interval": 50,
        "optimizer_config": {
            "learning_rate": {"type": "cosine", "cosine": {"initial_learning_rate": 0.05}},
            "warmup": {"type": "linear", "linear": {"warmup_steps": 50}},
        },
    },
}


def test_schedule_is_told_in_a_line():
    assert describe(EXPERIMENT, 150, 13, ["train_steps", "batch_size"]) == (
        "600 steps of batch 8 (32 epochs of 150 images), learning rate up to 0.05 after 50 steps of warm-up, evaluated "
        "every 50 on 13 images: from the data; set train_steps and batch_size to change them."
    )
    assert describe(EXPERIMENT, 150, 13, []).endswith("evaluated every 50 on 13 images: as set.")
    assert "there are no validation images" in describe(EXPERIMENT, 150, 0, ["train_steps"])
