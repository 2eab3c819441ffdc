"""The networks that read and write, beside PyTorch in float64: outputs and all gradients; memory, padding, ties, files."""

import json
import math
import warnings

import numpy as np
import pytest

import minidl
from minidl import models, serialization
from minidl.data import text as texts
from minidl.data.download import DownloadError
from minidl.text import WordPiece

torch = pytest.importorskip("torch")
TF = torch.nn.functional


def double(model):
    minidl.manual_seed(0)
    return model.double().eval()


def weights(model):
    return {name: torch.tensor(t.numpy(force=True), requires_grad=True) for name, t in model.named_parameters()}


def tokens(*shape, high=11, seed=0):
    return np.random.default_rng(seed).integers(1, high, shape)


def compare(model, run, reference):
    """Outputs and every parameter's gradient; ``reference`` gets PyTorch's parameters by name."""
    theirs = weights(model)
    y, expected = run(), reference(theirs)
    np.testing.assert_allclose(y.numpy(force=True), expected.detach().numpy(), rtol=1e-9, atol=1e-11)
    cotangent = np.random.default_rng(1).standard_normal(expected.shape)
    y.backward(minidl.tensor(cotangent))
    expected.backward(torch.tensor(cotangent))
    for name, parameter in model.named_parameters():
        if theirs[name].grad is None:
            assert parameter.grad is None, name
        else:
            np.testing.assert_allclose(
                parameter.grad.numpy(), theirs[name].grad.numpy(), rtol=1e-8, atol=1e-10, err_msg=name
            )


def torch_attention(q, k, v, heads, mask=None, causal=False):
    """Plain: no fused kernel of PyTorch's."""
    split = lambda x: x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)
    q, k, v = map(split, (q, k, v))
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:]).triu(1).bool(), -math.inf)
    if mask is not None:
        scores = scores.masked_fill(~mask[:, None, None, :], -math.inf)
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


def torch_gpt(w, x, layers, heads):
    norm = lambda name, h: TF.layer_norm(h, h.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])
    dense = lambda name, h: h @ w[f"{name}.weight"] + w[f"{name}.bias"]
    h = w["transformer.wte.weight"][x] + w["transformer.wpe.weight"][: x.shape[1]]
    for i in range(layers):
        at = f"transformer.h.{i}"
        h = h + dense(
            f"{at}.attn.c_proj",
            torch_attention(*dense(f"{at}.attn.c_attn", norm(f"{at}.ln_1", h)).chunk(3, 2), heads, causal=True),
        )
        inner = TF.gelu(dense(f"{at}.mlp.c_fc", norm(f"{at}.ln_2", h)), approximate="tanh")
        h = h + dense(f"{at}.mlp.c_proj", inner)
    return norm("transformer.ln_f", h) @ w["transformer.wte.weight"].T


def torch_bert(w, x, layers, heads, mask=None, prefix=""):
    norm = lambda name, h: TF.layer_norm(h, h.shape[-1:], w[f"{prefix}{name}.weight"], w[f"{prefix}{name}.bias"], 1e-12)
    dense = lambda name, h: TF.linear(h, w[f"{prefix}{name}.weight"], w[f"{prefix}{name}.bias"])
    words, places, types = (w[f"{prefix}embeddings.{n}_embeddings.weight"] for n in ("word", "position", "token_type"))
    h = norm("embeddings.LayerNorm", words[x] + places[: x.shape[1]] + types[0])
    for i in range(layers):
        at = f"encoder.layer.{i}"
        qkv = [dense(f"{at}.attention.self.{n}", h) for n in ("query", "key", "value")]
        h = norm(
            f"{at}.attention.output.LayerNorm",
            h + dense(f"{at}.attention.output.dense", torch_attention(*qkv, heads, mask)),
        )
        inner = TF.gelu(dense(f"{at}.intermediate.dense", h))
        h = norm(f"{at}.output.LayerNorm", h + dense(f"{at}.output.dense", inner))
    return h


# ------------------------------------------------------------------------------------------------------------------- GPT


def small_gpt(**settings):
    return models.GPT(11, context=8, width=12, layers=2, heads=3, **settings)


def test_gpt():
    model, x = double(small_gpt()), tokens(2, 7)
    compare(model, lambda: model(minidl.tensor(x)), lambda w: torch_gpt(w, torch.tensor(x), 2, 3))


def test_gpt_2_as_published_has_its_parameters():
    assert sum(p.numel() for p in models.GPT().parameters()) == 124_439_808


