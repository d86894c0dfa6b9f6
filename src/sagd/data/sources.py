"""Where images come from: scikit-learn's digits, a folder, a parquet file, or a data set of the Hugging Face hub.

Each source is found and checked without decoding an image, and answers with `Records`: images by number, still encoded,
with their labels as numbers 0..K-1. The local sources open no network connection, which is why a folder is walked here:
`datasets.load_dataset("imagefolder")` calls home, and it guesses splits from the names of files.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sagd.data.config import DataConfig
from sagd.data.images import EXTENSIONS, open_image
from sagd.errors import InputError, one_line

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL import Image

MEMORY_LIMIT = 4 * 2**30
"""Bytes a data set may take in memory; beyond it, files are mapped and images are decoded when they are asked for."""

NO_LABELS = "none"
"""The `label_column` that leaves labels out."""

_HUB_NAME = re.compile(r"(?P<name>\w[\w.-]*(/\w[\w.-]*)?)(:(?P<subset>[\w.-]+))?")
_SPLIT_NAMES = {"train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval"}
_HUB_TIMEOUT = 5.0
_ARCHIVES = ("zip://", "tar://")


@dataclass(frozen=True)
class Records(ABC):
    """Encoded images by number, and what is known of them before decoding.

    Attributes:
        name: Short name of the data set.
        labels: Class numbers `(len,)`, int64, or None.
        classes: Names of the classes, or None without labels.
    """

    name: str
    labels: Tensor | None
    classes: tuple[str, ...] | None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def open(self, index: int) -> Image.Image:
        """The image as Pillow opens it, not decoded."""

    @abstractmethod
    def describe(self, index: int) -> str:
        """How errors name the image."""


def open_source(config: DataConfig) -> Records:
    """Find the images that `config.source` names and check its split and columns.

    Raises:
        InputError: If there is no such source, or it has no such split or column, or no images.
    """
    if config.source == "digits":
        return _digits(config)
    path = Path(os.path.expanduser(config.source))  # noqa: PTH111 (Path raises on an unknown '~user')
    if config.source and path.is_dir():
        return _folder(path, config)
    if path.is_file():
        if path.suffix.lower() != ".parquet":
            raise InputError(f"{config.source!r} is not a .parquet file; give one, a folder of images, or a hub name")
        return _parquet(path, config)
    hub = _HUB_NAME.fullmatch(config.source)
    if hub is None or path.suffix.lower() == ".parquet":
        raise InputError(f"{_not_here(config.source)}, and it is not a hub name either (owner/name)")
    return _hub(hub["name"], hub["subset"], config)


def _not_here(source: str) -> str:
    looked = os.path.abspath(os.path.expanduser(source))  # noqa: PTH100, PTH111
    return f"no data set {source!r}: it is not 'digits', and there is no file or folder {looked!r}"


def _check_split(config: DataConfig, available: Sequence[str]) -> None:
    if config.split not in available:
        raise InputError(f"{config.source!r} has no split {config.split!r}; available: {', '.join(available)}")


def _check_no_columns(config: DataConfig) -> None:
    label_column = None if config.label_column == NO_LABELS else config.label_column
    for option, value in (("image_column", config.image_column), ("label_column", label_column)):
        if value is not None:
            raise InputError(f"{config.source!r} has no columns, so {option} {value!r} cannot be chosen; leave it out")


def _encode(values: Sequence[Any]) -> tuple[Tensor, tuple[str, ...]]:
    """Labels 0..K-1 in the sorted order of the values, and the values as names."""
    known = sorted(set(values))
    numbers = {value: number for number, value in enumerate(known)}
    return torch.tensor([numbers[value] for value in values], dtype=torch.int64), tuple(map(str, known))


@dataclass(frozen=True)
class ArrayRecords(Records):
    """Images that need no decoding: uint8 `(N, H, W)`."""

    pixels: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)

    def open(self, index: int) -> Image.Image:  # noqa: D102
        from PIL import Image

        return Image.fromarray(self.pixels[index])

    def describe(self, index: int) -> str:  # noqa: D102
        return f"image {index} of {self.name}"


def _digits(config: DataConfig) -> Records:
    """The 1797 test digits of NIST as 8x8 counts 0..16; a fifth, of each class alike, is the test split."""
    _check_split(config, ("train", "test", "all"))
    _check_no_columns(config)
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    rows = np.arange(len(digits.target))
    if config.split != "all":
        train, test = train_test_split(rows, test_size=0.2, random_state=0, stratify=digits.target)
        rows = train if config.split == "train" else test
    # round(255 v / 16), halves up, in whole numbers.
    pixels = (digits.images[rows].astype(np.int64) * 255 + 8) // 16
    labels = torch.from_numpy(digits.target[rows].astype(np.int64))
    classes = tuple(map(str, digits.target_names))
    return _choose_labels(ArrayRecords("digits", labels, classes, pixels.astype(np.uint8)), config)


@dataclass(frozen=True)
class FolderRecords(Records):
    """Image files."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def open(self, index: int) -> Image.Image:  # noqa: D102
        return open_image(self.paths[index])

    def describe(self, index: int) -> str:  # noqa: D102
        return repr(str(self.paths[index]))


