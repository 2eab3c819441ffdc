"""Translation: pairs shifted as they should be, learnt, resumed to the same bits, translated in any batch, and measured."""

import json
import random

import matplotlib.image
import numpy as np
import pytest

import minidl
from minidl import serialization
from minidl.data.text import Texts
from minidl.text import CharTokenizer
from minidl.train import Interrupted, language, translation
from minidl.train.callbacks import Callback
from tests.cli.test_cli import invoke, screens  # noqa: F401 (a fixture for every test)

DIGITS = {"one": "1", "two": "2", "three": "3", "four": "4", "five": "5"}


def pairs(count, seed=0):
    """Numbers in words, the other way round: ("two one", "1 2")."""
    draw = random.Random(seed)
    rows = [draw.choices(list(DIGITS), k=draw.randint(1, 3)) for _ in range(count)]
    return Texts([(" ".join(row), " ".join(DIGITS[word] for word in row[::-1])) for row in rows])


PARTS = {"train": pairs(300), "validation": pairs(30, 1), "test": pairs(40, 2)}
TASK = translation.Task(PARTS.__getitem__, 300, 32, 1, 2, 0.0, 12, 16, 1e-2, 0.0)


def run(folder=None, callbacks=(), epochs=2):
    minidl.manual_seed(0)
    task = TASK.with_options(epochs=epochs)
    tokenizer = translation.tokenizer_of(PARTS["train"], task.vocabulary)
    network = translation.network_of(task, tokenizer)
    model = network.make()
    training, validation = (translation.Pairs(PARTS[part].samples, tokenizer, 40) for part in ("train", "validation"))
    trainer = translation.make_trainer(model, task, training, validation, folder=folder, callbacks=list(callbacks))
    return trainer, tokenizer, network


def test_pairs_are_shifted_and_filled_up():
    tokenizer = translation.tokenizer_of(PARTS["train"], 300)
    pad, begin, end = (tokenizer.special[name] for name in translation.SPECIAL)
    data = translation.Pairs([("two", "2"), ("one one", "1 1")], tokenizer)
    (sources, given), wanted = data.collate([data[0], data[1]])
    two, ones = tokenizer.encode("two"), tokenizer.encode("one one")
    assert sources[0].tolist() == [*two, end] + [pad] * (len(ones) - len(two))
    assert sources[1].tolist() == [*ones, end]
    answer, longer = tokenizer.encode("2"), tokenizer.encode("1 1")
    assert given[0].tolist() == [begin, *answer] + [pad] * (len(longer) - len(answer))
    assert wanted[0].tolist() == [*answer, end] + [-100] * (len(longer) - len(answer))
    assert (given[1].tolist(), wanted[1].tolist()) == ([begin, *longer], [*longer, end])
    assert data.lengths == [len(two) + len(answer) + 3, len(ones) + len(longer) + 3]
    short = translation.Pairs([("one one one", "1 1 1 1")], tokenizer, max_length=2)
    assert [len(side) for side in short[0]] == [3, 4]


@pytest.fixture(scope="module")
def learnt():
    trainer, tokenizer, _ = run(epochs=12)
    trainer.fit(12)
    return trainer.model, tokenizer


def test_it_learns_to_translate(learnt):
    model, tokenizer = learnt
    sources, wanted = zip(*PARTS["test"].samples)
    done = []
    found = translation.translate(model, tokenizer, sources, num_beams=3, batch_size=16, progress=done.append)
    assert translation.exact(found, wanted) >= 0.9
    assert done == [16, 32, 40]
    assert found == [translation.translate(model, tokenizer, [text], num_beams=3)[0] for text in sources]
    assert translation.translate(model, tokenizer, []) == []
    assert all(isinstance(text, str) for text in translation.translate(model, tokenizer, ["", "ß €"], num_beams=1))


def test_attention_is_a_distribution_over_the_source(learnt):
    model, tokenizer = learnt
    maps, sources, targets = translation.attention(model, tokenizer, "two one", "1 2")
    assert (sources[-1], targets[-1]) == ("<end>", "<end>")
    assert "".join(sources[:-1]) == "two one"
    assert maps.shape == (TASK.heads, len(targets), len(sources))
    np.testing.assert_allclose(maps.sum(-1), 1, rtol=1e-5)
    assert maps.min() >= 0


