"""What is wrong is told line by line, and what is wrong with many files in the same way once for all of them."""

import io

from PIL import UnidentifiedImageError

from odtl.errors import InputError, Problem, said_by, text_of


def lines(*problems):
    return str(InputError(problems, "Bad")).splitlines()[1:]


def test_each_problem_has_a_line():
    one, other = Problem("a.xml", "root", "<x>", "Mend it."), Problem("b.xml", "line 3", "nothing", "Fill it.")
    assert lines(one, other) == ["  - a.xml: root: found <x>. Mend it.", "  - b.xml: line 3: found nothing. Fill it."]


def test_many_that_differ_in_their_file_alone_are_told_together():
    alike = [Problem(f"{number}.xml", "root", "<x>", "Mend it.") for number in range(200)]
    other = Problem("b.xml", "line 3", "nothing", "Fill it.")
    told = lines(*alike[:100], other, *alike[100:])
    assert len(told) == 7
    assert told[4:] == [
        "  - 4.xml: root: found <x>. Mend it.",
        "  - b.xml: line 3: found nothing. Fill it.",
        "  - the same of 195 more files, such as 199.xml",
    ]


def test_six_are_few():
    assert len(lines(*(Problem(f"{number}.xml", "root", "<x>", "Mend it.") for number in range(6)))) == 6


def test_what_a_library_says_is_the_same_in_each_run():
    said = f"cannot identify image file {io.BytesIO()!r}"
    assert " at 0x" in said
    assert text_of(UnidentifiedImageError(said)) == "cannot identify image file"
    assert said_by(UnidentifiedImageError(said)) == "UnidentifiedImageError: cannot identify image file"
    assert said_by(ValueError("one\n  two")) == "ValueError: one two"
    assert said_by(ValueError(f"{object()!r}")) == said_by(ValueError()) == "ValueError"


def test_what_stands_in_angle_brackets_is_told():
    assert text_of(ValueError("mismatched <box> and <object at home>")) == "mismatched <box> and <object at home>"
