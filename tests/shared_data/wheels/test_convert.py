"""Converters: a tiny model of each kind, written in the wheel's format, answers as it did before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from core.audio_lm.model import load_language_model
from core.encoders.whisper import load_whisper, read_whisper_mel
from core.encoders.yamnet import LAYERS, Yamnet, load_yamnet
from shared_data.wheels.convert import write_llama, write_whisper, write_yamnet
from shared_data.wheels.files import FormatError
from tests.shared_data.wheels.written import F32, Q8_0, write_ctranslate2, write_gguf, write_onnx

WORDS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *"abcdefgh", "Ġ", "ab", "Ġab", *"0123456789"]


def randomised(model: torch.nn.Module, *, scale: float = 0.3) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * scale)


def llama_settings(**more: object) -> dict[str, object]:
    return {
        "general.architecture": "llama",
        "llama.block_count": 2,
        "llama.context_length": 64,
        "llama.embedding_length": 32,
        "llama.feed_forward_length": 64,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "llama.rope.freq_base": 5000.0,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": WORDS,
        "tokenizer.ggml.token_type": [3, 3, 3, *[1] * (len(WORDS) - 3)],
        "tokenizer.ggml.merges": ["a b", "Ġ ab"],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.padding_token_id": 2,
        "tokenizer.chat_template": "{{ messages[0]['content'] }}",
        **more,
    }


def test_a_llama_from_gguf_answers_as_before(tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(WORDS), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 5000.0}, tie_word_embeddings=True,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    randomised(model)
    names = {
        "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    }  # fmt: skip
    tensors = {}
    for name, value in model.model.state_dict().items():
        array = value.numpy()
        for ours, heads in (("q_proj", 4), ("k_proj", 2)):
            if ours in name:  # as llama.cpp's convert_hf_to_gguf permutes
                array = array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
        for ours, theirs in names.items():
            name = name.replace(f"layers.0.{ours}", f"blk.0.{theirs}").replace(
                f"layers.1.{ours}", f"blk.1.{theirs}"
            )
        name = name.replace("embed_tokens", "token_embd")
        tensors["output_norm.weight" if name == "norm.weight" else name] = (array, F32)
    write_gguf(tmp_path / "a.gguf", llama_settings(), tensors)
    (tmp_path / "made").mkdir()
    write_llama(tmp_path / "a.gguf", folder=tmp_path / "made")
    made, tokenizer = load_language_model(tmp_path / "made")
    ids = torch.tensor([[3, 4, 5, 12, 7, 2, 1]])
    with torch.no_grad():
        wanted, found = model(ids).logits, made.eval()(ids).logits[..., : len(WORDS)]
    torch.testing.assert_close(found, wanted, atol=0.02, rtol=0.02)  # half precision
    assert made.config.rope_parameters["rope_theta"] == 5000.0
    assert tokenizer.tokenize("<|im_start|>ab ab12") == ["<|im_start|>", "ab", "Ġab", "1", "2"]
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|im_end|>")
    assert tokenizer.apply_chat_template([{"role": "user", "content": "abc"}], tokenize=False) == "abc"


def test_another_tokenizer_or_a_lost_setting_is_told(tmp_path: Path) -> None:
    grid = np.ones((2, 32), np.float32)
    write_gguf(
        tmp_path / "a.gguf",
        llama_settings(**{"tokenizer.ggml.pre": "qwen2"}),
        {"output_norm.weight": (grid, Q8_0)},
    )
    with pytest.raises(FormatError, match="smollm's splits is read"):
        write_llama(tmp_path / "a.gguf", folder=tmp_path)
    settings = llama_settings()
    del settings["llama.block_count"]
    write_gguf(tmp_path / "a.gguf", settings, {"output_norm.weight": (grid, Q8_0)})
    with pytest.raises(FormatError, match="block_count"):
        write_llama(tmp_path / "a.gguf", folder=tmp_path)


def whisper_arrays() -> tuple[torch.nn.Module, dict[str, np.ndarray]]:
    """A tiny Whisper of `transformers`, and its weights by CTranslate2's names."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=1700, d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, num_mel_bins=8,
        max_source_positions=100, max_target_positions=20, pad_token_id=0, bos_token_id=0, eos_token_id=0,
        decoder_start_token_id=1,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config).eval()
    randomised(model)
    state = {name.removeprefix("model."): value.numpy() for name, value in model.state_dict().items()}
    arrays: dict[str, np.ndarray] = {"encoder/num_heads": np.array(2, np.int16)}

    def copy(theirs: str, ours: str, weight: str = "weight", bias: str = "bias") -> None:
        arrays[f"{theirs}/{weight}"], arrays[f"{theirs}/{bias}"] = (
            state[f"{ours}.weight"],
            state[f"{ours}.bias"],
        )

    def joined(theirs: str, ours: str, *parts: str) -> None:
        width = len(state[f"{ours}.q_proj.bias"])
        biases = [state.get(f"{ours}.{part}_proj.bias", np.zeros(width, np.float32)) for part in parts]
        arrays[f"{theirs}/weight"] = np.concatenate([state[f"{ours}.{part}_proj.weight"] for part in parts])
        arrays[f"{theirs}/bias"] = np.concatenate(biases)

    for side in ("encoder", "decoder"):
        for place in range(2):
            theirs, ours = f"{side}/layer_{place}", f"{side}.layers.{place}"
            copy(f"{theirs}/self_attention/layer_norm", f"{ours}.self_attn_layer_norm", "gamma", "beta")
            joined(f"{theirs}/self_attention/linear_0", f"{ours}.self_attn", "q", "k", "v")
            copy(f"{theirs}/self_attention/linear_1", f"{ours}.self_attn.out_proj")
            if side == "decoder":
                copy(f"{theirs}/attention/layer_norm", f"{ours}.encoder_attn_layer_norm", "gamma", "beta")
                joined(f"{theirs}/attention/linear_0", f"{ours}.encoder_attn", "q")
                joined(f"{theirs}/attention/linear_1", f"{ours}.encoder_attn", "k", "v")
                copy(f"{theirs}/attention/linear_2", f"{ours}.encoder_attn.out_proj")
            copy(f"{theirs}/ffn/layer_norm", f"{ours}.final_layer_norm", "gamma", "beta")
            copy(f"{theirs}/ffn/linear_0", f"{ours}.fc1")
            copy(f"{theirs}/ffn/linear_1", f"{ours}.fc2")
        copy(f"{side}/layer_norm", f"{side}.layer_norm", "gamma", "beta")
        arrays[f"{side}/position_encodings/encodings"] = state[f"{side}.embed_positions.weight"]
    copy("encoder/conv1", "encoder.conv1")
    copy("encoder/conv2", "encoder.conv2")
    arrays["decoder/embeddings/weight"] = state["decoder.embed_tokens.weight"]
    return model, {name: array.copy() for name, array in arrays.items()}


