"""Texts judged: from scratch and by fine-tuning, each training what it should, in batches of like lengths."""

import json
import re

import numpy as np
import pytest

import minidl
from minidl import models, serialization
from minidl.cli import train_texts
from minidl.data.text import Texts
from minidl.text import EncodedTexts, LengthBatches, WordPiece, collate
from minidl.train import Interrupted, classification
from minidl.train.callbacks import Callback
from tests.cli.test_cli import invoke, screens  # noqa: F401 (a fixture for every test)

GOOD, BAD = (
    ("good fine great", "lovely fine film", "great lovely"),
    ("bad poor awful", "dull poor film", "awful dull bad"),
)
SAMPLES = [(f"{text} {n}", label) for n in range(20) for label, group in enumerate((BAD, GOOD)) for text in group]
TEXTS = Texts(SAMPLES, ["negative", "positive"])
WORDS = [word for group in (GOOD, BAD) for text in group for word in text.split()]
PIECES = WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(WORDS), *"0123456789"])


def encoder():
    minidl.manual_seed(5)
    return models.BERT(PIECES.vocab_size, width=12, layers=2, heads=2, context=16)


@pytest.mark.parametrize("method", classification.METHODS)
def test_every_method_learns_and_says_what_it_cost(method, tmp_path, monkeypatch):
    recipe = classification.RECIPES[method]
    faster = classification.TextRecipe(**{**recipe.__dict__, "lr": 2e-2, "batch_size": 8})
    monkeypatch.setitem(classification.RECIPES, method, faster)
    made = classification.tune(method, 0, TEXTS, TEXTS, TEXTS, encoder, PIECES, epochs=6, folder=tmp_path)
    assert made.accuracy == made.elsewhere > 0.8
    assert 0 < made.trained <= made.parameters
    assert (made.trained == made.parameters) == (method in ("scratch", "full"))
    assert made.megabytes > made.parameters * 4 / 1e6
    assert (tmp_path / "adapters.safetensors").exists() == (method in ("lora", "adalora"))
    if method == "adalora":
        assert sum(made.ranks) <= 6 * 4
        assert max(made.ranks) > 0


def test_what_a_frozen_encoder_makes_of_texts_is_computed_once():
    model = classification.network("head", encoder, 2)
    data = classification.encode(TEXTS, PIECES, 16)
    kept = classification.vectors(model, data, batch_size=7)
    assert model.training
    model.eval()
    for i in (0, 1, 17, len(data) - 1):
        vector, label = kept[i]
        with minidl.no_grad():
            expected = model.vectors(minidl.tensor([data[i][0]]))[0]
            scores = model(minidl.tensor([data[i][0]]))[0]
        np.testing.assert_allclose(vector.numpy(), expected.numpy(), atol=1e-5)
        np.testing.assert_allclose(model.classifier(vector).detach().numpy(), scores.numpy(), atol=1e-5)
        assert label.item() == data[i][1]


def test_the_head_is_kept_together_with_its_encoder(tmp_path):
    classification.tune("head", 0, TEXTS, TEXTS, TEXTS, encoder, PIECES, epochs=1, folder=tmp_path)
    whole = classification.network("head", encoder, 2)
    before = whole.state_dict()["bert.embeddings.word_embeddings.weight"].numpy().copy()
    whole.load_state_dict(serialization.load_file(tmp_path / "model.safetensors"))
    np.testing.assert_array_equal(whole.bert.embeddings.word_embeddings.weight.numpy(force=True), before)


def test_adaptive_ranks_resume_to_the_same_bits(tmp_path):
    def trainer(folder, *more):
        minidl.manual_seed(0)
        model = classification.network("adalora", encoder, 2)
        allocator = classification.lora.RankAllocator(model, 6, 30)
        recipe = classification.TextRecipe(epochs=2, batch_size=8)
        data = classification.encode(TEXTS, PIECES, 16)
        return classification.make_trainer(
            model, recipe, data, data, 0, folder=folder, callbacks=[classification.Ranks(allocator), *more]
        )

    class Stop(Callback):
        def on_step_end(self, trainer):
            if trainer.updates == 21:
                trainer._stop()

    whole = trainer(tmp_path / "whole")
    whole.fit(2)
    with pytest.raises(Interrupted):
        trainer(tmp_path / "parts", Stop()).fit(2)
    again = trainer(tmp_path / "parts")
    again.resume().fit(2)
    for name, tensor in whole.model.state_dict().items():
        np.testing.assert_array_equal(again.model.state_dict()[name].numpy(), tensor.numpy(), err_msg=name)


def test_batches_of_like_lengths_hold_every_sample_once():
    lengths = np.random.default_rng(0).integers(1, 60, 1003)
    batches = LengthBatches(lengths, 16)
    minidl.manual_seed(0)
    found = list(batches)
    assert len(found) == len(batches) == 63
    assert sorted(i for batch in found for i in batch) == list(range(1003))
    waste = sum(len(b) * lengths[b].max() for b in found) / lengths.sum()
    assert waste < 1.1
    minidl.manual_seed(0)
    assert list(batches) == found
    assert list(batches) != found
    assert list(LengthBatches([], 4)) == []


