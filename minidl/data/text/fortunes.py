"""Short texts by topic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minidl.data.download import Package, cache_folder, obtain
from minidl.data.text.base import Texts, check_split, part_of

CHECKSUMS = {
    "art": "600b8197bc994fd4fcbb623aa5e700629540af44f044d4907886bd1031f160ce",
    "computers": "a86be224d9f733b88eeaf8a46ea0427e05cc69c69edcf5f6db47ddf561ca37fd",
    "definitions": "57be4744c353d931fa2ca95f50215d4b67539f5a527ae628a6441fb4a1258caa",
    "people": "2afb4b9f577be114d2dca279bc5590ee8415e1405295d7d7626c888d82f338e8",
    "politics": "b56ca45a046edd5c459090a5c6b335332661b436e814b41ac87bb58065ad6131",
    "science": "7ab350b142ee6c70c1d8517c5a1b3790c09b190a62859427cad98e6e35a19fcc",
    "songs-poems": "eb714d297b468da91b6ca32baefb000279a3e3740b09f8a87db24fe58e010b1a",
    "work": "ad8a0e104160e2c4782fa86e143cd60ffab2872985d4293ffd0af6df19dbfa28",
}


def topics(split: str = "train", root: Any = None, download: bool = True, classes: Sequence[str] = ()) -> Texts:
    """Samples (text, topic): 6,648 sayings, jokes, verses and definitions on eight topics.

    The topics are those of the Debian package ``fortunes`` with more than 450 entries: art, computers, definitions,
    people, politics, science, songs-poems, work (1.2 MB; collected by many hands, BSD licence). 80 % are for training,
    10 % for validation, 10 % for the test. Expect the humour of Usenet.

    Args:
        classes: only these topics, numbered in this order.
    """
    check_split(split)
    chosen = list(classes or CHECKSUMS)
    unknown = sorted(set(chosen) - set(CHECKSUMS))
    if unknown:
        raise ValueError(f"topics: no topic {', '.join(unknown)}; there are {', '.join(CHECKSUMS)}")
    folder = cache_folder(root) / "topics"
    obtain(folder, CHECKSUMS, [Package("apt-get", "fortunes", "usr/share/games/fortunes")], download)
    samples = []
    for label, topic in enumerate(chosen):
        entries = parse((folder / topic).read_text(encoding="utf-8"))
        samples += [(text, label) for text in entries if split in (part_of(text), "all")]
    return Texts(samples, chosen)


def parse(content: str) -> list[str]:
    """The entries of a fortune file: separated by lines of "%", each once, without the spaces around them."""
    entries = (entry.strip() for entry in f"\n{content}\n".split("\n%\n"))
    return list(dict.fromkeys(entry for entry in entries if entry))
