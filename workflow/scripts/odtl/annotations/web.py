"""Addresses of images, and the file names in them."""

_SCHEMES = ("http://", "https://")


def is_address(name: str) -> bool:
    """Say whether a text is an address on the web rather than a file's name."""
    return name[:8].lower().startswith(_SCHEMES)