def test_samples_are_put_together():
    data = EncodedTexts([[1, 2], [3]], [0, 1])
    assert data[1] == ([3], 1)
    rows, labels = collate(9)([data[0], data[1]])
    assert rows.tolist() == [[1, 2], [3, 9]]
    assert labels.tolist() == [0, 1]
    with pytest.raises(ValueError, match="as many rows as labels"):
        EncodedTexts([[1]], [])
    with pytest.raises(ValueError, match="no method 'prompt'"):
        classification.network("prompt", encoder, 2)


@pytest.fixture
def small_texts(monkeypatch):
    from minidl.data import text

    monkeypatch.setattr(train_texts, "_sentiment", lambda: (TEXTS, TEXTS, TEXTS))
    monkeypatch.setattr(text, "topics", lambda split: TEXTS)


@pytest.mark.parametrize("name", ["sentiment", "topics"])
def test_commands_that_classify(name, small_texts, tmp_path):
    code, text = invoke("train", name, "--epochs", 2, "--runs-dir", tmp_path)
    assert code == 0, text
    assert "test accuracy" in text
    assert "always the most frequent of negative, positive: 50.00%" in text
    assert (tmp_path / name / "model.safetensors").exists()
    assert invoke("train", name, "--epochs", 2, "--runs-dir", tmp_path, "--resume")[0] == 0
    code, text = invoke("judge", tmp_path / name, GOOD[0], BAD[0])
    assert code == 0, text
    assert re.fullmatch(rf"(nega|posi)tive \(\d+\.\d%\): {GOOD[0]} (nega|posi)tive \(\d+\.\d%\): {BAD[0]} ", text)
    assert "nothing to judge" in invoke("judge", tmp_path / name, "")[1]
    assert "holds a TextClassifier, which does not write on" in invoke("generate", tmp_path / name)[1]
    (tmp_path / name / "classes.json").unlink()
    assert "which does not judge" in invoke("judge", tmp_path / name, "good")[1]


def test_judging_several_texts_is_judging_each():
    tokenizer = classification.byte_pairs(TEXTS, 300)
    minidl.manual_seed(0)
    model = classification.network("scratch", None, 2, tokenizer.vocab_size, tokenizer.special[classification.PADDING])
    texts = ["good", "a much longer text, bad and dull", "x" * 500]
    together = classification.judge(model, tokenizer, texts)
    assert model.training
    for text, shares in zip(texts, together):
        np.testing.assert_allclose(shares, classification.judge(model, tokenizer, [text])[0], rtol=1e-4)
    np.testing.assert_allclose(together.sum(1), 1, rtol=1e-5)


@pytest.fixture
def small_encoder(monkeypatch, tmp_path):
    from minidl.data import text

    monkeypatch.setattr(text, "minilm", lambda: tmp_path)
    monkeypatch.setattr(WordPiece, "from_file", classmethod(lambda cls, path: PIECES))
    monkeypatch.setattr(models.BERT, "from_pretrained", classmethod(lambda cls, path: encoder()))


def test_finetune_command(small_texts, small_encoder, tmp_path):
    code, said = invoke("finetune", "--methods", "head,lora", "--seeds", 2, "--epochs", 1, "--runs-dir", tmp_path)
    assert code == 0, said
    rows = json.loads((tmp_path / "finetune/finetune.json").read_text())
    assert [(r["method"], r["seed"]) for r in rows] == [("head", 0), ("lora", 0), ("head", 1), ("lora", 1)]
    assert "±" in said


def test_finetune_goes_on_where_it_stopped(small_texts, small_encoder, monkeypatch, tmp_path):
    words = ("finetune", "--methods", "lora,head", "--seeds", 2, "--epochs", 2, "--runs-dir", tmp_path)
    steps = []

    class Stop(Callback):
        def on_step_end(self, trainer):
            steps.append(1)
            if len(steps) == 10:  # in the second run's first epoch
                trainer._stop()

    usual = train_texts.usual_callbacks
    monkeypatch.setattr(train_texts, "usual_callbacks", lambda *a, **k: [*usual(*a, **k), Stop()])
    code, said = invoke(*words)
    assert code == 130
    assert "with --resume goes on" in said
    done = json.loads((tmp_path / "finetune/finetune.json").read_text())
    assert [r["method"] for r in done] == ["lora"]
    monkeypatch.setattr(train_texts, "usual_callbacks", usual)
    code, said = invoke(*words, "--resume")
    assert code == 0, said
    rows = json.loads((tmp_path / "finetune/finetune.json").read_text())
    assert rows[: len(done)] == done
    assert {(r["method"], r["seed"]) for r in rows} == {(m, s) for m in ("lora", "head") for s in (0, 1)}
    assert invoke(*words, "--resume")[0] == 0
    assert json.loads((tmp_path / "finetune/finetune.json").read_text()) == rows


def test_finetune_mistakes(small_texts, small_encoder):
    assert "--methods knows" in invoke("finetune", "--methods", "prompt")[1]
