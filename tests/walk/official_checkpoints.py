"""Checkpoints of profile `paper`, tiny: the formats, file names and keys of the public ones, random weights.

What tells a Hub download (revision and checksum of each file) is written as `hf download --local-dir` does.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from core.data.card import CheckpointCard
from core.data.cards import CHECKPOINTS
from core.data.cards_exams import EXAM_CHECKPOINTS
from core.encoders.clap import AudioTower, TextTower, build_clap
from tests.core.answering import tiny_lalm

WORDS = (
    "a the dog cat bird barks meows rain water music speech man woman said in way clip of and then followed "
    "by while is heard what sound number version makes infer reason deduce place because car caption write "
    "an audio describing close ended question instruction response ### According to you are allowed to use "
    "or partially use the following tags this"
)
# The shapes of CompA's towers in conf/walk.yaml, whose checkpoints these must fit.
AUDIO = AudioTower(patch_embeds_hidden_size=16, depths=(1, 1, 1, 1), num_attention_heads=(1, 2, 2, 2))
TEXT = TextTower(vocab_size=500, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2)


def laion_clap(folder: Path) -> None:
    audio = {
        "hidden_size": 64,
        "patch_embeds_hidden_size": 8,
        "depths": [1, 1, 1, 1],
        "num_attention_heads": [1, 2, 2, 2],
        "enable_fusion": True,
        "fusion_type": "aff_2d",
        "enable_patch_fusion": True,
        "num_hidden_layers": 4,
    }
    text = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    text |= {"vocab_size": 400, "max_position_embeddings": 514}
    config = transformers.ClapConfig(audio_config=audio, text_config=text, projection_dim=32)
    transformers.ClapModel(config).save_pretrained(folder)
    words = _bytes(["<s>", "<pad>", "</s>", "<unk>", "<mask>"], size=400)
    words.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    words.save(str(folder / "tokenizer.json"))


def htsat(folder: Path) -> None:
    """As its authors saved it, through Lightning: their names, and one `qkv` matrix."""
    folder.mkdir(parents=True, exist_ok=True)
    tower = build_clap(audio=AUDIO, text=TEXT).audio
    state: dict[str, torch.Tensor] = {}
    for key, value in tower.state_dict().items():
        if "fusion_model" in key or "mel_conv2d" in key:
            continue  # the published tower hears no more than ten seconds
        key = key.removeprefix("audio_encoder.").replace("batch_norm.", "bn0.")
        key = key.replace(".attention.output.dense.", ".attn.proj.").replace(".attention.self.", ".attn.")
        key = key.replace(".intermediate.dense.", ".mlp.fc1.")
        key = re.sub(r"(blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2.", key)
        state[key.replace(".layernorm_before.", ".norm1.").replace(".layernorm_after.", ".norm2.")] = value
    for key in [key for key in state if ".attn.query." in key]:
        parts = [state.pop(key.replace("query", part)) for part in ("query", "key", "value")]
        state[key.replace("query", "qkv")] = torch.cat(parts)
    state |= {
        "spectrogram_extractor.stft.conv_real.weight": torch.zeros(513, 1, 1024),
        "spectrogram_extractor.stft.conv_imag.weight": torch.zeros(513, 1, 1024),
        "logmel_extractor.melW": torch.zeros(513, 64),
        "tscam_conv.weight": torch.zeros(527, AUDIO.width, 2, 3),
        "tscam_conv.bias": torch.zeros(527),
        "head.weight": torch.zeros(527, 527),
        "head.bias": torch.zeros(527),
        "layers.0.blocks.0.attn_mask": torch.zeros(64, 64, 64),
    }
    lightning = {"epoch": 0, "global_step": 10, "pytorch-lightning_version": "1.5.9", "optimizer_states": []}
    weights = {f"sed_model.{key}": value for key, value in state.items()}
    torch.save({**lightning, "state_dict": weights}, folder / "HTSAT_AudioSet_Saved_1.ckpt")


def flan_t5(folder: Path) -> None:
    fields = ("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_heads")
    config = transformers.T5Config(
        **{name: getattr(TEXT, name) for name in fields},
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=0,
    )
    transformers.T5ForConditionalGeneration(config).save_pretrained(folder)
    words = Tokenizer(models.Unigram())
    words.normalizer, words.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    words.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        initial_alphabet=list("abcdefghijklmnopqrstuvwxyz0123456789,.:;'-"),
        show_progress=False,
    )
    words.train_from_iterator([WORDS] * 50, trainer)
    words.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    words.save(str(folder / "tokenizer.json"))


def ast(folder: Path) -> None:
    names = [f"Label {i}" for i in range(527)]
    config = transformers.ASTConfig(
        hidden_size=24,
        num_hidden_layers=12,
        num_attention_heads=2,
        intermediate_size=48,
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
    )
    transformers.ASTForAudioClassification(config).save_pretrained(folder)
    transformers.ASTFeatureExtractor().save_pretrained(folder)


def llama(folder: Path) -> None:
    """Half precision in two shards with their index, as the original lies on the Hub."""
    config = transformers.LlamaConfig(
        vocab_size=400,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=4096,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=None,
    )
    model = transformers.LlamaForCausalLM(config).to(torch.float16)
    model.save_pretrained(folder, max_shard_size="70KB")
    words = _bytes(["<unk>", "<s>", "</s>"], size=380)
    special = [("<s>", 1)]
    words.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=special
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)


def bert(folder: Path) -> None:
    _with_words(folder, transformers.BertForPreTraining, transformers.BertConfig, layers=4)


def mpnet(folder: Path) -> None:
    _with_words(folder, transformers.MPNetModel, transformers.MPNetConfig, layers=2)


def whisper(folder: Path) -> None:
    config = transformers.WhisperConfig(
        vocab_size=60,
        d_model=16,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        pad_token_id=1,
        bos_token_id=1,
        eos_token_id=1,
        decoder_start_token_id=2,
    )
    transformers.WhisperForConditionalGeneration(config).save_pretrained(folder)
    transformers.WhisperFeatureExtractor().save_pretrained(folder)


MAKERS: Mapping[str, Callable[[Path], object]] = {
    "laion/clap-htsat-fused": laion_clap,
    "htsat-audioset": htsat,
    "google/flan-t5-large": flan_t5,
    "MIT/ast-finetuned-audioset-10-10-0.4593": ast,
    "meta-llama/Llama-2-7b-hf": llama,
    "google-bert/bert-base-uncased": bert,
    "sentence-transformers/all-mpnet-base-v2": mpnet,
    "openai/whisper-large-v2": whisper,
    "Qwen/Qwen2-Audio-7B": tiny_lalm.write_tiny_qwen2_audio,
    "Qwen/Qwen2-Audio-7B-Instruct": tiny_lalm.write_tiny_qwen2_audio,
    "Qwen/Qwen2.5-Omni-7B": tiny_lalm.write_tiny_qwen2_5_omni,
    "nvidia/audio-flamingo-3-hf": tiny_lalm.write_tiny_audio_flamingo_3,
}


def make_checkpoints(root: Path) -> None:
    """Write all of them into their cards' folders below `root`."""
    cards: Mapping[str, CheckpointCard] = {**CHECKPOINTS, **EXAM_CHECKPOINTS}
    for name, make in MAKERS.items():
        torch.manual_seed(0)
        make(root / cards[name].folder)
        if "/" in name:
            _note(root / cards[name].folder, cards[name].revision)


