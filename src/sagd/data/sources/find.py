"""From the text of a configuration to the source it means."""

from __future__ import annotations

import re

from sagd.data.config import DataConfig
from sagd.data.fields import FieldRecords
from sagd.data.formats.find import ending_of, endings
from sagd.data.images import EXTENSIONS
from sagd.data.sources.base import Records, Source, expanded, not_here
from sagd.data.sources.hub import Hub
from sagd.data.sources.parquet import ENDING
from sagd.errors import InputError

_CALL = re.compile(r"\w+\(.*\)", re.DOTALL)


def open_source(config: DataConfig) -> Records | FieldRecords:
    """Find the data that `config.source` names and check its split and columns.

    Raises:
        InputError: If there is no such source, or it has no such split or column, or no records.
    """
    return source_of(config.source).records(config)


def source_of(text: str) -> Source:
    """The source that a text means: what the first kind recognises, a description, or the name of a hub data set.

    Kinds are asked in order of definition, those of plug-ins after ours; the hub, for which every word is a name, last,
    and not for what has the ending of a file.

    Raises:
        InputError: If no kind knows it.
    """
    path = expanded(text)
    if _CALL.fullmatch(text) and not path.exists():
        return Source.parse(text)
    for installed in (False, True):  # plug-ins of packages are imported only for what nobody else knows
        kinds = Source.members(installed)
        found = (member.recognise(text) for member in kinds.values() if member is not Hub)
        if (source := next(filter(None, found), None)) is not None:
            return source
        if text in kinds:
            return Source.parse(text)
    if not _is_file_name(text) and (named := Hub.recognise(text)) is not None:
        return named
    raise InputError(f"{not_here(text)}, and it is not a hub name either (owner/name)")


def anchored(text: str) -> str:
    """The same source wherever one stands: a path from the root, anything else as it is.

    >>> anchored("digits")
    'digits'

    Raises:
        InputError: As `source_of`.
    """
    source = source_of(text)
    described = source.to_dict()
    path = described.get("path")
    if not isinstance(path, str):
        return text
    whole = str(expanded(path).absolute())
    return whole if path == text else str(Source.from_dict(described | {"path": whole}))


def _is_file_name(text: str) -> bool:
    """Whether a text has the ending of a file that could be read."""
    return ending_of(text).lower() in (*endings(), *EXTENSIONS, ENDING)
