"""Sources of data blocks and PLC data types: TIA's ``.db`` and ``.udt``, STEP 7's AWL.

Only declarations are read; start values and code are passed over.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from edge_node.drivers.s7.exports.declaration import Declaration
from edge_node.drivers.s7.exports.parts import DataBlock, Parts

_TOKEN: Final = re.compile(
    r"""(?P<comment>//[^\n]*|\(\*.*?\*\))
      | (?P<attributes>\{[^}]*\})
      | (?P<quoted>"[^"\n]*")
      | (?P<literal>'(?:\$.|[^'$])*')
      | (?P<word>[^\W\d][\w\#]*)
      | (?P<number>\d[\w\#]*)
      | (?P<sign>:=|\.\.|[^\s\w])""",
    re.VERBOSE | re.DOTALL,
)
_START: Final = re.compile(r"^\s*(DATA_BLOCK|TYPE)\b", re.MULTILINE | re.IGNORECASE)
_HEAD: Final = re.compile(
    r"^\s*(?:DATA_BLOCK|TYPE)\b.*?^\s*(?:STRUCT|VAR|BEGIN)\b",
    re.MULTILINE | re.IGNORECASE | re.DOTALL,
)
_HEADER_LINE: Final = re.compile(
    r"^[ \t]*(?:TITLE[ \t]*=|(?:AUTHOR|FAMILY|NAME|VERSION)[ \t]*:)[^\n]*$",
    re.MULTILINE | re.IGNORECASE,
)
_OPTIMIZED: Final = re.compile(r"S7_Optimized_Access\s*:=\s*'TRUE'", re.IGNORECASE)
_NUMBERED: Final = re.compile(r"DB(\d+)")
_PREFIXES: Final = frozenset({"DB", "UDT", "FB", "SFB"})
_FLAGS: Final = frozenset(
    {"NON_RETAIN", "RETAIN", "READ_ONLY", "UNLINKED", "KNOW_HOW_PROTECT", "STANDARD"}
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    line: int

    @property
    def word(self) -> str:
        """The word in upper case; empty for what is none."""
        return self.text.upper() if self.kind == "word" else ""


def is_source(text: str) -> bool:
    """Whether a text is a source of data blocks or types."""
    return _START.search(text) is not None


def parse_source(text: str) -> Parts:
    """Read every data block and type.

    Raises:
        ValueError: with the line, what was found and what was expected.
    """
    # the free text of header lines ends with the line, which tokens do not know
    text = _HEAD.sub(lambda head: _HEADER_LINE.sub("", head[0]), text)
    parts = Parts()
    parser = _Parser(list(_tokens(text)))
    while (token := parser.peek()) is not None:
        if token.word == "DATA_BLOCK":
            parts.blocks.append(parser.data_block())
        elif token.word == "TYPE":
            name, members = parser.type_block()
            parts.types[name.upper()] = members
        else:
            parser.take()
    return parts


def _tokens(text: str) -> Iterator[_Token]:
    line, at = 1, 0
    for found in _TOKEN.finditer(text):
        line += text.count("\n", at, found.start())
        at = found.start()
        yield _Token(found.lastgroup or "", found[0], line)


class _Parser:
    """A parser of declarations by recursive descent."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = [token for token in tokens if token.kind != "comment"]
        self._comments = {t.line: _plain(t.text) for t in tokens if t.kind == "comment"}
        self._at = 0

    def peek(self) -> _Token | None:
        """Return the next token, or nothing at the end."""
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def take(self) -> _Token:
        """Return the next token and pass it.

        Raises:
            ValueError: there is none.
        """
        token = self.peek()
        if token is None:
            raise ValueError("the source ends within a declaration")
        self._at += 1
        return token

    def data_block(self) -> DataBlock:
        """Read from ``DATA_BLOCK`` to ``END_DATA_BLOCK``."""
        self.take()
        name = self._name()
        number = int(found[1]) if (found := _NUMBERED.fullmatch(name.upper())) else None
        optimized, of_type = False, ""
        members: tuple[Declaration, ...] = ()
        while (token := self.take()).word not in {"BEGIN", "END_DATA_BLOCK"}:
            if token.kind == "attributes":
                optimized = optimized or _OPTIMIZED.search(token.text) is not None
            elif token.word == "STRUCT":
                members = self._members("END_STRUCT")
            elif token.word == "VAR":
                members += self._members("END_VAR")
            elif (token.kind in {"quoted", "word"}) and token.word not in _FLAGS and not members:
                self._at -= 1
                of_type = self._name()
        while token.word != "END_DATA_BLOCK":
            token = self.take()
        return DataBlock(name, number, members, of_type, optimized)

    def type_block(self) -> tuple[str, tuple[Declaration, ...]]:
        """Read from ``TYPE`` to ``END_TYPE``."""
        self.take()
        name = self._name()
        members: tuple[Declaration, ...] = ()
        while (token := self.take()).word != "END_TYPE":
            if token.word == "STRUCT":
                members = self._members("END_STRUCT")
        return name, members

    def _members(self, end: str) -> tuple[Declaration, ...]:
        members: list[Declaration] = []
        while (token := self.take()).word != end:
            if token.kind in {"quoted", "word"} and token.word not in _FLAGS:
                self._at -= 1
                members += self._member()
        return tuple(members)

    def _member(self) -> list[Declaration]:
        """Read ``a, b {…} : Type := value;`` and the comment behind it."""
        first = self.take()
        names = [first.text.strip('"')]
        while not self._pass(":"):
            token = self.take()
            if token.kind in {"quoted", "word"}:
                names.append(token.text.strip('"'))
            elif token.kind != "attributes" and token.text != ",":
                raise _unexpected(token, "':' and a type")
        declared = self._type()
        while (token := self.take()).text != ";":
            if token.word.startswith("END_") or token.word == "BEGIN":
                raise _unexpected(token, "';'")
        comment = self._comments.get(token.line) or self._comments.get(first.line, "")
        return [replace(declared, name=name, comment=comment) for name in names]

    def _type(self) -> Declaration:
        token = self.take()
        if token.word == "STRUCT":
            return Declaration("", "Struct", self._members("END_STRUCT"))
        if token.word == "ARRAY":
            bounds = self._brackets()
            if (of := self.take()).word != "OF":
                raise _unexpected(of, "OF")
            element = self._type()
            return Declaration("", f"Array{bounds} of {element.type}", element.members)
        if token.word in {"STRING", "WSTRING"}:
            return Declaration("", token.text + self._brackets())
        if token.kind not in {"quoted", "word"}:
            raise _unexpected(token, "a type")
        self._at -= 1
        quote = '"' if token.kind == "quoted" else ""
        return Declaration("", f"{quote}{self._name()}{quote}")

    def _brackets(self) -> str:
        """Return ``[…]`` if it comes next, else nothing."""
        if not self._pass("["):
            return ""
        inside = ""
        while (token := self.take()).text != "]":
            inside += token.text
        return f"[{inside}]"

    def _name(self) -> str:
        """Return a name: ``"Motor"``, ``Motor``, or ``DB 10`` as ``DB10``."""
        token = self.take()
        following = self.peek()
        if token.word in _PREFIXES and following is not None and following.kind == "number":
            return token.word + self.take().text
        if token.kind not in {"quoted", "word"}:
            raise _unexpected(token, "a name")
        return token.text.strip('"')

    def _pass(self, sign: str) -> bool:
        token = self.peek()
        if token is None or token.text != sign:
            return False
        self._at += 1
        return True


def _plain(comment: str) -> str:
    return " ".join(comment.removeprefix("//").removeprefix("(*").removesuffix("*)").split())


def _unexpected(token: _Token, expected: str) -> ValueError:
    return ValueError(f"line {token.line}: found {token.text!r}, expected {expected}")
