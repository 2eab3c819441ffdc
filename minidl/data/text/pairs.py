"""Texts that mean the same: verses in English and Spanish, dates in many languages."""

from __future__ import annotations

import datetime
import html
import random
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from minidl.data.download import Package, cache_folder, obtain
from minidl.data.text.base import Texts, check_split, part_of
from minidl_kernels.installing import how_to_install

ENGLISH, SPANISH = "engWEB2015eb", "spaRV1909eb"
CHECKSUMS = {
    ENGLISH: {
        "ot.bzs": "2c16645bb829c05b20f39769e1fa23212743335143833a819f29e412c6def8ce",
        "ot.bzv": "dbd3b762b7159c5dd4b535f75b6ab643fb62ae44f4655aff3c5098a955a1ae57",
        "ot.bzz": "4633066d3872f1a3e600d2d10e667a13cd6c32bf116ca971d3c8f288bc3ea453",
        "nt.bzs": "bec87a360bbc6bfbcd7de513edf928ceebb428dd2baff813aebf521bb0c6cc83",
        "nt.bzv": "bb7a522d8323ccd7be462fca4dcd53c06d966c140fe260a6295e05393d259338",
        "nt.bzz": "5429389d9331b7a86901a73afa74f32d089cae3d5bd8dfe304b11808714a69ba",
    },
    SPANISH: {
        "ot.bzs": "0e39106ae15a29cef56feac683f8482be380536a1c456e006867f9fa94c0338e",
        "ot.bzv": "0f23b1ebff5ecdd352a64feda5bb047cba27ce3624fa7b00717f763835d96e20",
        "ot.bzz": "daae868e179e6cc884ad2c9429a9dfaf9745d61caa6dbb9da2a8b24ec3c01337",
        "nt.bzs": "b88dda1e9ab50d158262ab141af7823269acb19c581621683298be5b6e154d58",
        "nt.bzv": "a9583ba1b4c66dfdd8bfb6a0b1833bdaa02f9e2cc3465c5a802cf19cbc2f2533",
        "nt.bzz": "7baf6b1e798b193315fed89d0e84e8e1a033d035316f66c78d456f5fb8c87e20",
    },
}
# Held-out books: what is learnt of the others must carry over. A story, some wisdom, a gospel or letters in each.
VALIDATION = ("Ruth", "Ecclesiastes", "Mark", "James")
TEST = ("Jonah", "Esther", "John", "I John", "II John", "III John")
LANGUAGES = (
    "ca",
    "cs",
    "da",
    "de",
    "el",
    "en",
    "es",
    "fi",
    "fr",
    "hr",
    "hu",
    "id",
    "it",
    "nl",
    "nb",
    "pl",
    "pt",
    "ro",
    "ru",
    "sk",
    "sl",
    "sv",
    "sw",
    "tr",
    "uk",
    "vi",
)


def bible_pairs(split: str = "train", root: Any = None, download: bool = True) -> Texts:
    """Samples (English, Spanish): 31,077 verses of the Bible that both translations have.

    The World English Bible and the Reina-Valera of 1909, both in the public domain, from the Debian packages
    ``sword-text-web`` and ``sword-text-sparv`` (6.7 MB); minidl's extra ``text`` brings what reads them. They
    are aligned by book, chapter and verse; markup and footnotes are taken out. Four whole books are for validation
    (Ruth, Ecclesiastes, Mark, James), six for the test (Esther, Jonah, John and his letters).
    """
    check_split(split)
    try:
        from pysword.bible import SwordBible
    except ImportError:
        raise ImportError(f"bible_pairs reads SWORD modules with pysword: {how_to_install('minidl[text]')}") from None
    root = cache_folder(root) / "bible"
    verses = []
    for module, package, canon in ((ENGLISH, "sword-text-web", "nrsva"), (SPANISH, "sword-text-sparv", "kjv")):
        source = Package("apt-get", package, f"usr/share/sword/modules/texts/ztext/{module}")
        obtain(root / module, CHECKSUMS[module], [source], download)
        bible: Any = SwordBible(str(root / module), "ztext", canon, "utf-8", "OSIS")
        bible._decompress = lru_cache(maxsize=1)(bible._decompress)  # pysword unpacks a whole book for each verse
        verses.append(dict(_verses(bible, split)))
    english, spanish = verses
    return Texts([(text, spanish[place]) for place, text in english.items() if text and spanish.get(place)])


