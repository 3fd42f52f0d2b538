"""Keys: from environment variables only, and never in anything that is written or printed."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import quote, quote_plus

from odtl.errors import InputError, Problem
from odtl.searching.model import Provider

# They log addresses, with the keys in them, at the level of debugging.
_LOGGERS = ("urllib3.connectionpool", "urllib3.util.retry")


class Secrets:
    """The keys of a provider.

    parameters: query parameter -> key.
    """

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self.parameters = dict(parameters)
        forms = {
            form for key in parameters.values() for form in (key, quote(key, safe=""), quote(key), quote_plus(key))
        }
        # A key that is part of another one must not leave the rest of that standing.
        self._forms = sorted(forms, key=len, reverse=True)

    def hide(self, text: str) -> str:
        """Return a text with *** in place of every key, also where it stands as a part of an address."""
        for form in self._forms:
            text = text.replace(form, "***")
        return text

    @contextmanager
    def hidden_from_logs(self) -> Iterator[None]:
        """Hide the keys in what the HTTP library logs while the block runs."""

        def hide(record: logging.LogRecord) -> bool:
            record.msg, record.args = self.hide(record.getMessage()), ()
            return True

        loggers = [logging.getLogger(name) for name in _LOGGERS]
        for logger in loggers:
            logger.addFilter(hide)
        try:
            yield
        finally:
            for logger in loggers:
                logger.removeFilter(hide)


def read_secrets(provider: Provider, environment: Mapping[str, str]) -> Secrets:
    """Return the keys of a provider; InputError naming each environment variable that is missing or empty."""
    keys = {parameter: environment.get(name, "").strip() for parameter, name in provider.keys.items()}
    missing = [name for parameter, name in provider.keys.items() if not keys[parameter]]
    if missing:
        cure = f"To search with {provider.name} it must hold your key: get one from {provider.keys_from}."
        raise InputError(
            [Problem("environment", name, "nothing", cure) for name in missing], "A key for a search is missing"
        )
    return Secrets(keys)
