"""The command: detect in images and videos with an exported detector, without the workflow."""

import argparse
import os
import sys

from odtl.errors import InputError

# argparse ends with 2 for arguments that cannot be used, Python with 1 for an error.
SOME_UNREADABLE = 3
_EPILOG = f"""Ends with 0; with 1 if nothing was written, because something was wrong that is told; with
{SOME_UNREADABLE} if all is written but for inputs that could not be read. docs/detecting.md says what is written."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes to a parser."""
    parser.epilog = _EPILOG
    parser.add_argument("model", help="an export: its folder, a SavedModel's folder, a frozen graph's .pb")
    parser.add_argument("inputs", nargs="+", help="images, videos, folders, or patterns such as 'a/**/*.jpg'")
    parser.add_argument("--output", required=True, help="the folder to write; what it holds is replaced")
    parser.add_argument("--score-threshold", type=float, default=0.4, help="leave out what scores less (%(default)s)")
    parser.add_argument(
        "--class-threshold",
        action="append",
        default=[],
        metavar="CLASS=SCORE",
        type=_class_threshold,
        help="another threshold for one class; can be given several times",
    )
    parser.add_argument("--batch-size", type=_count, default=8, help="most images of one size at a time (%(default)s)")
    parser.add_argument("--tile", type=_count, help="cut larger images into squares of so many pixels")
    parser.add_argument("--overlap", type=float, default=0.2, help="share of a tile's side in the next (%(default)s)")
    parser.add_argument("--every", type=_count, help="of videos, every so many frames are drafts of annotations (none)")
    parser.add_argument("--no-drafts", action="store_true", help="write no drafts of annotations")
    parser.add_argument("--max-images", type=_count, help="no more than so many images, evenly spread (all)")
    parser.add_argument("--allow-unreadable", action="store_true", help="end with 0 although inputs could not be read")


def run(arguments: argparse.Namespace) -> int:
    """Do what the arguments say; return the exit code."""
    # A machine without a GPU would be told of it as an error.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from odtl.detecting.run import Options, detect_inputs

    options = Options(
        score_threshold=arguments.score_threshold,
        class_thresholds=dict(arguments.class_threshold),
        batch_size=arguments.batch_size,
        tile=arguments.tile,
        overlap=arguments.overlap,
        drafts=not arguments.no_drafts,
        every=arguments.every,
    )
    try:
        summary = detect_inputs(arguments.model, arguments.inputs, arguments.output, options, arguments.max_images)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Written: {arguments.output}", file=sys.stderr)
    return SOME_UNREADABLE if summary.unreadable and not arguments.allow_unreadable else 0


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number from 1")
    return value


def _class_threshold(text: str) -> tuple[str, float]:
    # A name may have an equals sign in it, a number has none.
    name, separator, value = text.rpartition("=")
    try:
        if separator and name:
            return name, float(value)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not CLASS=SCORE, such as mug=0.6")
