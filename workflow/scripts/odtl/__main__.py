"""The library's commands.

PYTHONPATH=workflow/scripts python -m odtl detect MODEL INPUTS... --output FOLDER
"""

import argparse
import sys

from odtl.detecting import command


def main() -> int:
    parser = argparse.ArgumentParser(prog="odtl", description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    command.add_arguments(commands.add_parser("detect", help="detect in images and videos with an exported detector"))
    return command.run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
