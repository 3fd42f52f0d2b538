"""Values as annotations write them, as text: what each can mean, and nothing else."""

import re

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NAN = float("nan")


def number(text: str) -> float:
    """Return the decimal number that `text` is, else NaN."""
    text = text.strip()
    if len(text) < 16 and text.isascii() and text.isdigit():
        return float(text)
    # float() alone would also take "1_000", "nan" and "infinity".
    return float(text) if len(text) <= 400 and _NUMBER.fullmatch(text) else _NAN


def whole_number(text: str) -> int | None:
    """Return the positive whole number that `text` is ("640", "640.0"), else None."""
    value = number(text)
    return int(value) if 0 < value < 2**31 and value == int(value) else None


def flag(text: str) -> bool:
    """Return whether `text` says yes ("1", "true", "yes")."""
    return text.strip().lower() in ("1", "1.0", "true", "yes")
