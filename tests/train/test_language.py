"""Language models in training: they learn what there is to learn, resume to the same bits, and are measured right."""

import functools
import math

import matplotlib.image
import numpy as np
import pytest

import minidl
from minidl import models, serialization
from minidl.text import ByteBPE, CharTokenizer, NGram, Streams
from minidl.train import CarryState, Interrupted, Trainer, evaluate_tokens, language, token_loss
from minidl.train.callbacks import Callback
from tests.cli.test_cli import invoke, screens  # noqa: F401 (a fixture for every test)

TEXT = "the cat sat on the mat and the dog sat on the log. " * 60
SMALL = {
    "rnn": {"width": 8, "hidden": 24},
    "gru": {"width": 8, "hidden": 16},
    "lstm": {"width": 8, "hidden": 16},
    "gpt": {"width": 16, "layers": 1, "heads": 2, "context": 16},
    "llama": {"width": 16, "layers": 1, "heads": 2, "context": 16},
    "bert": {"width": 16, "layers": 1, "heads": 2, "context": 16},
}


def run(kind, folder=None, callbacks=(), epochs=2, length=16):
    minidl.manual_seed(0)
    tokenizer = ByteBPE.train(TEXT, 270, [language.MASK]) if kind == "bert" else CharTokenizer.of(TEXT)
    tokens = tokenizer.encode(TEXT)
    network = language.Network(kind, tokenizer.vocab_size, SMALL[kind])
    model = network.make()
    recipe = language.RECIPES[kind].with_options(epochs=epochs, batch_size=4, lr=1e-2)
    trainer = language.make_trainer(
        network, model, recipe, tokens, tokens[:600], length=length, folder=folder, callbacks=list(callbacks),
        mask=tokenizer.special[language.MASK] if kind == "bert" else None,
    )  # fmt: skip
    return trainer, network, tokenizer


@pytest.mark.parametrize("kind", SMALL)
def test_they_learn(kind):
    trainer, _, tokenizer = run(kind, epochs=6)
    begin = trainer.evaluate()
    trainer.fit(6)
    assert trainer.evaluation.loss < 0.6 * begin.loss
    if kind != "bert":
        tokens = tokenizer.encode(TEXT)
        assert trainer.evaluation.bits < NGram(tokens, 1, tokenizer.vocab_size).bits(tokens[:600])


@pytest.mark.parametrize("kind", ["lstm", "gpt", "bert"])
def test_a_resumed_run_gives_the_same_bits(kind, tmp_path):
    whole, *_ = run(kind, tmp_path / "whole")
    whole.fit(2)

    class Stop(Callback):
        def on_step_end(self, trainer):
            if trainer.updates == 13:
                trainer._stop()

    first, *_ = run(kind, tmp_path / "parts", [Stop()])
    with pytest.raises(Interrupted):
        first.fit(2)
    minidl.manual_seed(99)
    second, *_ = run(kind, tmp_path / "parts")
    second.resume().fit(2)
    for name, tensor in whole.model.state_dict().items():
        np.testing.assert_array_equal(second.model.state_dict()[name].numpy(), tensor.numpy(), err_msg=name)
    assert [r["train_loss"] for r in second.history] == [r["train_loss"] for r in whole.history]


def test_state_is_carried_in_training_and_kept_out_of_measuring():
    trainer, *_ = run("lstm")
    states = []

    class Watch(Callback):
        def on_step_end(self, trainer):
            states.append(trainer.model.state[0].numpy().copy())

    trainer.callbacks.append(Watch())
    trainer.fit(1)
    assert all(np.abs(s).max() > 0 for s in states)
    assert not trainer.model.carry
    assert any(isinstance(c, CarryState) for c in trainer.callbacks)
    alone = evaluate_tokens(trainer.model, Streams(trainer.test_loader._rows.reshape(-1), 16, 16))
    assert math.isfinite(alone.loss)


def test_tokens_that_do_not_count():
    scores = minidl.tensor(np.random.default_rng(0).standard_normal((2, 3, 5)).astype(np.float32))
    targets = minidl.tensor([[1, -100, 2], [-100, -100, 0]])
    model = minidl.nn.Identity()
    found = evaluate_tokens(model, [(scores, targets)])
    logs = minidl.log_softmax(scores, -1).numpy()
    expected = -(logs[0, 0, 1] + logs[0, 2, 2] + logs[1, 2, 0]) / 3
    assert found.tokens == 3
    assert found.loss == pytest.approx(expected, rel=1e-5)
    assert found.bits == pytest.approx(expected / math.log(2), rel=1e-5)
    assert token_loss(scores, targets).item() == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="gave no token"):
        evaluate_tokens(model, [])