def test_a_whisper_from_ctranslate2_hears_and_writes_as_before(tmp_path: Path) -> None:
    from transformers import WhisperForConditionalGeneration

    model, arrays = whisper_arrays()
    write_ctranslate2(
        tmp_path / "model.bin", arrays, aliases={"decoder/projection/weight": "decoder/embeddings/weight"}
    )
    write_whisper(tmp_path / "model.bin", folder=tmp_path)
    mels, said = torch.randn(2, 8, 200), torch.tensor([[1, 5, 9], [1, 3, 4]])
    made, told = WhisperForConditionalGeneration.from_pretrained(
        tmp_path, dtype=torch.float32, output_loading_info=True
    )
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    with torch.no_grad():
        wanted = model(mels, decoder_input_ids=said)
        found = made.eval()(mels, decoder_input_ids=said)
        heard = load_whisper(tmp_path)(mels)
    torch.testing.assert_close(found.logits, wanted.logits, atol=0.05, rtol=0.02)
    torch.testing.assert_close(heard, wanted.encoder_last_hidden_state, atol=0.02, rtol=0.02)
    assert read_whisper_mel(tmp_path).max_samples == 2 * 16000


def test_a_whisper_in_whole_numbers_or_with_a_weight_lost_is_told(tmp_path: Path) -> None:
    _, arrays = whisper_arrays()
    whole = arrays | {"encoder/conv1/weight": np.zeros((16, 8, 3), np.int8)}
    write_ctranslate2(tmp_path / "model.bin", whole, aliases={})
    with pytest.raises(FormatError, match="in whole numbers"):
        write_whisper(tmp_path / "model.bin", folder=tmp_path)
    del arrays["encoder/layer_1/ffn/linear_0/bias"]
    write_ctranslate2(tmp_path / "model.bin", arrays, aliases={})
    with pytest.raises(FormatError, match="encoder/layer_1/ffn/linear_0/bias"):
        write_whisper(tmp_path / "model.bin", folder=tmp_path)


