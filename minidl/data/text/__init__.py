"""Real texts: to model, to classify, to translate. Each is fetched once, checked, and kept in the cache.

Every loader takes ``split`` ("train", "validation", "test" or "all"; always the same samples in each), ``root`` (the
folder to keep the data in; MINIDL_DATA or ~/.cache/minidl if None) and ``download`` (fetch it if it is not there), as
far as they make sense for it. DownloadError lists every source tried, and why it failed.
"""

from minidl.data.text.base import Texts, part_of
from minidl.data.text.census import names
from minidl.data.text.corpora import Corpus, program_text, shakespeare
from minidl.data.text.fortunes import topics
from minidl.data.text.pairs import bible_pairs, dates
from minidl.data.text.pretrained import minilm
from minidl.data.text.sentiment import RatedTexts, amazon_reviews, editorials, movie_reviews, tweets

__all__ = [
    "Corpus",
    "RatedTexts",
    "Texts",
    "amazon_reviews",
    "bible_pairs",
    "dates",
    "editorials",
    "minilm",
    "movie_reviews",
    "names",
    "part_of",
    "program_text",
    "shakespeare",
    "topics",
    "tweets",
]
