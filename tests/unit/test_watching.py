"""What is taken for a training that cannot go on, and what is not."""

import math

import numpy as np
import pytest

from odtl.training.watching import DIVERGED, PROVEN, SPAN, Watch


def report(loss, images=(7, 8), bad=(False, False), weights=True):
    return {"loss": loss, "images": np.array(images), "bad": np.array(bad), "weights": weights}


def first_trouble(losses, first=0, warmup=0):
    return Watch(first, warmup).look([report(loss) for loss in losses])


def noisy(mean, count, seed=0):
    return mean * np.random.default_rng(seed).lognormal(0, 0.5, count)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_the_step_whose_loss_is_no_number_is_found_among_many(loss):
    watch = Watch(100, 0)
    assert watch.look([report(1.0)] * 5) is None
    trouble = watch.look([report(1.5), report(1.25), report(loss, images=[3, 4]), report(math.nan)])
    assert (trouble.step, trouble.what) == (108, "loss")
    assert (trouble.images, trouble.bad) == ([3, 4], [])
    assert trouble.before == [1.0, 1.5, 1.25]
    assert not trouble.rising
    assert trouble.go_on == 108 - PROVEN


def test_images_with_bad_targets_are_named_also_where_an_example_is_made_of_several():
    trouble = Watch(0, 0).look([report(math.nan, images=[[1, 2], [3, 4]], bad=[False, True])])
    assert (trouble.images, trouble.bad) == ([1, 2, 3, 4], [3, 4])


def test_weights_that_are_no_numbers_are_told_of_the_step_that_made_them_so():
    trouble = Watch(0, 0).look([report(1.0), report(1.1, images=[5, 6], weights=False), report(math.nan)])
    assert (trouble.step, trouble.what, trouble.images) == (2, "weights", [5, 6])


def test_loss_that_rises_and_stays_is_divergence():
    losses = [*noisy(0.5, 300), *noisy(0.5 * DIVERGED * 3, 300)]
    trouble = first_trouble(losses)
    assert trouble.what == "divergence"
    assert 300 + SPAN < trouble.step < 300 + 3 * SPAN
    # From before it rose: what came after is no better.
    assert SPAN <= trouble.go_on <= 300
    assert trouble.rising


def test_divergence_names_the_images_of_the_step_where_it_began():
    calm, high = noisy(0.5, 300), noisy(0.5 * DIVERGED * 10, 300, seed=1)
    # One hard batch shortly before is not where it began.
    calm[250] = 50.0
    losses = [*calm, *high]
    trouble = Watch(0, 0).look([report(loss, images=[2 * step, 2 * step + 1]) for step, loss in enumerate(losses, 1)])
    assert trouble.what == "divergence"
    assert 301 <= trouble.began <= 303
    assert trouble.images == [2 * trouble.began, 2 * trouble.began + 1]


@pytest.mark.parametrize(
    "losses",
    [
        noisy(0.5, 2000),
        # One very hard batch, and some hard ones.
        [*noisy(0.5, 300), 500.0, *noisy(0.5, 300)],
        [*noisy(0.5, 300), *noisy(3.0, 20), *noisy(0.5, 300)],
        # The first batches happen to hold no object.
        [0.001] * 10 + [*noisy(0.5, 500)],
        # It falls, and settles higher than its lowest.
        [*np.geomspace(5, 0.1, 300), *noisy(0.25, 500)],
    ],
    ids=["noise", "one batch", "some batches", "first batches", "settled"],
)
def test_noise_is_no_divergence(losses):
    assert first_trouble(losses) is None


def test_warm_up_may_raise_the_loss():
    losses = [*noisy(0.1, 100), *noisy(1.0, 300), *noisy(0.1, 300)]
    assert first_trouble(losses, warmup=400) is None
    assert first_trouble(losses, warmup=50).what == "divergence"


def test_loss_that_explodes_before_it_is_no_number_is_told_apart():
    trouble = first_trouble([1.0, 1.1, 0.9, 30.0, 1e6, math.nan])
    assert trouble.rising
    assert not first_trouble([1.0, 1.1, 0.9, 1.2, math.nan]).rising
