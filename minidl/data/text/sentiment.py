"""Sentences with the sentiment that people read in them: the data behind VADER (Hutto & Gilbert, ICWSM 2014).

Each was rated by twenty people from -4 (most negative) to 4 (most positive); the rating here is their mean. MIT
licence; from the source archive of the package ``vaderSentiment`` 3.3.2 (2.5 MB).
"""

from __future__ import annotations

import tarfile
from typing import Any

from minidl.data.download import Mirror, Package, cache_folder, obtain
from minidl.data.text.base import Texts, check_split, part_of

ARCHIVE = "hutto_ICWSM_2014.tar.gz"
CHECKSUM = "d5bb07d87474b3eb8d30b4deccbc23f19d742a6c5718fbacc65485b70b95c5fa"
SOURCES = [
    Mirror("https://raw.githubusercontent.com/cjhutto/vaderSentiment/master/additional_resources/", suffix=""),
    Package("pip-source", "vaderSentiment==3.3.2", "vaderSentiment-3.3.2/additional_resources"),
]


class RatedTexts(Texts):
    """Samples (text, mean rating from -4 to 4)."""

    def to_labels(self, margin: float = 0.5) -> Texts:
        """Samples (text, 1 if positive or 0 if negative), without those whose rating is within ``margin`` of 0."""
        kept = [(text, int(rating > 0)) for text, rating in self.samples if abs(rating) >= margin and rating != 0]
        return Texts(kept, ["negative", "positive"])


def movie_reviews(split: str = "train", root: Any = None, download: bool = True) -> RatedTexts:
    """10,605 sentences of film reviews (Pang & Lee's, rated anew): 80 % train, 10 % validation, 10 % test."""
    return _rated("movieReviewSnippets", split, root, download)


def amazon_reviews(split: str = "all", root: Any = None, download: bool = True) -> RatedTexts:
    """3,708 sentences of 309 reviews of five products; the sentences of a review stay in one part."""
    return _rated("amazonReviewSnippets", split, root, download)


def tweets(split: str = "all", root: Any = None, download: bool = True) -> RatedTexts:
    """4,200 short messages, 200 of them made up to be hard (sarcasm, slang, emoticons)."""
    return _rated("tweets", split, root, download)


def editorials(split: str = "all", root: Any = None, download: bool = True) -> RatedTexts:
    """5,190 sentences of 500 newspaper editorials; the sentences of an editorial stay in one part."""
    return _rated("nytEditorialSnippets", split, root, download)


def _rated(name: str, split: str, root: Any, download: bool) -> RatedTexts:
    check_split(split)
    folder = cache_folder(root) / "sentiment"
    obtain(folder, {ARCHIVE: CHECKSUM}, SOURCES, download)
    with tarfile.open(folder / ARCHIVE) as archive:
        file: Any = archive.extractfile(f"hutto_ICWSM_2014/{name}_GroundTruth.txt")
        content = file.read().decode("utf-8-sig")
    return RatedTexts(parse(content, split))


def parse(content: str, split: str = "all") -> list[tuple[str, float]]:
    """(text, rating) from lines of "number, tab, rating, tab, text"; numbers such as 3_7 are sentence 7 of text 3."""
    samples = []
    for line in content.split("\n"):
        if line.strip():
            number, rating, text = line.rstrip("\r").split("\t", 2)
            if split in (part_of(number.partition("_")[0]), "all"):
                samples.append((text.strip(), float(rating)))
    return samples
