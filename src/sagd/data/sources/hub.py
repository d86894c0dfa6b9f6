"""Data sets of the Hugging Face hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from sagd.data.config import DataConfig
from sagd.data.fields import FieldRecords
from sagd.data.sources.base import Records, Source, check_split, check_text, not_here
from sagd.data.sources.parquet import ENDING
from sagd.data.sources.table import choose_columns, table_records
from sagd.errors import InputError, one_line
from sagd.optional import need

_NAME = re.compile(r"(?P<name>\w[\w.-]*(/\w[\w.-]*)?)(:(?P<subset>[\w.-]+))?")
_TIMEOUT = 5.0


@dataclass(frozen=True)
class Hub(Source, kind="hub"):
    """A data set of the hub, downloaded, or taken from the cache of `datasets`.

    Args:
        name: Its name, as in `owner/name`.
        subset: Its subset, if it has several.
    """

    splits: ClassVar[tuple[str, ...] | None] = None
    columns: ClassVar[bool] = True
    name: str
    subset: str | None = None

    def __post_init__(self) -> None:
        check_text(self.kind, "name", self.name)
        if self.subset is not None:
            check_text(self.kind, "subset", self.subset)

    @classmethod
    def recognise(cls, text: str) -> Self | None:
        """Whatever could be the name of a data set, and of a subset after a colon."""
        found = _NAME.fullmatch(text)
        return None if found is None or Path(text).suffix.lower() == ENDING else cls(found["name"], found["subset"])

    def open(self, config: DataConfig) -> Records | FieldRecords:
        """The rows of a split, by their data and label columns."""
        _check_hub(self.name, config)
        need("datasets")
        import datasets

        try:
            builder = datasets.load_dataset_builder(self.name, self.subset)
            check_split(config, list(builder.info.splits or builder.config.data_files or [config.split]))
            if builder.info.features is not None:
                choose_columns(builder.info.features.arrow_schema, config)
            builder.download_and_prepare()
            dataset = builder.as_dataset(split=config.split)
        except InputError:
            raise
        except ConnectionError as error:
            raise InputError(f"{not_here(config.source)}, nor a copy of a hub data set ({one_line(error)})") from None
        except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
            hint = "; choose one by 'name:subset'" if "Config name is missing" in str(error) else ""
            reason = one_line(error.__cause__ or error)  # its own errors only say that there was one
            raise InputError(f"cannot load hub data set {config.source!r}: {reason}{hint}") from None
        schema = dataset.features.arrow_schema
        columns, place = choose_columns(schema, config), Path(dataset.cache_files[0]["filename"])
        return table_records(self.name, config.source, dataset.data.table, schema, columns, config, place=place)


def _check_hub(name: str, config: DataConfig) -> None:
    """One question to the hub, without the 24 s of retries with which `datasets` meets a missing network."""
    need("huggingface_hub")
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    if constants.HF_HUB_OFFLINE:  # then `datasets` looks in its cache only
        return
    try:
        HfApi().dataset_info(name, timeout=_TIMEOUT)
    except GatedRepoError:
        raise InputError(f"hub data set {name!r} needs an approved account; log in with 'hf auth login'") from None
    except (RepositoryNotFoundError, HFValidationError):
        raise InputError(f"{not_here(config.source)}, nor a public data set of that name on the hub") from None
    except Exception as error:  # each HTTP client has its own, unrelated errors
        raise InputError(
            f"{not_here(config.source)}, and the hub cannot be reached ({one_line(error)});"
            " with a copy in the cache, set HF_HUB_OFFLINE=1"
        ) from None