def _folder(folder: Path, config: DataConfig) -> Records:
    """Every image file below `folder`, sorted by path; classes are the first level of sub-folders."""
    _check_split(config, ("train",))
    _check_no_columns(config)
    files = sorted(_walk(folder))
    paths = [path for path in files if path.suffix.lower() in EXTENSIONS]
    if not paths:
        found = f"{len(files)} other file(s), e.g. {files[0].name!r}" if files else "no files"
        raise InputError(f"no images in {str(folder)!r}: found {found}; known endings: {' '.join(EXTENSIONS)}")
    parents = [path.relative_to(folder).parts[:-1] for path in paths]
    name = folder.resolve().name
    if not all(parents):
        return FolderRecords(name, None, None, tuple(paths))
    labels, classes = _encode([parts[0] for parts in parents])
    if _SPLIT_NAMES.issuperset(name.lower() for name in classes):
        chosen = str(folder / classes[-1])
        raise InputError(f"{str(folder)!r} holds splits ({', '.join(classes)}), not classes; name one: {chosen!r}")
    return _choose_labels(FolderRecords(name, labels, classes, tuple(paths)), config)


def _walk(folder: Path) -> Iterator[Path]:
    """Files below `folder` but hidden ones, links followed."""

    def fail(error: OSError) -> None:
        raise InputError(f"cannot list {str(error.filename)!r}: {error.strerror}")

    seen: set[str] = set()
    for root, folders, files in os.walk(folder, followlinks=True, onerror=fail):
        # A link to a folder above would otherwise be walked again and again.
        resolved = os.path.realpath(root)
        if resolved in seen:
            folders.clear()
            continue
        seen.add(resolved)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        # Reading a pipe would wait for ever.
        yield from (path for name in files if not name.startswith(".") and not (path := Path(root, name)).is_fifo())


def _choose_labels(records: Records, config: DataConfig) -> Records:
    return replace(records, labels=None, classes=None) if config.label_column == NO_LABELS else records


@dataclass(frozen=True)
class TableRecords(Records):
    """A column of encoded images: bytes, or structs of bytes and path of which one may be missing."""

    column: pa.ChunkedArray
    source: str

    def __len__(self) -> int:
        return len(self.column)

    def open(self, index: int) -> Image.Image:  # noqa: D102
        value = self.column[index].as_py()
        content, path = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
        if content is not None:
            return open_image(content)
        if not path:
            raise InputError("the row holds no image")
        return open_image(_read_path(path))

    def describe(self, index: int) -> str:  # noqa: D102
        return f"row {index} of {self.source!r}"


