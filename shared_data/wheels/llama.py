"""A Llama from a GGUF file to the names and settings of `transformers`, with SmolLM's tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from core.run.files import write_json
from shared_data.wheels.files import FormatError, save
from shared_data.wheels.read_gguf import Gguf, read_gguf


def write_llama(source: Path, *, folder: Path) -> None:
    """A Llama by the names of `transformers`, with its tokenizer and chat template."""
    gguf = read_gguf(source)
    try:
        config, state = _llama_config(gguf), _llama_weights(gguf)
        _llama_tokenizer(gguf).save(str(folder / "tokenizer.json"))
        write_json(folder / "tokenizer_config.json", _tokenizer_config(gguf.settings))
    except KeyError as error:
        raise FormatError(f"{source}: no Llama with a tokenizer, {error} is missing") from error
    write_json(folder / "config.json", config)
    template = gguf.settings.get("tokenizer.chat_template")
    if template:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    save(state, folder, np.float16)


def _llama_config(gguf: Gguf) -> dict[str, Any]:
    if (kind := gguf.settings["general.architecture"]) != "llama":
        raise FormatError(f"a model of the architecture {kind!r}, not 'llama'")
    given = {name.removeprefix("llama."): value for name, value in gguf.settings.items()}
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": given["embedding_length"],
        "intermediate_size": given["feed_forward_length"],
        "num_hidden_layers": given["block_count"],
        "num_attention_heads": given["attention.head_count"],
        "num_key_value_heads": given["attention.head_count_kv"],
        "max_position_embeddings": given["context_length"],
        "rms_norm_eps": round(given["attention.layer_norm_rms_epsilon"], 12),
        "rope_theta": given["rope.freq_base"],
        "vocab_size": len(given["tokenizer.ggml.tokens"]),
        "bos_token_id": given["tokenizer.ggml.bos_token_id"],
        "eos_token_id": given["tokenizer.ggml.eos_token_id"],
        "pad_token_id": given["tokenizer.ggml.padding_token_id"],
        "tie_word_embeddings": "output.weight" not in gguf.tensors,
    }


_LLAMA = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}


def _llama_weights(gguf: Gguf) -> dict[str, np.ndarray]:
    heads = {
        "attn_q": gguf.settings["llama.attention.head_count"],
        "attn_k": gguf.settings["llama.attention.head_count_kv"],
    }
    state = {}
    for name, array in gguf.tensors.items():
        *block, part, ending = name.split(".")
        if part in heads:  # llama.cpp turns pairs of neighbours, transformers the two halves of a head
            array = array.reshape(heads[part], -1, 2, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
        layer = f"model.layers.{block[1]}." if block else ""
        state[f"{layer}{_LLAMA[part]}.{ending}"] = array
    return state


def _llama_tokenizer(gguf: Gguf) -> Tokenizer:
    """Byte-level BPE that takes digits one by one, as SmolLM's does."""
    given = gguf.settings
    if (how := (given["tokenizer.ggml.model"], given["tokenizer.ggml.pre"])) != ("gpt2", "smollm"):
        raise FormatError(f"a tokenizer of the kind {how}; gpt2 with smollm's splits is read")
    words = given["tokenizer.ggml.tokens"]
    merges = [tuple(pair.split(" ")) for pair in given["tokenizer.ggml.merges"]]
    made = Tokenizer(models.BPE(vocab={word: place for place, word in enumerate(words)}, merges=merges))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.decoder = decoders.ByteLevel()
    control = 3
    special = [word for word, kind in zip(words, given["tokenizer.ggml.token_type"]) if kind == control]
    made.add_special_tokens([AddedToken(word, normalized=False, special=True) for word in special])
    return made


def _tokenizer_config(given: Mapping[str, Any]) -> dict[str, Any]:
    words = given["tokenizer.ggml.tokens"]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": given["llama.context_length"],
        "clean_up_tokenization_spaces": False,
        "bos_token": words[given["tokenizer.ggml.bos_token_id"]],
        "eos_token": words[given["tokenizer.ggml.eos_token_id"]],
        "unk_token": words[given["tokenizer.ggml.unknown_token_id"]],
        "pad_token": words[given["tokenizer.ggml.padding_token_id"]],
    }