def test_a_resumed_run_gives_the_same_bits(tmp_path):
    whole, *_ = run(tmp_path / "whole")
    whole.fit(2)

    class Stop(Callback):
        def on_step_end(self, trainer):
            if trainer.updates == 25:
                trainer._stop()

    with pytest.raises(Interrupted):
        run(tmp_path / "parts", [Stop()])[0].fit(2)
    again, *_ = run(tmp_path / "parts")
    minidl.manual_seed(99)
    again.resume().fit(2)
    for name, tensor in whole.model.state_dict().items():
        np.testing.assert_array_equal(again.model.state_dict()[name].numpy(), tensor.numpy(), err_msg=name)
    with pytest.raises(RuntimeError, match="epochs"):
        run(tmp_path / "parts", epochs=3)[0].resume()


def test_word_by_word():
    baseline = translation.WordByWord([("the House", "la casa"), ("the dog", "el perro"), ("a house", "una casa")])
    assert baseline.translate("House") == "casa"
    assert baseline.translate("dog cat") == "perro cat"
    assert translation.WordByWord([]).translate("a b") == "a b"


def test_measures():
    assert translation.exact(["a", "b"], ["a", "B"]) == 0.5
    text = "the cat sat on the mat ."
    assert translation.bleu([text], [text]) == pytest.approx(100)
    assert translation.bleu([text.upper()], [text]) < 10  # only the full stop is right
    assert translation.bleu([text.upper()], [text], lowercase=True) == pytest.approx(100)
    # By hand: 6 of 7 words, 5 of 6 pairs, 4 of 5 triples, 3 of 4 quadruples are there; as long as the reference.
    nearly = translation.bleu(["the cat sat on the mat !"], [text])
    assert nearly == pytest.approx(100 * (6 / 7 * 5 / 6 * 4 / 5 * 3 / 4) ** 0.25)


# ------------------------------------------------------------------------------------------------------------- commands


@pytest.fixture
def small_tasks(monkeypatch):
    monkeypatch.setattr(translation, "TASKS", dict.fromkeys(translation.TASKS, TASK))


@pytest.mark.slow
@pytest.mark.parametrize("data", ["dates", "bible"])
def test_commands(data, small_tasks, tmp_path):
    words = ("train", "translate", "--data", data, "--epochs", 2, "--beams", 2, "--runs-dir", tmp_path)
    code, text = invoke(*words)
    assert code == 0, text
    assert ("dates of days never seen" if data == "dates" else "word by word") in text
    folder = tmp_path / data
    rows = json.loads((folder / "translations.json").read_text(encoding="utf-8"))
    assert [(row["source"], row["wanted"]) for row in rows] == PARTS["test"].samples
    assert rows[0]["found"] in text
    assert matplotlib.image.imread(folder / "attention.png").std() > 0.01
    code, again = invoke(*words, "--resume")
    assert code == 0, again
    assert json.loads((folder / "translations.json").read_text(encoding="utf-8")) == rows
    found = invoke("translate", folder, rows[0]["source"], rows[1]["source"], "--beams", 2)
    assert found == (0, f"{rows[0]['found']} {rows[1]['found']} ")
    picture = tmp_path / "picture.png"
    assert invoke("translate", folder, "two one", "--picture", picture)[0] == 0
    assert matplotlib.image.imread(picture).ndim == 3
    code, text = invoke("generate", folder)
    assert code == 1
    assert "holds a Transformer, which does not write on" in text


def test_mistakes(tmp_path):
    assert "holds no model of texts" in invoke("translate", tmp_path, "one")[1]
    tokenizer = CharTokenizer.of("abc")
    network = language.Network("rnn", tokenizer.vocab_size, {"width": 2, "hidden": 2})
    language.save_run(tmp_path, network, tokenizer)
    serialization.save_file(network.make().state_dict(), tmp_path / "model.safetensors")
    code, text = invoke("translate", tmp_path, "one")
    assert code == 1
    assert "holds a CharRNN, which does not translate" in text
    assert invoke("train", "translate", "--data", "poems")[0] == 2
    assert invoke("train", "translate", "--vocabulary", 10)[0] == 2


def test_an_empty_text_is_not_translated(small_tasks, tmp_path):
    trainer, tokenizer, network = run(tmp_path)
    language.save_run(tmp_path, network, tokenizer)
    trainer.save()
    code, text = invoke("translate", tmp_path, " ")
    assert code == 1
    assert "nothing to translate in an empty text" in text
