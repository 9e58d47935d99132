"""Each YAML text is parsed once in a session: a seventh of what composing a config costs."""

from __future__ import annotations

from typing import IO, Any

import yaml

_parse = yaml.load
_parsed: dict[str, Any] = {}


def parse_once(stream: str | IO[str], Loader: Any) -> Any:  # noqa: N803
    """Parse as ``yaml.load``; what OmegaConf reads is remembered: it copies it into its nodes."""
    if isinstance(stream, str) or Loader.__name__ != "OmegaConfLoader":
        return _parse(stream, Loader)
    text = stream.read()
    if text not in _parsed:
        stream.seek(0)  # not the text: the message of an error names the file
        _parsed[text] = _parse(stream, Loader)
    return _parsed[text]