def test_gpt_takes_no_sequences_in_training_too():
    model = small_gpt(dropout=0.1)
    model(minidl.ones(0, 4, dtype=minidl.int64)).sum().backward()
    assert all(not p.grad.any() for p in model.parameters())


@pytest.mark.parametrize("shape", [(3,), (1, 2, 3)])
def test_tokens_have_two_dimensions(shape):
    for model in (small_gpt(), small_bert()):
        with pytest.raises(RuntimeError, match=rf"{type(model).__name__}: tokens are \(N, T\)"):
            model(minidl.ones(shape, dtype=minidl.int64))


@pytest.mark.parametrize("network", [models.GPT, models.BERT])
def test_a_network_needs_heads(network):
    with pytest.raises(ValueError, match=r"multiple of heads \(0\)"):
        network(11, width=12, heads=0, layers=1)


def test_gpt_sees_nothing_that_comes_later():
    model, x = double(small_gpt()), tokens(1, 8)
    y = model(minidl.tensor(x)).numpy(force=True)
    x[0, 5] += 1
    np.testing.assert_array_equal(model(minidl.tensor(x)).numpy(force=True)[:, :5], y[:, :5])
    with pytest.raises(RuntimeError, match="9 tokens are more than its context of 8"):
        model(minidl.ones(1, 9, dtype=minidl.int64))


def test_gpt_generates_what_it_would_without_memory():
    model, prompt = double(small_gpt()), minidl.tensor(tokens(2, 3))
    made = model.generate(prompt, 5, temperature=0)
    text = prompt
    for _ in range(5):
        text = minidl.cat([text, model(text)[:, -1].argmax(-1, keepdim=True)], 1)
    assert made.tolist() == text.tolist()
    beams = model.beam_search(prompt, 3, 4)
    assert beams.tokens.shape == (2, 1, 7)
    assert model.generate(prompt, 20, temperature=0).shape == (2, 23)  # beyond the context
    model.train()
    model.generate(prompt, 1)
    assert model.training


def test_gpt_in_several_steps():
    model, x = double(small_gpt()), minidl.tensor(tokens(2, 7))
    caches = [minidl.nn.KVCache() for _ in range(2)]
    with minidl.no_grad():
        parts = [model(x[:, a:b], caches) for a, b in ((0, 3), (3, 4), (4, 7))]
        np.testing.assert_allclose(minidl.cat(parts, 1).numpy(), model(x).numpy(), rtol=1e-10, atol=1e-12)


GPT_CONFIG = {"vocab_size": 11, "n_positions": 8, "n_embd": 12, "n_layer": 2, "n_head": 3}


def test_gpt_reads_published_files(tmp_path):
    model, x = double(small_gpt()), minidl.tensor(tokens(2, 5))
    saved = {k.removeprefix("transformer."): v for k, v in model.state_dict().items() if k != "lm_head.weight"}
    saved["h.0.attn.bias"] = minidl.ones(1, 1, 8, 8)
    serialization.save_file(saved, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(GPT_CONFIG))
    again = models.GPT.from_pretrained(tmp_path)
    np.testing.assert_allclose(again(x).numpy(force=True), model.float()(x).numpy(force=True), rtol=1e-4, atol=1e-6)
    assert again.lm_head.weight is again.transformer.wte.weight


@pytest.mark.parametrize("part", [{"activation_function": "relu"}, {"scale_attn_by_inverse_layer_idx": True}])
def test_gpt_refuses_what_it_would_compute_wrongly(part, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({**GPT_CONFIG, **part}))
    with pytest.raises(ValueError, match=f"{next(iter(part))} = .* is not supported"):
        models.GPT.from_pretrained(tmp_path)


@pytest.mark.parametrize("network", ["GPT", "Llama"])
def test_weights_of_another_network(network, tmp_path):
    config = GPT_CONFIG if network == "GPT" else {**LLAMA_CONFIG, "tie_word_embeddings": True}
    (tmp_path / "config.json").write_text(json.dumps(config))
    serialization.save_file({"weight": minidl.ones(3)}, tmp_path / "model.safetensors")
    with pytest.raises(RuntimeError, match=r"Missing key\(s\)"):
        getattr(models, network).from_pretrained(tmp_path)


# ----------------------------------------------------------------------------------------------------------------- LLaMA


def small_llama(**settings):
    return models.Llama(11, context=8, width=24, layers=2, heads=4, **settings)