def test_models_with_several_inputs():
    class Sum(minidl.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = minidl.nn.Parameter(minidl.ones(3, 2))

        def forward(self, a, b):
            return (a + b) @ self.weight

    model = Sum()
    batch = ((minidl.ones(4, 3), minidl.ones(4, 3)), minidl.tensor([0, 1, 0, 1]))
    trainer = Trainer(model, minidl.optim.SGD(model.parameters(), lr=0.1), [batch], [batch])
    assert trainer.fit(1)[0]["test_accuracy"] == 0.5


def test_wrong_use(tmp_path):
    with pytest.raises(ValueError, match="no network 'lsmt'"):
        language.Network("lsmt", 10, {}).make()
    network = language.Network("lstm", 10, SMALL["lstm"])
    with pytest.raises(ValueError, match="shorter than one batch of 32 × 128"):
        language.make_trainer(network, network.make(), language.RECIPES["lstm"], [1, 2, 3], [1, 2, 3])
    with pytest.raises(FileNotFoundError, match="holds no model of texts"):
        language.load_run(tmp_path)


def test_folders_that_are_not_as_they_should_be(tmp_path):
    tokenizer = CharTokenizer.of("abc")
    network = language.Network("rnn", tokenizer.vocab_size, {"width": 2, "hidden": 2})
    language.save_run(tmp_path, network, tokenizer)
    with pytest.raises(FileNotFoundError, match="no weights yet"):
        language.load_run(tmp_path)
    serialization.save_file(network.make().state_dict(), tmp_path / "model.safetensors")
    assert language.load_run(tmp_path)[1].encode("ab") == tokenizer.encode("ab")
    good = (tmp_path / "network.json").read_text()
    for content, words in (("{", "network.json is damaged"), ("{}", "not as minidl train leaves it")):
        (tmp_path / "network.json").write_text(content)
        with pytest.raises(ValueError, match=words):
            language.load_run(tmp_path)
    (tmp_path / "network.json").write_text(good)
    (tmp_path / "tokenizer.json").write_text("[]")
    with pytest.raises(ValueError, match="not as minidl train leaves it"):
        language.load_run(tmp_path)


# ------------------------------------------------------------------------------------------------------------- commands


@pytest.fixture
def small(monkeypatch):
    """Commands learn from a page, and with networks of a few hundred weights."""

    class Corpus:
        text = TEXT

    monkeypatch.setattr(language, "CORPORA", dict.fromkeys(language.CORPORA, lambda split: Corpus()))
    for kind, settings in SMALL.items():
        monkeypatch.setitem(language.NETWORKS, kind, functools.partial(language.NETWORKS[kind], **settings))


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm", "gpt", "llama"])
def test_the_usual_networks_have_a_million_weights(kind):
    weights = sum(p.numel() for p in language.Network(kind, 100, {}).make().parameters())
    assert weights == pytest.approx(1e6, rel=0.1)


@pytest.mark.parametrize("kind", ["gru", "gpt", "llama"])
def test_charlm(kind, small, tmp_path):
    code, text = invoke("train", "charlm", "--model", kind, "--batch-size", 8, "--length", 32, "--runs-dir", tmp_path)
    assert code == 0, text
    assert "bits a byte of held-out text" in text
    assert "It writes:" in text
    folder = tmp_path / f"program-{kind}"
    assert (folder / "sample.txt").exists()
    model, tokenizer = language.load_run(folder)
    assert not model.training
    assert tokenizer.decode(tokenizer.encode("the sat")) == "the sat"
    code, again = invoke("generate", folder, "--prompt", "the ", "--tokens", 20, "--top-k", 3)
    assert code == 0
    assert again.startswith("the ")
    assert invoke("generate", folder, "--prompt", "")[0] == 1


def test_gpt_and_bert_on_byte_pairs(small, tmp_path):
    small = ("--vocabulary", 280, "--width", 16, "--heads", 2, "--layers", 1, "--length", 16, "--batch-size", 4)
    code, text = invoke("train", "gpt", *small, "--runs-dir", tmp_path)
    assert code == 0, text
    assert "The first merges: " in text
    assert "bits a byte" in text
    assert invoke("train", "gpt", "--model", "llama", *small, "--runs-dir", tmp_path)[0] == 0
    assert isinstance(language.load_run(tmp_path / "shakespeare-llama-280")[0], models.Llama)
    code, text = invoke("train", "bert", *small, "--runs-dir", tmp_path)
    assert code == 0, text
    assert "of the hidden tokens" in text
    assert "by 3-grams" in text
    code, text = invoke("generate", tmp_path / "shakespeare-bert-280")
    assert code == 1
    assert "holds a BertForMaskedLM, which does not write on" in text


def test_masked_baselines_by_hand():
    tokens = [0, 1, 2] * 40 + [0, 1, 0, 0]
    masked = language.MaskedText(tokens, 12, 4, 3, fixed=True)
    frequent, follows, order = language.masked_baselines(tokens, tokens, masked, 5)
    places = [12 * i + t for i in range(len(masked)) for t, x in enumerate(masked[i][1].tolist()) if x != -100]
    assert frequent == pytest.approx(np.mean([tokens[p] == 0 for p in places]))
    assert follows == pytest.approx(np.mean([p % 3 == tokens[p] or p < 2 for p in places]), abs=0.05)
    assert (order, follows > 0.9) == (3, True)


def test_gradients_command(small, tmp_path):
    for model in ("rnn", "lstm"):
        words = ("train", "charlm", "--model", model, "--batch-size", 8, "--length", 32, "--part", 0.5)
        assert invoke(*words, "--runs-dir", tmp_path)[0] == 0
    runs, picture = (tmp_path / "program-rnn", tmp_path / "program-lstm"), tmp_path / "along.png"
    code, text = invoke("gradients", *runs, "--length", 40, "--texts", 4, "--picture", picture)
    assert code == 0, text
    assert "program-rnn: of the gradient at the last step is left: " in text
    assert "30 steps back" in text
    assert matplotlib.image.imread(picture).std() > 0.01
    code, text = invoke("gradients", tmp_path / "program-rnn", "--texts", 100000)
    assert code == 1
    assert "more than the held-out text" in text
    code, text = invoke("train", "charlm", "--part", 0, "--runs-dir", tmp_path)
    assert code == 1
    assert "is empty" in text