def _read_path(path: str) -> str | bytes:
    """A local path as it is, or the bytes of a member of a local archive ('zip://a.png::/data/images.zip').

    Paths come with the data, and fsspec knows protocols that open connections or run code; so only archives pass.
    """
    if "::" not in path or Path(path).is_file():
        if not Path(path).is_file():
            raise InputError(f"no file {path!r}; paths count from the current folder, and addresses are not followed")
        return path
    *members, archive = path.split("::")
    if not Path(archive).is_file() or not all(member.startswith(_ARCHIVES) for member in members):
        raise InputError(f"{path!r} is not in a local archive ({', '.join(_ARCHIVES)})")
    import fsspec

    # The path that was looked at, lest fsspec take it for an address ('ftp:' may be the name of a folder).
    local = f"file://{os.path.abspath(archive)}"  # noqa: PTH100 (links stay as they are)
    try:
        with fsspec.open("::".join([*members, local]), "rb") as file:
            return file.read()
    except (OSError, ValueError, LookupError, EOFError) as error:
        raise InputError(f"{path!r} cannot be read: {type(error).__name__} {one_line(error)}") from None


def _parquet(path: Path, config: DataConfig) -> Records:
    """Read the image and label columns; a file beyond the memory limit is mapped through the cache of `datasets`."""
    _check_split(config, ("train",))
    import pyarrow.parquet as pq

    source = str(path)
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            columns = _choose_columns(schema, config)
            chosen = [name for name in columns if name is not None]
            large = path.stat().st_size > MEMORY_LIMIT
            table = _map_parquet(path, chosen) if large else file.read(columns=chosen)
    except InputError:
        raise
    except (OSError, ValueError) as error:  # pyarrow's errors are kinds of these
        raise InputError(f"cannot read parquet file {source!r}: {one_line(error)}") from None
    return _table_records(path.stem, source, table, schema, columns, config)


def _map_parquet(path: Path, columns: list[str]) -> pa.Table:
    import glob

    from datasets import Dataset

    return Dataset.from_parquet(glob.escape(str(path)), columns=columns).data.table


def _hub(name: str, subset: str | None, config: DataConfig) -> Records:
    """Download a data set, or take it from the cache of `datasets`."""
    _check_hub(name, config)
    import datasets

    try:
        builder = datasets.load_dataset_builder(name, subset)
        _check_split(config, list(builder.info.splits or builder.config.data_files or [config.split]))
        if builder.info.features is not None:
            _choose_columns(builder.info.features.arrow_schema, config)
        builder.download_and_prepare()
        dataset = builder.as_dataset(split=config.split)
    except InputError:
        raise
    except ConnectionError as error:
        raise InputError(f"{_not_here(config.source)}, nor a copy of a hub data set ({one_line(error)})") from None
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        hint = "; choose one by 'name:subset'" if "Config name is missing" in str(error) else ""
        reason = one_line(error.__cause__ or error)  # its own errors only say that there was one
        raise InputError(f"cannot load hub data set {config.source!r}: {reason}{hint}") from None
    schema = dataset.features.arrow_schema
    return _table_records(name, config.source, dataset.data.table, schema, _choose_columns(schema, config), config)


def _check_hub(name: str, config: DataConfig) -> None:
    """One question to the hub, without the 24 s of retries with which `datasets` meets a missing network."""
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    if huggingface_hub.is_offline_mode():  # then `datasets` looks in its cache only
        return
    try:
        huggingface_hub.HfApi().dataset_info(name, timeout=_HUB_TIMEOUT)
    except GatedRepoError:
        raise InputError(f"hub data set {name!r} needs an approved account; log in with 'hf auth login'") from None
    except (RepositoryNotFoundError, HFValidationError):
        raise InputError(f"{_not_here(config.source)}, nor a public data set of that name on the hub") from None
    except Exception as error:  # each HTTP client has its own, unrelated errors
        raise InputError(
            f"{_not_here(config.source)}, and the hub cannot be reached ({one_line(error)});"
            " with a copy in the cache, set HF_HUB_OFFLINE=1"
        ) from None