def torch_llama(w, x, heads, kv_heads, base=10000.0):
    norm = lambda name, h: h / (h.square().mean(-1, keepdim=True) + 1e-5).sqrt() * w[f"{name}.weight"]
    dense = lambda name, h: h @ w[f"{name}.weight"].T
    h = w["model.embed_tokens.weight"][x]
    width = h.shape[-1] // heads
    angles = torch.arange(x.shape[1])[:, None] * base ** -(torch.arange(0, width, 2, dtype=torch.double) / width)
    turn = torch.polar(torch.ones_like(angles), angles)

    def rotate(y, count):  # pairs half a head apart, as complex numbers
        real, imaginary = y.reshape(*y.shape[:2], count, width).chunk(2, -1)
        turned = torch.complex(real, imaginary) * turn[:, None]
        return torch.cat([turned.real, turned.imag], -1)

    for i in range(len({name.split(".")[2] for name in w if name.startswith("model.layers.")})):
        at = f"model.layers.{i}"
        n = norm(f"{at}.input_layernorm", h)
        q, k = (rotate(dense(f"{at}.self_attn.{n_}_proj", n), c) for n_, c in (("q", heads), ("k", kv_heads)))
        v = dense(f"{at}.self_attn.v_proj", n).reshape(*x.shape, kv_heads, width)
        k, v = (y.repeat_interleave(heads // kv_heads, 2) for y in (k, v))
        seen = torch_attention(q.flatten(2), k.flatten(2), v.flatten(2), heads, causal=True)
        h = h + dense(f"{at}.self_attn.o_proj", seen)
        n = norm(f"{at}.post_attention_layernorm", h)
        h = h + dense(f"{at}.mlp.down_proj", TF.silu(dense(f"{at}.mlp.gate_proj", n)) * dense(f"{at}.mlp.up_proj", n))
    scores = "lm_head" if "lm_head.weight" in w else "model.embed_tokens"
    return dense(scores, norm("model.norm", h))


@pytest.mark.parametrize(("kv_heads", "tie"), [(4, True), (2, False), (1, True)])
def test_llama(kv_heads, tie):
    model, x = double(small_llama(kv_heads=kv_heads, tie=tie, rope_base=500.0)), tokens(2, 7)
    with minidl.no_grad():
        for parameter in model.parameters():  # larger than the initial values: attention is to matter
            parameter.mul_(5)
    compare(model, lambda: model(minidl.tensor(x)), lambda w: torch_llama(w, torch.tensor(x), 4, kv_heads, base=500.0))


def test_llamas_words_for_what_is_wrong():
    for settings in ({"heads": 5}, {"heads": 0}, {"heads": 4, "kv_heads": 3}, {"heads": 4, "kv_heads": 0}):
        with pytest.raises(ValueError, match=r"width \(24\) must be a multiple of heads"):
            models.Llama(11, width=24, **settings)
    with pytest.raises(TypeError, match=r"a prompt is a tensor .* not str"):
        small_llama().generate("text", 3)


def test_a_cache_says_what_it_holds():
    model = small_llama(kv_heads=2)
    caches = model.make_caches()
    assert repr(caches[0]) == "KVCache(length=0)"
    with minidl.no_grad():
        model(minidl.tensor(tokens(2, 3)), caches)
    assert repr(caches[0]) == "KVCache(length=3, keys [2, 2, 3, 6])"


def test_llama_as_published_has_its_parameters():
    assert sum(p.numel() for p in models.Llama().parameters()) == 15_191_712  # llama2.c's stories15M


def test_llama_remembers_and_writes_what_it_would_without_memory():
    model, x = double(small_llama(kv_heads=2)), minidl.tensor(tokens(2, 7))
    caches = model.make_caches()
    with minidl.no_grad():
        parts = [model(x[:, a:b], caches) for a, b in ((0, 3), (3, 4), (4, 7))]
        np.testing.assert_allclose(minidl.cat(parts, 1).numpy(), model(x).numpy(), rtol=1e-10, atol=1e-12)
    made = text = x[:, :3]
    made = model.generate(made, 5, temperature=0)
    for _ in range(5):
        text = minidl.cat([text, model(text)[:, -1].argmax(-1, keepdim=True)], 1)
    assert made.tolist() == text.tolist()
    assert model.beam_search(x[:, :3], 3, 4).tokens.shape == (2, 1, 7)
    assert model.generate(x, 20, temperature=0).shape == (2, 27)  # beyond the context
    with pytest.raises(RuntimeError, match="Llama: 9 tokens are more than its context of 8"):
        model(minidl.ones(1, 9, dtype=minidl.int64))


LLAMA_CONFIG = {
    "vocab_size": 11, "max_position_embeddings": 8, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
}  # fmt: skip


@pytest.mark.parametrize("tie", [True, False])
def test_llama_reads_published_files(tie, tmp_path):
    model, x = double(small_llama(kv_heads=2, tie=tie)), minidl.tensor(tokens(2, 5))
    saved = {k: v.float() for k, v in model.state_dict().items() if not (tie and k == "lm_head.weight")}
    saved["model.layers.0.self_attn.rotary_emb.inv_freq"] = minidl.ones(3)
    serialization.save_file(saved, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({**LLAMA_CONFIG, "tie_word_embeddings": tie}))
    again = models.Llama.from_pretrained(tmp_path)
    np.testing.assert_allclose(again(x).numpy(force=True), model.float()(x).numpy(force=True), rtol=1e-4, atol=1e-6)
    assert (again.lm_head.weight is again.model.embed_tokens.weight) == tie


def test_llama_takes_its_rotations_from_where_newer_files_keep_them(tmp_path):
    model = double(small_llama(kv_heads=2, tie=False))
    serialization.save_file({k: v.float() for k, v in model.state_dict().items()}, tmp_path / "model.safetensors")
    config = {**LLAMA_CONFIG, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}, "model_type": "llama"}
    del config["rope_theta"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    again, x = models.Llama.from_pretrained(tmp_path).double(), tokens(2, 5)
    expected = torch_llama(weights(again), torch.tensor(x), 4, 2, base=500.0).detach()
    np.testing.assert_allclose(again(minidl.tensor(x)).numpy(force=True), expected, rtol=1e-9)


@pytest.mark.parametrize(
    "part",
    [
        {"attention_bias": True},
        {"rope_scaling": {"factor": 8.0}},
        {"head_dim": 8},
        {"sliding_window": 4},
        {"model_type": "granite"},
    ],
)
def test_llama_refuses_what_it_would_compute_wrongly(part, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({**LLAMA_CONFIG, **part}))
    with pytest.raises(ValueError, match=f"{next(iter(part))} = .* is not supported"):
        models.Llama.from_pretrained(tmp_path)


def test_llama_refuses_scaled_rotations_of_newer_files(tmp_path):
    config = {**LLAMA_CONFIG, "rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="rope_type = 'llama3' is not supported"):
        models.Llama.from_pretrained(tmp_path)


# ------------------------------------------------------------------------------------------------------------------ BERT


def small_bert():
    return models.BERT(11, width=12, layers=2, heads=3, context=8)


@pytest.mark.parametrize("padded", [False, True])
def test_bert(padded):
    model, x = double(small_bert()), tokens(3, 7)
    mask = np.arange(7) < np.array([[7], [4], [1]]) if padded else None
    given = None if mask is None else minidl.tensor(mask)
    theirs = None if mask is None else torch.tensor(mask)
    compare(model, lambda: model(minidl.tensor(x), given), lambda w: torch_bert(w, torch.tensor(x), 2, 3, theirs))


def test_bert_base_as_published_has_its_parameters():
    assert sum(p.numel() for p in models.BERT().parameters()) == 109_482_240


def test_bert_does_not_see_padding():
    model, x = double(small_bert()), tokens(1, 6)
    mask = minidl.tensor([[1, 1, 1, 1, 0, 0]])
    y = model.embed(minidl.tensor(x), mask).numpy(force=True)
    x[0, 4:] = 5
    np.testing.assert_array_equal(model.embed(minidl.tensor(x), mask).numpy(force=True), y)
    np.testing.assert_allclose(model.embed(minidl.tensor(x[:, :4])).numpy(force=True), y, rtol=1e-9)
    assert np.linalg.norm(y) == pytest.approx(1)
    with pytest.raises(RuntimeError, match="9 tokens are more than its context of 8"):
        model(minidl.ones(1, 9, dtype=minidl.int64))


def test_masked_language_model():
    model, x = double(models.BertForMaskedLM(small_bert())), tokens(2, 5)

    def reference(w):
        h = torch_bert(w, torch.tensor(x), 2, 3, prefix="bert.")
        at = "cls.predictions"
        h = TF.gelu(TF.linear(h, w[f"{at}.transform.dense.weight"], w[f"{at}.transform.dense.bias"]))
        h = TF.layer_norm(h, (12,), w[f"{at}.transform.LayerNorm.weight"], w[f"{at}.transform.LayerNorm.bias"], 1e-12)
        return h @ w["bert.embeddings.word_embeddings.weight"].T + w[bias]

    names = dict(model.named_parameters())
    (bias,) = (name for name in ("cls.predictions.bias", "cls.predictions.decoder.bias") if name in names)
    assert {"cls.predictions.decoder.weight", "cls.predictions.bias"} <= set(model.state_dict())
    compare(model, lambda: model(minidl.tensor(x)), reference)


def test_classifier_takes_the_mean_of_what_is_no_padding():
    model, x = double(models.BertClassifier(small_bert(), 3)), tokens(2, 5)
    x[1, 2:] = 0

    def reference(w):
        mask = torch.tensor(x != 0)
        h = torch_bert(w, torch.tensor(x), 2, 3, mask, "bert.")
        mean = (h * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return TF.linear(mean, w["classifier.weight"], w["classifier.bias"])

    compare(model, lambda: model(minidl.tensor(x)), reference)


def test_the_trained_encoder_gives_the_embeddings_that_pytorch_computes():
    try:
        folder = texts.minilm()
    except DownloadError as error:
        pytest.skip(f"the trained encoder is not to be had here: {error}")
    model, tokenizer = models.BERT.from_pretrained(folder), WordPiece.from_file(folder)
    sentences = [text for text, _ in texts.movie_reviews("test").samples[:40]]
    ours = models.embed_texts(model, tokenizer, sentences, batch_size=7).numpy()
    w = {name: torch.tensor(t.numpy()) for name, t in serialization.load_file(folder / "model.safetensors").items()}
    for sentence, vector in zip(sentences, ours):
        x = torch.tensor([tokenizer.encode(sentence, 256)])
        theirs = TF.normalize(torch_bert(w, x, 6, 12).mean(1), dim=1)[0].numpy()
        assert vector @ theirs > 0.9999


def test_sentences_that_mean_the_same_are_near():
    try:
        folder = texts.minilm()
    except DownloadError as error:
        pytest.skip(f"the trained encoder is not to be had here: {error}")
    model, tokenizer = models.BERT.from_pretrained(folder), WordPiece.from_file(folder)
    sentences = ["A man is eating food.", "Someone eats a meal.", "The stock market fell sharply today."]
    near = models.embed_texts(model, tokenizer, sentences)
    likeness = (near @ near.T).numpy()
    assert likeness[0, 1] > 0.5 > 0.2 > likeness[0, 2]
    assert models.embed_texts(model, tokenizer, []).shape == (0, 384)


def test_bert_refuses_other_networks(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "roberta", "hidden_act": "gelu"}))
    with pytest.raises(ValueError, match="not \\('roberta'"):
        models.BERT.from_pretrained(tmp_path)


# ------------------------------------------------------------------------------------------------------------- recurrent


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_char_rnn(kind):
    model, x = double(models.CharRNN(11, 5, 6, 2, kind)), tokens(2, 7)
    theirs = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[kind](5, 6, 2, batch_first=True).double()

    def reference(w):
        own = {name: w[f"recurrent.{name}"] for name, _ in theirs.named_parameters()}
        seen, _ = torch.func.functional_call(theirs, own, (w["embedding.weight"][torch.tensor(x)],))
        return TF.linear(seen, w["head.weight"], w["head.bias"])

    compare(model, lambda: model(minidl.tensor(x)), reference)


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_a_state_carried_on_gives_what_one_long_text_gives(kind):
    model, x = double(models.CharRNN(11, 5, 6, 2, kind)), minidl.tensor(tokens(3, 12))
    whole = model(x).numpy(force=True)
    model.carry = True
    parts = [model(x[:, i : i + 4]) for i in (0, 4, 8)]
    np.testing.assert_allclose(np.concatenate([p.numpy(force=True) for p in parts], 1), whole, rtol=1e-9, atol=1e-12)
    parts[2].sum().backward()  # gradients end at the batch: the graph of the first is not needed
    assert model(x[:1]).shape == (1, 12, 11)  # another number of rows starts afresh
    made = model.generate(x[:, :4], 3, temperature=0)
    model.carry = False
    assert made[:, 4].tolist() == model(x[:, :4])[:, -1].argmax(-1).tolist()


def test_gradients_along_time():
    minidl.manual_seed(0)
    x = minidl.tensor(tokens(4, 31))
    plain, gated = (models.gradients_along_time(models.CharRNN(11, 8, 16, 1, kind), x) for kind in ("rnn", "lstm"))
    assert plain.shape == (30,)
    assert plain[-1] > 1e3 * plain[0]
    with pytest.raises(ValueError, match="kind must be one of rnn, gru, lstm"):
        models.CharRNN(11, kind="elman")
    assert gated[-1] > 0


def test_text_classifier_reads_no_padding():
    model = double(models.TextClassifier(11, 3, 4, 5))
    x = tokens(3, 6)
    x[1, 4:] = 0
    x[2, :] = 0
    y = model(minidl.tensor(x)).numpy(force=True)
    np.testing.assert_allclose(model(minidl.tensor(x[1:2, :4])).numpy(force=True), y[1:2], rtol=1e-9)
    assert np.isfinite(y).all()
    model(minidl.tensor(x)).sum().backward()
    assert model.embedding.weight.grad[0].abs().max() == 0


# ----------------------------------------------------------------------------------------------------------- translation


def translator():
    return double(models.Transformer(13, 11, width=12, heads=3, layers=2, inner=20, max_len=30))


def test_translator():
    model, x, y = translator(), tokens(2, 6), tokens(2, 5, high=13)
    x[1, 4:] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a faster way that norm_first does not have
        theirs = torch.nn.Transformer(12, 3, 2, 2, 20, 0.0, batch_first=True, norm_first=True).double()
    table = model.positions(minidl.zeros(1, 30, 12, dtype=minidl.float64)).numpy()[0]

    def reference(w):
        own = {name: w[f"transformer.{name}"] for name, _ in theirs.named_parameters()}
        placed = lambda e, t: e[t] * math.sqrt(12) + torch.tensor(table[: t.shape[1]])
        source = placed(w["source_embedding.weight"], torch.tensor(x))
        target = placed(w["target_embedding.weight"], torch.tensor(y))
        hidden = torch.tensor(x == 0)
        masks = {
            "src_key_padding_mask": hidden,
            "memory_key_padding_mask": hidden,
            "tgt_mask": torch.ones(5, 5).triu(1).bool(),
        }
        return torch.func.functional_call(theirs, own, (source, target), masks) @ w["target_embedding.weight"].T

    names = dict(model.named_parameters())
    assert "target_embedding.weight" in names
    ours = model(minidl.tensor(x), minidl.tensor(y))
    w = weights(model)
    expected = reference(w)
    np.testing.assert_allclose(ours.numpy(force=True), expected.detach().numpy(), rtol=1e-8, atol=1e-10)
    ours.square().sum().backward()
    expected.square().sum().backward()
    for name, parameter in names.items():
        theirs_grad = w[name].grad.numpy().copy()
        if name.endswith("_embedding.weight"):
            theirs_grad[0] = parameter.grad.numpy()[0]  # the row of the padding is not trained
        np.testing.assert_allclose(parameter.grad.numpy(), theirs_grad, rtol=1e-7, atol=1e-9, err_msg=name)


def test_translations_are_greedy_with_one_beam_and_stop():
    model, x = translator(), minidl.tensor(tokens(3, 6))
    found = model.translate(x, bos=1, eos=2, num_beams=1, max_new_tokens=6)
    text = minidl.ones(3, 1, dtype=minidl.int64)
    for _ in range(6):
        text = minidl.cat([text, model(x, text)[:, -1].argmax(-1, keepdim=True)], 1)
    for made, expected, length in zip(found.tokens[:, 0].tolist(), text.tolist(), found.lengths[:, 0].tolist()):
        assert made[: length + 1] == expected[: length + 1]
    assert model.translate(x, 1, 2, num_beams=4, max_new_tokens=5).tokens.shape[:2] == (3, 1)


def test_attention_maps_are_where_it_looks():
    model, x = translator(), tokens(2, 6)
    x[1, 3:] = 0
    maps = model.attention_maps(minidl.tensor(x), minidl.tensor(tokens(2, 4)))
    assert [m.shape for m in maps] == [(2, 3, 4, 6)] * 2
    for m in maps:
        np.testing.assert_allclose(m.sum(-1).numpy(), 1, rtol=1e-9)
        assert m[1, :, :, 3:].abs().max() == 0