def yamnet_files(folder: Path, model: Yamnet, *, labels: int) -> None:
    """model.onnx with each weight behind a rounding, as the wheel has it, and the list of classes."""
    arrays, nodes, before = {}, [], "audio"
    convolutions = [c for layer in model.layers for c in (layer.first, layer.second) if c is not None]
    for place, conv in enumerate(convolutions):
        arrays[f"w{place}"], arrays[f"b{place}"] = conv.weight.detach().numpy(), conv.bias.detach().numpy()
        arrays[f"zero{place}"] = np.zeros(3, np.int8)
        nodes += [
            ("QuantizeLinear", [f"w{place}", f"zero{place}"], [f"w{place}_q"]),
            ("DequantizeLinear", [f"w{place}_q", f"zero{place}"], [f"w{place}_qdq"]),
            ("Conv", [before, f"w{place}_qdq", f"b{place}"], [f"y{place}"]),
        ]
        before = f"y{place}"
    arrays["w"], arrays["b"] = (
        model.classifier.weight.detach().numpy(),
        model.classifier.bias.detach().numpy(),
    )
    nodes.append(("Gemm", [before, "w", "b"], ["scores"]))
    write_onnx(folder / "model.onnx", nodes, arrays)
    rows = [f'{place},/m/{place},"Sound, {place}"' for place in range(labels)]
    (folder / "classes.csv").write_text("\n".join(["index,mid,display_name", *rows]) + "\n")


def test_a_yamnet_from_onnx_hears_as_before(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Yamnet(["a", "b", "c"], taps=(14, 5), width=2).eval()
    assert len(model.layers) == len(LAYERS)
    yamnet_files(tmp_path, model, labels=3)
    write_yamnet(tmp_path / "model.onnx", tmp_path / "classes.csv", folder=tmp_path)
    made = load_yamnet(tmp_path, taps=(14, 5))
    assert made.labels == ("Sound, 0", "Sound, 1", "Sound, 2")
    patches = torch.randn(2, 96, 64)
    with torch.no_grad():
        for wanted, found in zip(model(patches), made(patches)):
            torch.testing.assert_close(found, wanted)


def test_a_graph_without_yamnet_or_with_other_classes_is_told(tmp_path: Path) -> None:
    yamnet_files(tmp_path, Yamnet(["a", "b"], taps=(14,), width=1), labels=3)
    with pytest.raises(FormatError, match="3 classes for 2 outputs"):
        write_yamnet(tmp_path / "model.onnx", tmp_path / "classes.csv", folder=tmp_path)
    write_onnx(tmp_path / "model.onnx", [("Conv", ["x", "w"], ["y"])], {})
    with pytest.raises(FormatError, match="weights are not found"):
        write_yamnet(tmp_path / "model.onnx", tmp_path / "classes.csv", folder=tmp_path)
