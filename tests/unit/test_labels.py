"""Spellings of one class are told from classes of their own."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odtl import labels
from odtl.labels import LookAlike, look_alikes, plain, same_but_for_spelling


@pytest.mark.parametrize("label", ["Light Saber", "light_saber", "LIGHT-SABER", " light  saber ", "lightSaber"])
def test_plain_form_is_without_what_spellings_differ_in(label):
    assert plain(label) == "lightsaber"
    assert same_but_for_spelling(label, ["r2d2", "Lightsaber"]) == "Lightsaber"


def test_only_one_class_may_be_meant():
    assert same_but_for_spelling("DOG", ["dog", "Dog"]) is None
    assert same_but_for_spelling("cat", ["dog", "Dog"]) is None
    assert same_but_for_spelling("-_-", ["---", "dog"]) is None
    assert same_but_for_spelling("STRASSE", ["straße"]) == "straße"


@pytest.mark.parametrize(
    ("rare", "frequent"),
    [
        ("r2-d2", "r2d2"),
        ("Dog", "dog"),
        ("traffic_light", "traffic light"),
        ("racoon", "raccoon"),
        ("raccon", "raccoon"),
        ("raccooon", "raccoon"),
        ("racconn", "raccoon"),
        ("raccono", "raccoon"),
        ("stop sing", "stop sign"),
        ("xraccoon", "raccoon"),
        ("raccoons", "raccoon"),
    ],
)
def test_rare_spelling_of_a_frequent_class_is_found(rare, frequent):
    assert look_alikes({frequent: 412, rare: 1, "sparrow": 7}) == [LookAlike(rare, frequent, 1, 412)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("dog 1", "dog 2"),
        ("person1", "person2"),
        ("person", "person2"),
        ("class a", "class b"),
        ("option-a", "option-b"),
        ("player x", "player"),
        ("left hand", "right hand"),
        ("cat", "car"),
        ("boat", "goat"),
        ("sparrow", "swallow"),
        ("bicycle", "tricycle"),
        ("raccoon", "barracoon"),
    ],
)
def test_classes_of_their_own_are_left_alone(one, other):
    for rare, frequent in itertools.permutations((one, other)):
        assert look_alikes({frequent: 412, rare: 1}) == []


def test_what_is_not_rare_is_no_slip():
    assert look_alikes({"horse": 100, "house": 6}) == []
    assert look_alikes({"horse": 100, "house": 5}) == [LookAlike("house", "horse", 5, 100)]
    # The same letters are the same word, however often.
    assert look_alikes({"Horse": 100, "horse": 100}) == [LookAlike("horse", "Horse", 100, 100)]


def test_class_without_boxes_is_not_looked_at():
    assert look_alikes({"raccoon": 412, "racoon": 0}) == []


# The 80 classes of COCO and the 20 of PASCAL VOC.
COCO = """person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,
parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,
handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,
surfboard,tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,
broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,potted plant,bed,dining table,toilet,tv,laptop,
mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,scissors,
teddy bear,hair drier,toothbrush"""
VOC = """aeroplane,bicycle,bird,boat,bottle,bus,car,cat,chair,cow,diningtable,dog,horse,motorbike,person,pottedplant,
sheep,sofa,train,tvmonitor"""


@pytest.mark.parametrize("classes", [COCO, VOC])
def test_no_false_alarm_in_well_known_lists(classes):
    names = [name.strip() for name in classes.split(",")]
    assert len(names) in (80, 20)
    for order in (names, names[::-1]):
        assert look_alikes({name: 1000 if index < len(names) / 2 else 1 for index, name in enumerate(order)}) == []


def test_two_lists_in_one_data_set_are_told():
    names = {name.strip(): 1000 for name in COCO.split(",")} | {
        name.strip(): 10 for name in ("diningtable", "tv monitor")
    }
    assert look_alikes(names) == [LookAlike("diningtable", "dining table", 10, 1000)]


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.text("abA-_ 1", max_size=9), st.sampled_from((0, 1, 2, 40, 1000)), max_size=12))
def test_each_label_is_alike_to_the_most_frequent_that_it_may_be(boxes):
    """What the definition says, each compared with each other one."""
    names = sorted((name for name in boxes if boxes[name]), key=lambda name: (-boxes[name], name))
    expected = []
    for index, rare in enumerate(names):
        for frequent in names[:index]:
            seldom = boxes[rare] <= labels.SLIP_SHARE * boxes[frequent]
            if plain(rare) == plain(frequent) or (seldom and labels._is_slip(rare, frequent)):
                expected.append(LookAlike(rare, frequent, boxes[rare], boxes[frequent]))
                break
    assert look_alikes(boxes) == expected


def test_many_labels_are_not_each_compared_with_each_other_one(monkeypatch):
    compared, is_slip = [], labels._is_slip
    monkeypatch.setattr(labels, "_is_slip", lambda *pair: compared.append(pair) or is_slip(*pair))
    letters = "abcdefghijklmnopqrst"
    names = {"".join(word): 1000 for word in itertools.product(letters[:8], repeat=4)}
    many = {f"{name}{name[::-1]}": count for name, count in names.items()} | {
        "abcddcbx": 1,
        "x" * 5000: 1,
        "x" * 4999: 1,
    }
    assert look_alikes(many) == [LookAlike("abcddcbx", "abcddcba", 1, 1000)]
    assert len(compared) < 100
