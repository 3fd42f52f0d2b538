"""Schedules from data of any size: what must hold of all of them."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from odtl.schedule import (
    EVALUATION_SHARE,
    EVALUATION_START,
    LARGEST_BATCH,
    MOST_EVALUATING,
    PLACES,
    Rate,
    plan_schedule,
)

# From one image to five million, evenly in their logarithm.
IMAGES = st.floats(0, 6.7).map(lambda power: round(10**power))
PIXELS = st.sampled_from([128, 256, 320, 384, 512, 640, 1024, 1280, 2048]).map(lambda size: size**2)
RATES = st.sampled_from([Rate(0.00625, 0.32), Rate(0.00125, 0.32)])
NOTHING = dict.fromkeys(PLACES)


@given(data=st.data(), images=IMAGES, share=st.sampled_from([0, 0.1, 1, 3]), pixels=PIXELS, rate=RATES)
@settings(max_examples=300, deadline=None)
def test_schedules_hold_together(data, images, share, pixels, rate):
    chosen = {
        **NOTHING,
        "batch_size": data.draw(st.none() | st.integers(1, images)),
        "train_steps": data.draw(st.none() | st.integers(1, 1_000_000)),
    }
    val_images = round(images * share)
    made = plan_schedule(chosen, images, val_images, pixels, rate)
    assert made.batch_size == chosen["batch_size"] or made.batch_size <= min(images, LARGEST_BATCH)
    assert 0 <= made.warmup_steps < made.train_steps
    assert 1 <= made.validation_interval <= made.train_steps
    assert 1 <= made.checkpoint_interval <= made.train_steps
    assert 0 < made.learning_rate <= rate.most
    if chosen["train_steps"] is None:
        assert made.train_steps * made.batch_size >= images, "an image is never learnt from"
    evaluations = math.ceil(made.train_steps / made.validation_interval)
    assert evaluations <= 20
    assert evaluations >= 4 or made.train_steps < 20
    if evaluations > 5:
        # But for the last one, which comes at the end in any case, they must be worth their time.
        cost = (evaluations - 1) * (EVALUATION_START + EVALUATION_SHARE * val_images)
        assert cost <= MOST_EVALUATING * made.train_steps * made.batch_size * 1.001


@given(images=IMAGES, more=IMAGES, pixels=PIXELS)
@settings(max_examples=300, deadline=None)
def test_more_images_mean_no_less_training(images, more, pixels):
    one, other = (plan_schedule(NOTHING, n, 0, pixels, Rate(0.00625, 0.32)) for n in (images, images + more))
    assert other.batch_size >= one.batch_size
    # Where the batch is another one, rounding may take up to a third.
    slack = 1 if one.batch_size == other.batch_size else 2 / 3
    assert other.train_steps * other.batch_size >= slack * one.train_steps * one.batch_size


@given(images=st.integers(30, 5_000_000), pixels=PIXELS)
@settings(max_examples=300, deadline=None)
def test_an_image_more_changes_the_training_by_a_third_at_most(images, pixels):
    one, other = (plan_schedule(NOTHING, n, n // 10, pixels, Rate(0.00625, 0.32)) for n in (images, images + 1))
    seen = [each.train_steps * each.batch_size for each in (one, other)]
    assert max(seen) <= 1.34 * min(seen)
