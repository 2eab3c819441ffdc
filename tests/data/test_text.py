"""Texts: how files are read, how samples are parted, and, where the data can be had, how many there are."""

from __future__ import annotations

import datetime

import pytest

from minidl.data import text
from minidl.data.download import DownloadError
from minidl.data.text import fortunes, pairs, sentiment


def test_a_sample_stays_in_its_part_and_parts_have_their_share():
    parts = [text.part_of(f"sample {i}") for i in range(5000)]
    assert parts == [text.part_of(f"sample {i}") for i in range(5000)]
    assert [round(parts.count(part) / 5000, 1) for part in ("train", "validation", "test")] == [0.8, 0.1, 0.1]


def test_texts_are_a_data_set():
    data = text.Texts([("a", 0), ("b", 1), ("c", 0)], ["no", "yes"])
    assert len(data) == 3
    assert data[1] == ("b", 1)
    assert data[1:].samples == [("b", 1), ("c", 0)]
    assert data[[2, 0]].samples == [("c", 0), ("a", 0)]
    assert data.__getitems__([0, 2]) == [("a", 0), ("c", 0)]
    assert data[:1].classes == ["no", "yes"]
    assert repr(data) == "Texts(3 samples, classes no, yes)"


def test_ratings_are_read_and_made_labels():
    content = "1_1\t2.5\tA joy.\r\n1_2\t-3\tDull\tand long.\r\n2_1\t0.1\tIt is a film.\r\n\r\n"
    samples = sentiment.parse(content)
    assert samples == [("A joy.", 2.5), ("Dull\tand long.", -3.0), ("It is a film.", 0.1)]
    assert text.RatedTexts(samples).to_labels().samples == [("A joy.", 1), ("Dull\tand long.", 0)]
    parted = [sample for part in ("train", "validation", "test") for sample in sentiment.parse(content, part)]
    assert sorted(parted) == sorted(samples)


def test_fortunes_are_parted_by_percent_signs():
    assert fortunes.parse("one\ntwo %\n%\nthree\n%\n\n%\nthree\n") == ["one\ntwo %", "three"]


def test_a_verse_loses_its_markup():
    markup = '<title>Of light</title>In the <w lemma="x">beginning</w><note type="n">or: at first</note>, God &amp; ¶ light .'
    assert pairs.plain_verse(markup) == "In the beginning, God & light."


def test_program_text_reads_what_is_no_test(tmp_path):
    (tmp_path / "package" / "tests").mkdir(parents=True)
    (tmp_path / "package" / "latin.py").write_bytes("# -*- coding: latin-1 -*-\nname = 'é'\n".encode("latin-1"))
    (tmp_path / "package" / "tests" / "hidden.py").write_text("assert False\n")
    (tmp_path / "broken.py").write_bytes(b"\xff\xfe\n")
    (tmp_path / "a.py").write_text("x = 1\n")
    corpus = text.program_text("all", tmp_path)
    assert list(corpus.titles) == ["a.py", "package/latin.py"]
    assert corpus.text == "x = 1\n\n# -*- coding: latin-1 -*-\nname = 'é'\n"
    assert len(corpus) == 2
    assert corpus[0] == "x = 1\n"
    assert repr(corpus) == "Corpus(2 works, 43 characters)"


def test_the_parts_of_program_text_share_no_file():
    parts = {part: text.program_text(part) for part in ("train", "validation", "test")}
    everything = text.program_text("all")
    assert sorted(t for corpus in parts.values() for t in corpus.titles) == sorted(everything.titles)
    assert len(parts["train"].text) > 5_000_000
    assert min(len(corpus) for corpus in parts.values()) > 5


def test_dates_can_be_read_back():
    from babel import Locale

    data = text.dates("validation", count=300, seed=1)
    assert data.samples == text.dates("validation", count=300, seed=1).samples
    assert {text.part_of(iso) for _, iso in data.samples} == {"validation"}
    for written, iso in data.samples:
        day = datetime.date.fromisoformat(iso)
        assert 1900 <= day.year <= 2099
        assert any(c.isdigit() for c in written)
    german = text.dates("all", count=20, languages=["de"], formats=["full"]).samples
    months = Locale("de").months["format"]["wide"]
    for written, iso in german:
        day = datetime.date.fromisoformat(iso)
        assert written.split(", ")[1] == f"{day.day}. {months[day.month]} {day.year}"


def test_dates_with_two_meanings_are_left_out():
    from babel.dates import format_date

    for written, iso in text.dates(
        "all", count=60, languages=["en_US", "en_CA"], formats=["short"], years=(2000, 2030)
    ).samples:
        day = datetime.date.fromisoformat(iso)
        swapped = datetime.date(day.year, min(day.day, 12), day.month)
        if day.day <= 12 and swapped != day:
            assert all(format_date(swapped, "short", locale=locale) != written for locale in ("en_US", "en_CA"))


@pytest.mark.parametrize(
    "load",
    [text.shakespeare, text.program_text, text.movie_reviews, text.topics, text.names, text.dates, text.bible_pairs],
)
def test_an_unknown_part_is_refused(load):
    with pytest.raises(ValueError, match="split must be one of 'train'"):
        load("training")


def test_an_unknown_topic_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no topic cookery"):
        text.topics(root=tmp_path, classes=["art", "cookery"])


@pytest.mark.parametrize("load", [text.shakespeare, text.movie_reviews, text.topics, text.names, text.bible_pairs])
def test_data_that_is_not_there_and_must_not_be_fetched(load, tmp_path):
    with pytest.raises(DownloadError):
        load(root=tmp_path, download=False)
    with pytest.raises(DownloadError):
        text.minilm(root=tmp_path, download=False)


def cached(load, *args, **settings):
    """The data, if it lies in the cache: tests fetch nothing by themselves."""
    try:
        return load(*args, download=False, **settings)
    except DownloadError as error:
        pytest.skip(f"this test needs data that is not in the cache: {error}")


def test_the_real_sets_have_their_published_sizes():
    for load, count in [
        (text.movie_reviews, 10_605),
        (text.amazon_reviews, 3_708),
        (text.tweets, 4_200),
        (text.editorials, 5_190),
    ]:
        data = cached(load, "all")
        assert len(data) == count
        assert all(-4 <= rating <= 4 and sentence for sentence, rating in data.samples)


def test_the_real_texts():
    corpus = cached(text.shakespeare, "all")
    assert len(corpus) == 42
    assert "To be, or not to be" in corpus.text
    parts = [cached(text.shakespeare, part) for part in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [34, 4, 4]


def test_the_real_topics_and_names():
    data = cached(text.topics, "all")
    assert len(data) == 6_648
    assert {label for _, label in data.samples} == set(range(8))
    only = cached(text.topics, "all", classes=["science", "art"])
    assert only.classes == ["science", "art"]
    assert len(only) < len(data)
    labels = [label for _, label in cached(text.names, "all", surnames=True).samples]
    assert [labels.count(i) for i in range(3)] == [4_275, 1_219, 88_799]


def test_the_real_verses():
    test = cached(text.bible_pairs, "test").samples
    assert len(test) == 1_225
    assert any("loved the world" in english and "amó" in spanish for english, spanish in test)