def _verses(bible: Any, split: str) -> Iterator[tuple[tuple[str, int, int], str]]:
    """((book, chapter, verse), text) of every verse of the part's books."""
    for books in bible.get_structure().get_books().values():
        for book in books:
            part = "validation" if book.name in VALIDATION else "test" if book.name in TEST else "train"
            if split not in (part, "all"):
                continue
            for chapter in range(1, book.num_chapters + 1):
                for verse in range(1, book.chapter_lengths[chapter - 1] + 1):
                    content = bible.get(books=book.name, chapters=[chapter], verses=[verse], clean=False)
                    yield (book.name, chapter, verse), plain_verse(content)


def plain_verse(markup: str) -> str:
    """A verse's text without notes, headings and tags; what a note stood between is kept apart by a space."""
    text = re.sub(r"<(note|title)\b.*?</\1>", " ", markup, flags=re.DOTALL)
    text = re.sub(r"<[^>]*>", "", text)
    text = " ".join(html.unescape(text).replace("¶", " ").split())
    return re.sub(r" ([,.;:!?”’)])", r"\1", text)


def dates(
    split: str = "train",
    count: int = 20_000,
    languages: Sequence[str] = LANGUAGES,
    formats: Sequence[str] = ("medium", "long", "full"),
    years: tuple[int, int] = (1900, 2099),
    seed: int = 0,
) -> Texts:
    """Samples (the date as a language writes it, "2031-03-07"), such as ("Freitag, 7. März 2031", "2031-03-07").

    The formats are the Unicode CLDR's (Unicode licence), by babel (minidl's extra ``text``); no download. Days
    are drawn evenly from the ``years`` (both included), languages and formats evenly too; 80 % of the days, in whatever
    language, are for training, 10 % for validation, 10 % for the test. Only writings that have one meaning among the
    ``languages`` are kept: 03/07/2031 is left out where it could be July or March.

    Args:
        count: how many samples this part has ("all" gives each part's share).
    """
    check_split(split)
    try:
        from babel import Locale
        from babel.dates import format_date
    except ImportError:
        raise ImportError(f"dates are written by babel: {how_to_install('minidl[text]')}") from None
    locales = [Locale.parse(language) for language in languages]
    draw = random.Random(f"{seed} {split}")
    first, last = datetime.date(years[0], 1, 1).toordinal(), datetime.date(years[1], 12, 31).toordinal()
    numeric = {str(locale): [f for f in formats if _in_numbers(format_date, f, locale)] for locale in locales}
    samples = []
    while len(samples) < count:
        day = datetime.date.fromordinal(draw.randint(first, last))
        locale, style = draw.choice(locales), draw.choice(list(formats))
        if split in (part_of(day.isoformat()), "all"):
            text = format_date(day, style, locale=locale)
            if style in numeric[str(locale)] and _readings(text, day, locales, numeric, format_date) > 1:
                continue
            samples.append((text, day.isoformat()))
    return Texts(samples)


def _in_numbers(format_date: Any, style: str, locale: Any) -> bool:
    return not any(c.isalpha() for c in format_date(datetime.date(2031, 3, 7), style, locale=locale))


def _readings(text: str, day: datetime.date, locales: Sequence, numeric: dict, format_date: Any) -> int:
    """How many days the languages could mean by ``text``: of a date in numbers, the day and month may be swapped,
    and two digits for the year may stand for any century."""
    swapped = [(day.year, day.month, day.day)]
    if day.day <= 12:
        swapped.append((day.year, day.day, day.month))
    meant = set()
    for year, month, number in swapped:
        for century in (-200, -100, 0, 100, 200):
            other = _day(year + century, month, number)
            for locale in locales if other else ():
                if any(format_date(other, style, locale=locale) == text for style in numeric[str(locale)]):
                    meant.add(other)
    return len(meant)


def _day(year: int, month: int, day: int) -> datetime.date | None:
    try:
        return datetime.date(year, month, day)
    except ValueError:
        return None
