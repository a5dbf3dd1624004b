"""Prompts to token ids, as the model's two text encoders expect them, and the captions that training draws from."""

from __future__ import annotations

import random
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import sentencepiece
import torch
from numpy.typing import NDArray
from tokenizers import BertWordPieceTokenizer
from torch import Tensor

from captions import caption
from scene import Scene

LLM_TOKENS = 320
CLIP_TOKENS = 77
BEGIN, END = 1, 2


class PromptTokenizer:
    """Both tokenizers of a checkpoint folder."""

    def __init__(self, model: Path) -> None:
        self.pieces = sentencepiece.SentencePieceProcessor(
            model_file=str(model / "step_llm" / "step1_chat_tokenizer.model"))
        self.words = BertWordPieceTokenizer(str(model / "hunyuan_clip" / "tokenizer" / "vocab.txt"), lowercase=True)
        self.words.enable_truncation(CLIP_TOKENS)

    def llm_ids(self, text: str) -> list[int]:
        """[begin] + ids + [end], not padded."""
        return [BEGIN, *self.pieces.encode(text)[:LLM_TOKENS - 2], END]

    def clip_ids(self, text: str) -> list[int]:
        """[CLS] + ids + [SEP], not padded."""
        return self.words.encode(text).ids

    def batch(self, texts: list[str], llm_tokens: int = LLM_TOKENS) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """llm ids (n, llm_tokens), llm lengths (n,), clip ids (n, 77), clip lengths (n,)."""
        llm = [self.llm_ids(text) for text in texts]
        clip = [self.clip_ids(text) for text in texts]
        if max(map(len, llm)) > llm_tokens:
            raise ValueError(f"a caption has {max(map(len, llm))} tokens but the batch is {llm_tokens} wide")
        return (torch.tensor([ids + [END] * (llm_tokens - len(ids)) for ids in llm], dtype=torch.int16),
                torch.tensor([len(ids) for ids in llm], dtype=torch.int16),
                torch.tensor([ids + [0] * (CLIP_TOKENS - len(ids)) for ids in clip], dtype=torch.int16),
                torch.tensor([len(ids) for ids in clip], dtype=torch.int16))


_worker: PromptTokenizer | None = None


def _start(model: Path) -> None:
    global _worker
    _worker = PromptTokenizer(model)


def _captions(job: tuple[Scene, int, int, int]) -> list[NDArray[np.int16]]:
    scene, count, llm_tokens, seed = job
    rng = random.Random(seed)
    texts: list[str] = []
    while len(texts) < count:
        text = caption(scene, "en" if len(texts) % 2 else "zh", rng)
        if len(_worker.llm_ids(text)) <= llm_tokens:
            texts.append(text)
    return [part.numpy() for part in _worker.batch(texts, llm_tokens)]


def caption_pool(model: Path, scenes: list[Scene], count: int, llm_tokens: int, seed: int,
                 processes: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`count` captions of each scene, half of them Chinese: tensors as `batch`, led by (scenes, count)."""
    jobs = [(scene, count, llm_tokens, seed * 100003 + index) for index, scene in enumerate(scenes)]
    with get_context("spawn").Pool(processes, _start, (model,)) as pool:
        parts = pool.map(_captions, jobs, chunksize=8)
    return tuple(torch.from_numpy(np.stack(column)) for column in zip(*parts))
