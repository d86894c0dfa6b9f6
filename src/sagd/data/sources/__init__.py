"""Where data comes from: scikit-learn's digits, a folder, a parquet file, the Hugging Face hub; a kind a file.

Each source is found and checked without decoding anything, and answers with `Records`: data by number, still encoded,
with labels as numbers 0..K-1. The local sources open no network connection. Importing any makes all known to texts.
"""

from sagd.data.sources.base import ArrayRecords, Records, Source
from sagd.data.sources.digits import Digits
from sagd.data.sources.file import File
from sagd.data.sources.find import anchored, open_source, source_of
from sagd.data.sources.folder import Folder
from sagd.data.sources.hub import Hub
from sagd.data.sources.parquet import Parquet
from sagd.plugins import import_all

__all__ = [
    "ArrayRecords",
    "Digits",
    "File",
    "Folder",
    "Hub",
    "Parquet",
    "Records",
    "Source",
    "anchored",
    "open_source",
    "source_of",
]

import_all(__name__, __path__)
