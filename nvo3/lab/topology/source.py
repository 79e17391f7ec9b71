"""YAML text -> plain values, with the line and column of each.

A subset of YAML that has no surprises: the scalars of the YAML 1.2 core schema (so that `no`, `1:30` and
`02:00:00:00:00:01` stay text), no aliases (no expansion), no tags, no key twice.
"""

import re
from dataclasses import dataclass
from typing import Any

import yaml

# A path into the document: keys and list indexes, as pydantic's `loc` has them.
Path = tuple[str | int, ...]

TEXT_MAX_BYTES = 1 << 20  # a topology is written by hand; more is a mistake
DEPTH_MAX = 32

_INTEGER = re.compile(r"[-+]?[0-9]{1,20}")
_CONSTANTS = {"": None, "~": None, "null": None, "true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the text; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a document.  mark: None where it concerns the file as a whole."""

    mark: Mark | None
    path: Path
    message: str

    def format(self, file: str) -> str:
        """Return `file:line:column: path: message`."""
        place = f"{file}:{self.mark.line}:{self.mark.column}" if self.mark else file
        path = path_text(self.path)
        return f"{place}: {path}: {self.message}" if path else f"{place}: {self.message}"


def path_text(path: Path) -> str:
    """Return `guests[2].name` for ("guests", 2, "name")."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


class Document:
    """A parsed YAML file.

    data: mappings, lists and scalars.  problems: what the text does against the subset above; empty if `data` is what
    it says.
    """

    def __init__(self, text: str) -> None:
        self.problems: list[Problem] = []
        self._marks: dict[Path, Mark] = {}
        self.data: Any = None
        if len(text.encode()) > TEXT_MAX_BYTES:
            self.problems.append(Problem(None, (), f"{len(text.encode())} bytes exceed {TEXT_MAX_BYTES}"))
            return
        try:
            self._refuse_aliases(text)
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            self.data = self._value(node, ()) if node else None
        except yaml.MarkedYAMLError as error:
            self._add_yaml_error(error)
        except yaml.reader.ReaderError as error:
            self.problems.append(Problem(None, (), f"not text: character #x{error.character:04x} at {error.position}"))
        except RecursionError:
            self.problems.append(Problem(None, (), f"nested deeper than {DEPTH_MAX}"))

    def mark(self, path: Path) -> Mark | None:
        """Return where the value at `path` stands, or where its nearest parent that is written there does."""
        while path and path not in self._marks:
            path = path[:-1]
        return self._marks.get(path)

    def problem(self, path: Path, message: str) -> Problem:
        """Return a problem with the value at `path`."""
        return Problem(self.mark(path), path, message)

    def _refuse_aliases(self, text: str) -> None:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            mark: Any = event.start_mark  # PyYAML's own types do not agree on it
            if isinstance(event, yaml.AliasEvent):
                raise yaml.MarkedYAMLError(problem=f"alias *{event.anchor} is not accepted: write the value out", problem_mark=mark)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEPTH_MAX:
                raise yaml.MarkedYAMLError(problem=f"nested deeper than {DEPTH_MAX}", problem_mark=mark)

    def _add_yaml_error(self, error: yaml.MarkedYAMLError) -> None:
        mark = error.problem_mark or error.context_mark
        message = ", ".join(part for part in (error.context, error.problem) if part)
        if "'\\t'" in message:
            message += ": indent by spaces, not by tabs"
        self.problems.append(Problem(Mark(mark.line + 1, mark.column + 1) if mark else None, (), message or "is not YAML"))

    def _value(self, node: yaml.Node, path: Path) -> Any:
        self._marks[path] = Mark(node.start_mark.line + 1, node.start_mark.column + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(child, (*path, index)) for index, child in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            at = Mark(key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if not isinstance(key, str):
                self.problems.append(Problem(at, path, "a key must be a word, not a list or a mapping"))
            elif key in mapping:
                self.problems.append(Problem(at, (*path, key), "stands here twice"))
            else:
                mapping[key] = self._value(value_node, (*path, key))
        return mapping

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        if not node.tag.startswith("tag:yaml.org,2002:"):
            self.problems.append(self.problem(path, f"tag {node.tag} is not accepted"))
        if node.style is not None:
            return node.value
        if node.value in _CONSTANTS:
            return _CONSTANTS[node.value]
        return int(node.value) if _INTEGER.fullmatch(node.value) else node.value
