"""Reads saved web pages, whose text trafilatura finds, and feeds, which feedparser takes apart and inscriptis renders.

They need the extra ``[web]``.
"""

from __future__ import annotations

import importlib
from datetime import datetime
from email.utils import parsedate_to_datetime
from html import unescape
from time import struct_time
from typing import IO, Any, Dict, Iterator, Optional

from ..errors import Defect
from ..release import Release
from .sources import File, Found, slug

EXTRA = "pip install 'communique[web]'"


def read_html(stream: IO[bytes], file: File) -> Iterator[Found]:
    """The release of one page: its main text without navigation, its title, its date, its site as the source."""
    raw = stream.read(file.reading.line_bytes + 1)
    if not raw.strip():
        return
    if len(raw) > file.reading.line_bytes:
        yield 0, file.defect(0, "length", f"a page of more than {file.reading.line_bytes:,} bytes", "split it"), b""
        return
    web = _library("trafilatura", file)
    if isinstance(web, Defect):
        yield 0, web, raw
        return
    page = web.bare_extraction(raw, with_metadata=True, include_comments=False)
    if page is None or not (page.text or "").strip():
        yield 0, file.defect(0, "html", "no text was found in the page", "save its text as .txt"), raw
        return
    title = page.title or None
    meta = {"url": page.url} if page.url else {}
    text = _joined(title, page.text)
    yield 0, Release(file.stem, text, title=title, date=page.date, source=page.sitename, meta=meta), raw


def read_feed(stream: IO[bytes], file: File) -> Iterator[Found]:
    """A release for each entry of an RSS or Atom feed: its full text where the feed has it, else its summary."""
    raw = stream.read(file.reading.line_bytes + 1)
    if len(raw) > file.reading.line_bytes:
        yield 0, file.defect(0, "length", f"a feed of more than {file.reading.line_bytes:,} bytes", "split it"), b""
        return
    if not raw.strip():
        return
    feeds, html = _library("feedparser", file), _library("inscriptis", file)
    for missing in (feeds, html):
        if isinstance(missing, Defect):
            yield 0, missing, raw
            return
    feed = feeds.parse(raw)
    if not feed.version or (feed.bozo and not feed.entries):
        yield 0, file.defect(0, "feed", f"no RSS or Atom feed: {feed.get('bozo_exception', '')}", "leave it out"), raw
        return
    for number, entry in enumerate(feed.entries, 1):
        yield 0, _entry(entry, feed.feed.get("title"), number, file, html), _shown(entry)


def _entry(entry: Any, source: Optional[str], number: int, file: File, html: Any) -> Any:
    title = " ".join(unescape(entry.get("title", "")).split()) or None
    parts = [part.value for part in entry.get("content", [])] or [entry.get("summary", "")]
    text = "\n".join(filter(None, (_plain(part, html) for part in parts)))
    if not text:
        return file.defect(0, "body", f"entry {number} of the feed ({title}) has no text", "leave it out")
    date = _date(entry)
    name = entry.get("id") or entry.get("link") or f"{date or file.stem}-{slug(title or str(number))}"
    meta: Dict[str, Any] = {"url": entry.link} if entry.get("link") else {}
    return Release(name, _joined(title, text), title=title, date=date, source=source, meta=meta)


def _plain(fragment: str, html: Any) -> str:
    """The text of a piece of HTML, a paragraph a line."""
    lines = (line.strip() for line in html.get_text(fragment).splitlines())
    return "\n".join(line for line in lines if line)


def _date(entry: Any) -> Optional[str]:
    """The day on which an entry was published, where it was published: the parsed time is another time zone's."""
    written = entry.get("published") or entry.get("updated") or ""
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            return parse(written).date().isoformat()
        except (ValueError, OverflowError):
            pass
    parsed: Optional[struct_time] = entry.get("published_parsed") or entry.get("updated_parsed")
    return f"{parsed.tm_year:04}-{parsed.tm_mon:02}-{parsed.tm_mday:02}" if parsed else None


def _joined(title: Optional[str], text: str) -> str:
    """Title, newline, body, as all texts have it."""
    body = text.strip()
    return body if title is None or body.split("\n", 1)[0].strip() == title else f"{title}\n{body}"


def _shown(entry: Any) -> bytes:
    parts = [entry.get("title", ""), *(part.value for part in entry.get("content", [])), entry.get("summary", "")]
    return "\n".join(filter(None, parts)).encode("utf8", errors="surrogateescape")


def _library(name: str, file: File) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return file.defect(0, "extra", f"reading it needs {name}, which is not installed", EXTRA)
