"""What must stay together is proposed as groups; images that come later change nothing for those already grouped."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odtl.duplicates.grouping import Placed, propose_groups
from odtl.duplicates.groups_file import Group, digest_of, read_groups, write_groups
from odtl.errors import InputError


def placed(**splits: str) -> dict[str, Placed]:
    """Return images whose group is their id, as the default is."""
    return {image: Placed(split, image) for image, split in splits.items()}


def test_images_in_no_pair_are_not_listed():
    assert propose_groups(placed(a="train", b="test"), [], {}) == {}


def test_a_leak_goes_where_the_test_image_is():
    groups = propose_groups(placed(a="train", b="test", c="val"), [("a", "b")], {})
    assert groups == {"a": Group("b", "test"), "b": Group("b", "test")}


def test_as_few_images_as_possible_move():
    groups = propose_groups(placed(a="train", b="train", c="test"), [("a", "c"), ("b", "c")], {})
    assert groups == dict.fromkeys("abc", Group("a", "train"))


@pytest.mark.parametrize(("splits", "winner"), [(("train", "val"), "val"), (("val", "test"), "test")])
def test_ties_go_to_test_then_val(splits, winner):
    groups = propose_groups(placed(a=splits[0], b=splits[1]), [("a", "b")], {})
    assert set(groups.values()) == {Group("b", winner)}


def test_copies_in_one_split_are_kept_together_for_ever():
    assert propose_groups(placed(a="train", b="train"), [("a", "b")], {}) == dict.fromkeys("ab", Group("a", "train"))


def test_groups_of_an_expression_are_joined_whole():
    images = {name: Placed("train" if name[0] == "x" else "val", name[0]) for name in ("x1", "x2", "x3", "y1", "y2")}
    groups = propose_groups(images, [("x2", "y1")], {})
    assert groups == dict.fromkeys(images, Group("x", "train"))


def test_alike_images_of_one_group_in_one_split_need_nothing():
    images = {name: Placed("train", "x") for name in ("x1", "x2")}
    assert propose_groups(images, [("x1", "x2")], {}) == {}


def test_group_of_an_expression_that_folders_tear_apart_is_put_together():
    images = {"x1": Placed("train", "x"), "x2": Placed("test", "x")}
    assert propose_groups(images, [("x1", "x2")], {}) == dict.fromkeys(images, Group("x", "test"))


def test_configured_lines_are_kept_also_of_images_that_are_not_here():
    configured = {"a": Group("pair", "val"), "gone": Group("pair", "val"), "other": Group("free")}
    images = {"a": Placed("val", "pair"), "b": Placed("train", "b"), "c": Placed("train", "c")}
    groups = propose_groups(images, [("a", "b")], configured)
    assert groups == {**configured, "b": Group("pair", "val")}


def test_two_configured_groups_that_prove_alike_become_the_larger_one():
    configured = {"a": Group("one", "train"), "b": Group("two", "test"), "b2": Group("two", "test")}
    images = {"a": Placed("train", "one"), "b": Placed("test", "two"), "b2": Placed("test", "two")}
    assert set(propose_groups(images, [("a", "b")], configured).values()) == {Group("two", "test")}


NAMES = st.sampled_from(string.ascii_lowercase[:12])
SPLITS = st.sampled_from(["train", "val", "test"])


@given(st.dictionaries(NAMES, SPLITS, min_size=2), st.data())
def test_following_the_proposal_stops_all_leaks_and_proposes_it_again(splits, data):
    names = st.sampled_from(sorted(splits))
    pairs = data.draw(st.lists(st.tuples(names, names).filter(lambda pair: pair[0] != pair[1])))
    groups = propose_groups(placed(**splits), pairs, {})
    followed = {
        image: Placed(groups[image].split, groups[image].name) if image in groups else Placed(split, image)
        for image, split in splits.items()
    }
    assert all(followed[one].split == followed[other].split for one, other in pairs)
    assert propose_groups(followed, pairs, groups) == groups
    assert all(followed[image].split == splits[image] for image in splits if image not in groups)


@given(st.dictionaries(NAMES, SPLITS, min_size=2), st.data())
def test_added_images_move_none_that_is_grouped(splits, data):
    names = st.sampled_from(sorted(splits))
    pairs = data.draw(st.lists(st.tuples(names, names).filter(lambda pair: pair[0] != pair[1])))
    groups = propose_groups(placed(**splits), pairs, {})
    followed = {
        image: Placed(groups[image].split, groups[image].name) if image in groups else Placed(split, image)
        for image, split in splits.items()
    }
    # Each new image is like one that is there.
    partners = data.draw(st.lists(names))
    added = {f"new{place}": Placed(data.draw(SPLITS), f"new{place}") for place in range(len(partners))}
    more = [*pairs, *((f"new{place}", partner) for place, partner in enumerate(partners))]
    again = propose_groups({**followed, **added}, more, groups)
    assert {image: again[image] for image in groups} == groups
    assert all(again[f"new{place}"] == again[partner] for place, partner in enumerate(partners))


# The file


def test_file_is_read_as_written(tmp_path):
    groups = {"b,1.jpg": Group("x", "test"), 'a "q".jpg': Group("y"), "ü.jpg": Group("x", "test")}
    write_groups(tmp_path / "g.csv", groups)
    assert read_groups(tmp_path / "g.csv") == groups
    assert (tmp_path / "g.csv").read_text(
        "utf-8"
    ) == 'image,group,split\n"a ""q"".jpg",y,\n"b,1.jpg",x,test\nü.jpg,x,test\n'


def test_columns_may_stand_in_any_order_and_split_may_be_missing(tmp_path):
    (tmp_path / "g.csv").write_text("\ufeffgroup, image ,note\nx,a.jpg,n\n\ny,b.jpg\n", encoding="utf-8")
    assert read_groups(tmp_path / "g.csv") == {"a.jpg": Group("x"), "b.jpg": Group("y")}


def test_no_file_has_no_groups():
    assert read_groups(None) == {}
    assert digest_of(None) == ""


@pytest.mark.parametrize(
    ("text", "field", "found"),
    [
        ("", "header", "an empty file"),
        ("a.jpg,x\n", "header", "a.jpg,x"),
        ("image,group\na.jpg,\n", "line 2", "no group"),
        ("image,group\n,x\n", "line 2", "no image"),
        ("image,group,split\na.jpg,x,dev\n", "line 2", "the split 'dev'"),
        ("image,group\na.jpg,x\na.jpg,y\n", "line 3", "a.jpg once more, with another group or split"),
        ("image,group,split\na.jpg,x,val\nb.jpg,x,\n", "group x", "in val and none"),
        ('image,group\n"a.jpg,x\n', "line 2", "unexpected end of data"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path, text, field, found):
    path = tmp_path / "g.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_groups(path)
    problem = caught.value.problems[0]
    assert (problem.file, problem.field, problem.found) == (str(path), field, found)
    assert str(caught.value).startswith("data.split.groups cannot be used")


def test_file_in_another_encoding_and_missing_file_are_told(tmp_path):
    (tmp_path / "g.csv").write_bytes("image,group\nä.jpg,x\n".encode("latin-1"))
    with pytest.raises(InputError, match="UTF-8"):
        read_groups(tmp_path / "g.csv")
    for use in (read_groups, digest_of):
        with pytest.raises(InputError, match="No such file"):
            use(tmp_path / "missing.csv")


def test_file_that_changes_meanwhile_is_refused(tmp_path):
    path = tmp_path / "g.csv"
    path.write_text("image,group\na.jpg,x\n", encoding="utf-8")
    digest = digest_of(path)
    assert read_groups(path, digest) == {"a.jpg": Group("x")}
    path.write_text("image,group\na.jpg,y\n", encoding="utf-8")
    read_groups(path)
    with pytest.raises(InputError, match="run again"):
        read_groups(tmp_path / "." / "g.csv", "0" * 64)
