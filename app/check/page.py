"""What a page holds of what matters here: scripts, images, policies, forms. Pure; total; linear in its size.

No browser and no tree: tags are read in order, as the HTML standard reads them, each with its attributes.
What stands in comments and in `<template>` does nothing, and is told apart. Whatever bytes come, it ends.
"""

import codecs
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

#: Encodings that pages are written in. Any other name is read as UTF-8: Python knows stranger ones.
ENCODINGS = frozenset(
    """
    utf-8 utf-16 utf-16-le utf-16-be ascii iso8859-1 iso8859-2 iso8859-3 iso8859-4 iso8859-5 iso8859-6
    iso8859-7 iso8859-8 iso8859-9 iso8859-10 iso8859-13 iso8859-14 iso8859-15 iso8859-16 cp1250 cp1251 cp1252
    cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 cp874 koi8-r koi8-u mac-cyrillic gb18030 gbk gb2312 big5
    big5hkscs euc_jp shift_jis iso2022_jp euc_kr
    """.split()
)

#: Elements whose content is text up to their end tag, whatever it holds.
RAW = frozenset("script style textarea title xmp iframe noembed noframes".split())

#: Elements that are looked for; all others are passed over.
KEPT = frozenset("script img meta base input".split())

MOST_KEYS = 50
LONGEST = 4000  # characters of a value that are looked at
KEY = re.compile(r"ct_(?:pub|srv|read|adm)_[A-Za-z0-9_-]{1,200}")

_DECLARED = re.compile(rb"""charset\s{0,9}=\s{0,9}["']?\s{0,9}([A-Za-z0-9_:.-]{1,40})""", re.IGNORECASE)
_NAME = re.compile(r"[a-zA-Z][^\s/>]*")
_SPACE = re.compile(r"[\s/]*")
_ATTRIBUTE = re.compile(r"[^\s/>][^\s/>=]*")
_UNQUOTED = re.compile(r"[^\s>]*")


@dataclass(frozen=True, slots=True)
class Tag:
    """A start tag. `text` is what a raw element holds; `inside` are the elements around it that change what
    it does: noscript, template."""

    name: str
    attributes: dict[str, str]
    text: str = ""
    inside: frozenset[str] = frozenset()

    def get(self, name: str) -> str:
        return self.attributes.get(name, "").strip()


@dataclass(frozen=True, slots=True)
class Page:
    """The tags that do something, in order; and what stands where nothing is done."""

    tags: list[Tag] = field(default_factory=list)
    keys: tuple[str, ...] = ()  # keys anywhere in the text, each once
    commented: str = ""  # all comments, for what was switched off

    def named(self, name: str) -> list[Tag]:
        return [tag for tag in self.tags if tag.name == name]

    @property
    def base(self) -> str:
        """What relative addresses of the page are relative to, if it says so itself."""
        return next((tag.get("href") for tag in self.named("base") if tag.get("href")), "")


def read(text: str) -> Page:
    """The page of this text."""
    comments: list[str] = []
    tags = [tag for tag in _tags(text, comments) if "template" not in tag.inside]
    return Page(tags, tuple(dict.fromkeys(KEY.findall(text)))[:MOST_KEYS], "\n".join(comments))


def decoded(body: bytes, content_type: str) -> str:
    """The text of a page, by its byte order mark, its header, its own word, else as UTF-8. Never fails."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if body.startswith(mark):
            return body.decode(encoding, "replace").lstrip("\ufeff")
    for said in (content_type.encode("ascii", "replace"), body[:1024]):
        if found := _DECLARED.search(said):
            return body.decode(_encoding(found[1].decode()), "replace")
    return body.decode("utf-8", "replace")


def _encoding(name: str) -> str:
    try:
        known = codecs.lookup(name).name
    except LookupError:
        return "utf-8"
    if known in ("ascii", "iso8859-1"):
        return "cp1252"  # as browsers do
    return known if known in ENCODINGS else "utf-8"


def _tags(text: str, comments: list[str]) -> Iterator[Tag]:
    """The start tags of KEPT. What has no end goes to the end of the text: nothing is looked at twice."""
    position, open_ = 0, {"noscript": 0, "template": 0}
    while (position := text.find("<", position)) >= 0:
        if text.startswith("<!--", position):
            end = text.find("-->", position + 2)
            comments.append(text[position + 4 : end if end >= 0 else len(text)])
            position = end + 3 if end >= 0 else len(text)
            continue
        closing = text.startswith("/", position + 1)
        found = _NAME.match(text, position + 1 + closing)
        if found is None:
            position += 1
            continue
        name = found[0].lower()
        attributes, position = _attributes(text, found.end())
        if position < 0:
            return  # the text ended within a tag: it does nothing
        if name in open_:
            open_[name] = max(0, open_[name] + (-1 if closing else 1))
        if closing:
            continue
        inside = frozenset(around for around, depth in open_.items() if depth and around != name)
        held = ""
        if name in RAW:
            end = _end_of(name, text, position)
            held, position = text[position:end], end
        if name in KEPT:
            yield Tag(name, attributes, held, inside)


def _attributes(text: str, position: int) -> tuple[dict[str, str], int]:
    """The attributes from here on, the first of each name, and where the tag ends; -1: it does not."""
    found: dict[str, str] = {}
    while True:
        position = _end(_SPACE, text, position)
        if position >= len(text):
            return found, -1
        if text[position] == ">":
            return found, position + 1
        name = text[position : (position := _end(_ATTRIBUTE, text, position))].lower()
        value = ""
        after = _end(_BLANK, text, position)
        if text.startswith("=", after):
            position = _end(_BLANK, text, after + 1)
            quote = text[position : position + 1]
            if quote and quote in "\"'":
                end = text.find(quote, position + 1)
                if end < 0:
                    return found, -1
                value, position = text[position + 1 : end], end + 1
            else:
                value = text[position : (position := _end(_UNQUOTED, text, position))]
        found.setdefault(name, html.unescape(value[:LONGEST]))


_BLANK = re.compile(r"\s*")
_ENDS = {name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE) for name in RAW}


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    found = pattern.match(text, position)
    return found.end() if found else position + 1


def _end_of(name: str, text: str, position: int) -> int:
    found = _ENDS[name].search(text, position)
    return found.start() if found else len(text)