def _table_records(
    name: str,
    source: str,
    table: pa.Table,
    schema: pa.Schema,
    columns: tuple[str, str | None],
    config: DataConfig,
) -> Records:
    image_column, label_column = columns
    if table.num_rows == 0:
        raise InputError(f"{source!r} holds no rows")
    labels, classes = None, None
    if label_column is not None:
        values = table.column(label_column).to_pylist()
        names = _class_names(schema, label_column, source)
        labels, classes = _read_labels(values, names, label_column, source, config)
    return TableRecords(name, labels, classes, table.column(image_column), source)


def _choose_columns(schema: pa.Schema, config: DataConfig) -> tuple[str, str | None]:
    """Names of the image column and of the label column, if any."""
    return _choose_image_column(schema, config), _choose_label_column(schema, config)


def _choose_image_column(schema: pa.Schema, config: DataConfig) -> str:
    candidates = [field.name for field in schema if _holds_images(field.type)]
    wanted = config.image_column
    if wanted is None and len(candidates) == 1:
        return candidates[0]
    if wanted is None and candidates:
        listed = ", ".join(candidates)
        raise InputError(f"{config.source!r} has several image columns; set --data.image-column to one of {listed}")
    if wanted is None:
        kinds = "bytes, or structs of bytes and path"
        raise InputError(f"{config.source!r} has no image column ({kinds}); it has {_listed(schema)}")
    if wanted not in schema.names:
        raise InputError(f"{config.source!r} has no column {wanted!r}; it has {_listed(schema)}")
    if wanted not in candidates:
        raise InputError(f"column {wanted!r} of {config.source!r} holds no images; it has {_listed(schema)}")
    return wanted


def _choose_label_column(schema: pa.Schema, config: DataConfig) -> str | None:
    wanted = config.label_column
    if wanted is None:
        return "label" if "label" in schema.names else None
    if wanted == NO_LABELS:
        return None
    if wanted not in schema.names:
        raise InputError(f"{config.source!r} has no label column {wanted!r}; it has {_listed(schema)}")
    return wanted


def _listed(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} ({field.type})" for field in schema)


def _holds_images(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _holds_images(kind.field(index).type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _class_names(schema: pa.Schema, column: str, source: str) -> tuple[str, ...] | None:
    """Names of a `ClassLabel`, which `datasets` keeps in the metadata of the schema.

    Raises:
        InputError: If that metadata is none of `datasets`.
    """
    if b"huggingface" not in (schema.metadata or {}):
        return None
    from datasets import ClassLabel, Features

    try:
        feature = Features.from_arrow_schema(schema).get(column)
        names = feature.names if isinstance(feature, ClassLabel) else None
        if not all(isinstance(name, str) for name in names or ()):
            raise ValueError(f"class names must be text, got {names}")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{source!r} has metadata 'huggingface' that cannot be read: {one_line(error)}; remove it"
        ) from None
    return tuple(names) if names else None


def _read_labels(
    values: list[Any], names: tuple[str, ...] | None, column: str, source: str, config: DataConfig
) -> tuple[Tensor | None, tuple[str, ...] | None]:
    """Numbers and names of the classes; a `ClassLabel` keeps its own, of which some may not occur."""
    missing = [row for row, value in enumerate(values) if value is None or (names is not None and value == -1)]
    if len(missing) == len(values) and config.label_column is None:
        return None, None
    hint = f"choose another --data.label-column, or {NO_LABELS!r} for no labels"
    if missing:
        raise InputError(f"row {missing[0]} of {source!r} has no label in column {column!r}; {hint}")
    if not (all(isinstance(v, int) for v in values) or all(isinstance(v, str) for v in values)):
        kind = type(next(v for v in values if not isinstance(v, int))).__name__
        raise InputError(f"column {column!r} of {source!r} holds {kind}, not whole numbers or text; {hint}")
    if names is None:
        return _encode(values)
    numbers = torch.tensor(values, dtype=torch.int64)
    if numbers.min() < 0 or numbers.max() >= len(names):
        raise InputError(f"column {column!r} of {source!r} holds labels outside 0..{len(names) - 1}; {hint}")
    return numbers, names