def _note(folder: Path, revision: str) -> None:
    """Of each file the Hub's revision and checksum: Git's of small ones, SHA-256 of weights."""
    notes = folder / ".cache" / "huggingface" / "download"
    notes.mkdir(parents=True)
    for path in folder.iterdir():
        if not path.is_file():
            continue
        content = path.read_bytes()
        large = path.suffix in (".safetensors", ".bin", ".model")
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        etag = hashlib.sha256(content).hexdigest() if large else git
        (notes / f"{path.name}.metadata").write_text(f"{revision}\n{etag}\n{time.time()}\n")


def _bytes(special: list[str], *, size: int) -> Tokenizer:
    words = Tokenizer(models.BPE(unk_token=None))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator([WORDS] * 50, trainer)
    return words


def _with_words(folder: Path, model: Any, config: Any, *, layers: int) -> None:
    words = _word_pieces()
    sizes = {"hidden_size": 24, "num_attention_heads": 2, "intermediate_size": 48}
    model(config(vocab_size=len(words), num_hidden_layers=layers, **sizes)).save_pretrained(folder)
    words.save_pretrained(folder)


def _word_pieces() -> transformers.PreTrainedTokenizerFast:
    words = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    words.normalizer, words.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=marks, show_progress=False)
    words.train_from_iterator([WORDS] * 50, trainer)
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    words.decoder = decoders.WordPiece()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=512,
    )
