"""Train the demo checkpoint's two tokenizers and write the token-id cases that pin them down.

    python make_tokenizers.py --model ../../models/demo --cases ../../tests/data/tokenizers
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import random
import re
import string
from pathlib import Path

import sentencepiece

from assorted_text import CHINESE, ENGLISH
from captions import caption
from scene import all_triples, random_scene
from tokenizer_cases import case_strings

SEED = 7
CAPTIONS = 30000
SENTENCEPIECE_PIECES = 960
MAX_CLIP_TOKENS = 77
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def corpus(seed: int) -> list[str]:
    """Captions of random scenes, half in each language, and the assorted lines."""
    rng = random.Random(seed)
    lines = [caption(random_scene(rng, all_triples()), "en" if i % 2 else "zh", rng) for i in range(CAPTIONS)]
    return lines + list(ENGLISH + CHINESE) * 20


def train_sentencepiece(lines: list[str], path: Path) -> None:
    """A unigram model with byte fallback and the ids unk 0, bos 1, eos 2 that the release uses."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=SENTENCEPIECE_PIECES, model_type="unigram",
        character_coverage=1.0, byte_fallback=True, unk_id=0, bos_id=1, eos_id=2, pad_id=-1,
        split_digits=True, num_threads=1, minloglevel=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.getvalue())


def wordpiece_vocabulary(lines: list[str]) -> list[str]:
    """Special tokens, characters, frequent words and word endings, in a stable order."""
    words: collections.Counter[str] = collections.Counter()
    ideographs: set[str] = set()
    for line in lines:
        words.update(re.findall(r"[a-z]+", line.lower()))
        ideographs.update(re.findall(r"[\u4e00-\u9fff]", line))
    ideographs.update("〇零一二三四五六七八九十百千万你我他她它的是不了在有人这中大来上个国")
    letters = list(string.ascii_lowercase + string.digits)
    punctuation = list(string.punctuation) + list("，。！？、；：“”‘’（）《》【】…—·～￥")
    accented = list("éèüöäñçåøæœß") + list("абвгдежзиклмнопрстуя") + list("αβγδπω")
    endings: collections.Counter[str] = collections.Counter()
    for word, count in words.items():
        for cut in range(1, len(word)):
            if 2 <= len(word) - cut <= 4:
                endings[word[cut:]] += 1 + (count > 50)
    pieces = [f"##{ending}" for ending, count in sorted(endings.items(), key=lambda e: (-e[1], e[0]))[:160]]
    kana = list("あいうえおかきくけこさしすせそたちつてとなにのはまみもやよらりるれわをん") + ["##" + k for k in "はのにをとがです"]
    ordered = (SPECIAL + punctuation + letters + [f"##{c}" for c in letters] + accented
               + [f"##{c}" for c in "éüöñßавеинортлс"] + sorted(words) + pieces + kana + sorted(ideographs))
    return list(dict.fromkeys(ordered))


def write_wordpiece(lines: list[str], folder: Path) -> None:
    """vocab.txt and the settings that Hugging Face's BertTokenizer reads."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(wordpiece_vocabulary(lines)) + "\n", encoding="utf-8")
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "do_basic_tokenize": True,
                "tokenize_chinese_chars": True, "strip_accents": None, "model_max_length": MAX_CLIP_TOKENS,
                "pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]",
                "mask_token": "[MASK]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def write_cases(model: Path, folder: Path) -> None:
    """The reference implementations' ids for the mixed strings; transformers < 5 has the slow BertTokenizer."""
    from transformers import BertTokenizer

    texts = case_strings()
    pieces = sentencepiece.SentencePieceProcessor(
        model_file=str(model / "step_llm" / "step1_chat_tokenizer.model"))
    words = BertTokenizer.from_pretrained(str(model / "hunyuan_clip" / "tokenizer"))
    if words.is_fast:
        raise SystemExit("write_cases needs the slow BertTokenizer: install transformers < 5")
    folder.mkdir(parents=True, exist_ok=True)
    for name, encode in {
        "sentencepiece": lambda text: pieces.encode(text),
        "wordpiece": lambda text: words.encode(text, add_special_tokens=True, truncation=True,
                                               max_length=MAX_CLIP_TOKENS),
    }.items():
        cases = [json.dumps({"text": text, "ids": encode(text)}, ensure_ascii=True) for text in texts]
        body = '{"cases": [\n' + ",\n".join(cases) + "\n]}\n"
        (folder / f"{name}.json").write_text(body, encoding="ascii")


def main() -> None:
    """Write the tokenizers and their cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder to write into")
    parser.add_argument("--cases", type=Path, help="folder for the token-id cases")
    parser.add_argument("--cases-only", action="store_true", help="keep the tokenizers, rewrite the cases")
    arguments = parser.parse_args()
    if not arguments.cases_only:
        lines = corpus(SEED)
        train_sentencepiece(lines, arguments.model / "step_llm" / "step1_chat_tokenizer.model")
        write_wordpiece(lines, arguments.model / "hunyuan_clip" / "tokenizer")
    if arguments.cases:
        write_cases(arguments.model, arguments.cases)


if __name__ == "__main__":
    main()
