"""What makes a frozen dataclass an artefact: the name and the form of its files. Nothing is opened here; `cathode.io` does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

Form = Literal["parquet", "npz", "json", "document", "raw", "folder"]
T = TypeVar("T")


@dataclass(frozen=True)
class Kind:
    """How objects of a class are stored.

    Attributes:
        name: in the schema identifier `cathode/<name>/<version>`.
        form: `parquet` (a column per array), `npz` (nested arrays), `json` (header and content), `document` (a published JSON file
            whose keys are the fields), `raw` (a format of its own), `folder` (several files).
        version: of the layout.
    """

    name: str
    form: Form
    version: int = 1

    @property
    def schema(self) -> str:
        """The identifier in every file of this kind."""
        return f"cathode/{self.name}/{self.version}"


_KINDS: dict[type, Kind] = {}


def artefact(name: str, form: Form) -> Callable[[type[T]], type[T]]:
    """Class decorator: files of this dataclass are of kind `name`, stored as `form`."""

    def mark(cls: type[T]) -> type[T]:
        _KINDS[cls] = Kind(name, form)
        return cls

    return mark


def kind_of(cls: type) -> Kind:
    """The kind of an artefact's class. Raises KeyError for a class that is none."""
    return _KINDS[cls]


@artefact("text", "raw")
@dataclass(frozen=True)
class Text:
    """A file of text: an HTML page, a table as CSV.

    Attributes:
        text: its content.
    """

    text: str


@artefact("figures", "folder")
@dataclass(frozen=True)
class Figures:
    """Figure files by name: the content of PDF, PNG and the JSON they were drawn from.

    Attributes:
        files: content by file name.
    """

    files: dict[str, bytes]


@artefact("numbers", "raw")
@dataclass(frozen=True)
class FigureNumbers:
    """The JSON file that a figure is drawn from.

    Attributes:
        name: stem of the file.
        text: its content.
        picture: the PNG file beside it; None where there is none, and it has to be drawn.
    """

    name: str
    text: str
    picture: bytes | None = None
