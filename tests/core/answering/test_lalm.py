"""Audio-language models of `transformers`: real classes with tiny random weights, opened from folders."""

from __future__ import annotations

import json
import logging
import shutil
import sys
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from core.answering.checkpoint import LalmError, LalmMissingError
from core.answering.families import GraniteMel, qwen2_5_omni_tokens, qwen3_omni_tokens
from core.answering.lalm import Lalm, open_lalm
from core.answering.outputs import Cut
from core.answering.packing import Load, pack, padded_seconds
from core.answering.question import Question
from core.audio.read import AudioErrors, read_audio, write_flac, write_wav
from core.train.finite import NotFiniteError
from tests.core.answering import tiny_lalm

RATE = 16000
WRITERS: dict[str, Callable[[Path], None]] = {
    "qwen2_audio": tiny_lalm.write_tiny_qwen2_audio,
    "audio_flamingo_3": tiny_lalm.write_tiny_audio_flamingo_3,
    "qwen2_5_omni": partial(tiny_lalm.write_tiny_qwen2_5_omni, whole=True),
    "qwen2_5_omni_thinker": tiny_lalm.write_tiny_qwen2_5_omni,
    "qwen3_omni": tiny_lalm.write_tiny_qwen3_omni,
    "granite_speech": tiny_lalm.write_tiny_granite_speech,
    "voxtral": tiny_lalm.write_tiny_voxtral,
}
ONE_AUDIO = ("audio_flamingo_3",)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model, written when first asked for."""
    root, made = tmp_path_factory.mktemp("lalms"), set()

    def folder(name: str) -> Path:
        if name not in made:
            (root / name).mkdir()
            WRITERS[name](root / name)
            made.add(name)
        return root / name

    return folder


@pytest.fixture
def mistral(monkeypatch: pytest.MonkeyPatch) -> None:
    """Voxtral's tokenizer comes in a package of its own: a stand-in for it, under the real processor."""
    plain = transformers.AutoProcessor.from_pretrained

    def from_pretrained(folder: Path, **options: Any) -> Any:
        if json.loads((folder / "config.json").read_text())["model_type"] != "voxtral":
            return plain(folder, **options)
        extractor = transformers.WhisperFeatureExtractor.from_pretrained(folder)
        return transformers.VoxtralProcessor(extractor, tiny_lalm.MistralStandIn())

    monkeypatch.setitem(sys.modules, "mistral_common", types.ModuleType("mistral_common"))
    monkeypatch.setattr(transformers.AutoProcessor, "from_pretrained", from_pretrained)


def sound(seconds: float, *, seed: int = 0, rate: int = RATE) -> np.ndarray:
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * rng.uniform(100, 3000) * times) * (1 + np.sin(2 * np.pi * 3 * times)) / 4
    return (tone + 0.05 * rng.standard_normal(len(times))).astype(np.float32).clip(-1, 1)


def ask(name: str, *seconds: float, prompt: str = "What is heard?", seed: int = 0) -> Question:
    audios = tuple(write_flac(sound(s, seed=seed + i), RATE) for i, s in enumerate(seconds))
    return Question(id=name, prompt=prompt, question=prompt, choices=(), audios=audios)


def questions(*, several: bool) -> list[Question]:
    """Of many lengths, with and without audio; two are of equal length, with other sound."""
    made = [
        ask("short", 0.7),
        ask("long", 7.31, prompt="Which of these sounds comes last? Dog, rain, bell."),
        ask("text", prompt="No sound at all"),
        ask("middle", 2.0, seed=1, prompt="Who speaks?"),
        ask("alike", 2.0, seed=2, prompt="Who speaks?"),
        ask("words", prompt="Still none, but more words than before"),
    ]
    return [*made, ask("two", 1.0, 3.3), ask("two more", 3.3, 1.0)] if several else made


@pytest.mark.parametrize("name", WRITERS)
def test_answers_are_the_same_together_and_one_by_one(
    name: str, folders: Callable[[str], Path], mistral: None
) -> None:
    asked = questions(several=name not in ONE_AUDIO)
    lalm = open_lalm(folders(name), max_new_tokens=6, batch_seconds=1e6)
    together = lalm.answer(asked)
    assert together == [lalm.answer([one])[0] for one in asked]
    assert len(set(together)) >= len(asked) - 1, "outputs do not depend on what is asked"


def test_answers_come_in_the_order_asked_in_batches_of_any_size(folders: Callable[[str], Path]) -> None:
    asked = questions(several=True)
    expected = open_lalm(folders("qwen2_audio"), max_new_tokens=6).answer(asked)
    small = open_lalm(folders("qwen2_audio"), max_new_tokens=6, max_batch=3, batch_seconds=70.0)
    assert small.answer(asked[::-1]) == expected[::-1]


@pytest.mark.parametrize("name", WRITERS)
def test_audio_is_heard_and_bfloat16_works(name: str, folders: Callable[[str], Path], mistral: None) -> None:
    sounds = [ask(f"q{seed}", 1.0, seed=seed) for seed in range(4)]
    assert len(set(open_lalm(folders(name), max_new_tokens=6).answer(sounds))) > 2
    half = open_lalm(folders(name), max_new_tokens=2, dtype=torch.bfloat16)
    assert half.identity["dtype"] == "bfloat16"
    assert all(half.answer([sounds[0], ask("text")]))


@pytest.mark.parametrize("name", ["qwen2_audio", "audio_flamingo_3"])
def test_outputs_are_those_of_the_librarys_own_example(name: str, folders: Callable[[str], Path]) -> None:
    folder = folders(name)
    processor = transformers.AutoProcessor.from_pretrained(folder)
    architecture = json.loads((folder / "config.json").read_text())["architectures"][0]
    model = getattr(transformers, architecture).from_pretrained(folder)
    wave, _ = read_audio(ask("q", 3.0).audios[0], sample_rate=RATE)
    turn = {"role": "user", "content": [{"type": "audio", "audio": wave}, {"type": "text", "text": "What?"}]}
    inputs = processor.apply_chat_template(
        [turn], tokenize=True, add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    plain = {"do_sample": False, "repetition_penalty": 1.0, "max_new_tokens": 12}
    out = model.generate(**inputs, **plain)[0, inputs["input_ids"].shape[1] :]
    expected = processor.tokenizer.decode(out, skip_special_tokens=True).strip()
    assert open_lalm(folder, max_new_tokens=12).answer([ask("q", 3.0, prompt="What?")]) == [expected]


def test_an_answer_ends_at_its_end_token(folders: Callable[[str], Path]) -> None:
    lalm = open_lalm(folders("qwen2_5_omni"), max_new_tokens=8)
    asked = questions(several=True)
    said = lalm.answer(asked)
    end = said[0][3]  # from now on the letter that ends an answer
    lalm._ends = lalm._family.tokenizer(end)["input_ids"]
    lalm._model.generation_config.eos_token_id = lalm._ends
    ended = lalm.answer(asked)
    assert ended == [text.split(end)[0] for text in said]
    # what ended at the limit says so, what ended at its end token does not
    assert all(isinstance(text, Cut) for text in said)
    assert [isinstance(text, Cut) for text in ended] == [end not in text for text in said]


def test_audio_is_resampled_mixed_down_and_may_be_silent(folders: Callable[[str], Path]) -> None:
    lalm = open_lalm(folders("qwen2_audio"), max_new_tokens=8)
    wide = write_wav(sound(2.0, rate=44100), 44100, subtype="FLOAT")
    narrow = write_wav(read_audio(wide, sample_rate=RATE)[0], RATE, subtype="FLOAT")
    silent = write_wav(np.zeros(RATE, np.float32), RATE)
    blank = Question(id="q", prompt="?", question="", choices=(), audios=())
    put = [Question(**{**vars(blank), "audios": (file,)}) for file in (wide, narrow, silent)]
    answers = lalm.answer(put)
    assert answers[0] == answers[1] != answers[2]


def test_an_instruction_is_a_system_message(folders: Callable[[str], Path], mistral: None) -> None:
    for name in ("qwen2_audio", "granite_speech", "voxtral", "qwen2_5_omni"):
        plain, told = (
            open_lalm(folders(name), max_new_tokens=8, instruction=text) for text in (None, "Be brief.")
        )
        assert plain.answer([ask("q", 1.0)]) != told.answer([ask("q", 1.0)])
        assert plain.identity != told.identity


# Long audio, several audios


def test_audio_beyond_the_window_is_refused_before_anything_is_generated(
    folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    lalm = open_lalm(folders("qwen2_audio"), max_new_tokens=4)
    monkeypatch.setattr(lalm, "_generate", lambda inputs: pytest.fail("it generated"))
    with pytest.raises(LalmError, match=r"far: audio of 31\.0 s.*hears 30 s.*longer='crop'"):
        lalm.answer([ask("near", 1.0), ask("far", 31.0)])


def test_crop_hears_the_beginning_and_window_all_parts(
    folders: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder = folders("qwen2_audio")
    whole, _ = read_audio(ask("q", 40.0).audios[0], sample_rate=RATE)
    start, rest = (write_wav(part, RATE) for part in (whole[: 30 * RATE], whole[30 * RATE :]))
    long = Question(id="q", prompt="?", question="", choices=(), audios=(write_wav(whole, RATE),))
    put = {
        name: Question(**{**vars(long), "audios": a})
        for name, a in {"crop": (start,), "window": (start, rest)}.items()
    }
    plain = open_lalm(folder, max_new_tokens=8)
    with caplog.at_level(logging.WARNING):
        for option in ("crop", "window"):
            assert open_lalm(folder, max_new_tokens=8, longer=option).answer([long]) == plain.answer(
                [put[option]]
            )
    assert ["only the first 30 s" in caplog.text, "consecutive parts" in caplog.text] == [True, True]


def test_a_class_that_takes_one_audio_says_so_or_hears_them_joined(folders: Callable[[str], Path]) -> None:
    folder = folders("audio_flamingo_3")
    two = ask("pair", 1.0, 2.0)
    with pytest.raises(LalmError, match=r"pair: 2 audios, but 1 places.*audios='joined'"):
        open_lalm(folder).answer([two])
    parts = [read_audio(file, sample_rate=RATE)[0] for file in two.audios]
    joined = np.concatenate([parts[0], np.zeros(RATE // 2, np.float32), parts[1]])
    one = Question(**{**vars(two), "audios": (write_wav(joined, RATE, subtype="FLOAT"),)})
    lalm = open_lalm(folder, max_new_tokens=8, audios="joined")
    assert lalm.answer([two]) == lalm.answer([one])


def test_audio_flamingo_hears_more_than_one_window(folders: Callable[[str], Path]) -> None:
    lalm = open_lalm(folders("audio_flamingo_3"), max_new_tokens=8)
    late = sound(40.0)
    late[35 * RATE :] = sound(5.0, seed=9)
    put = [
        Question(id="q", prompt="?", question="", choices=(), audios=(write_wav(w, RATE),))
        for w in (sound(40.0), late)
    ]
    first, second = lalm.answer(put)
    assert first != second


# What cannot be asked


@pytest.mark.parametrize(("name", "mark"), [("qwen2_audio", "<|AUDIO|>"), ("granite_speech", "<|audio|>")])
def test_a_prompt_may_not_hold_the_mark_of_audio(
    name: str, mark: str, folders: Callable[[str], Path]
) -> None:
    with pytest.raises(LalmError, match=r"bad: 1 audios, but 2 places.*rephrase"):
        open_lalm(folders(name)).answer([ask("good", 1.0), ask("bad", 1.0, prompt=f"Is {mark} a dog?")])


def test_a_question_beyond_the_models_positions_is_refused_by_name(folders: Callable[[str], Path]) -> None:
    with pytest.raises(LalmError, match=r"wordy: 5\d\d\d tokens .* exceed the 4096"):
        open_lalm(folders("qwen2_audio")).answer([ask("wordy", 1.0, prompt="x" * 5000)])


def test_audio_that_cannot_be_read_is_named_all_at_once(folders: Callable[[str], Path]) -> None:
    broken = [
        Question(id=name, prompt="?", question="", choices=(), audios=(b"no sound",))
        for name in ("one", "two")
    ]
    with pytest.raises(AudioErrors, match=r"(?s)2 of 3 .*one: .*two: "):
        open_lalm(folders("qwen2_audio")).answer([*broken, ask("fine", 1.0)])


def test_no_question_no_answer(folders: Callable[[str], Path]) -> None:
    assert open_lalm(folders("qwen2_audio")).answer([]) == []


# Memory


def test_a_batch_that_does_not_fit_is_halved_and_said(
    folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lalm = open_lalm(folders("qwen2_5_omni"), max_new_tokens=8, batch_seconds=1e6)
    asked, sizes = questions(several=True), []
    expected = lalm.answer(asked)
    generate = lalm._model.generate

    def tight(**inputs: Any) -> Any:
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return generate(**inputs)

    monkeypatch.setattr(lalm._model, "generate", tight)
    with caplog.at_level(logging.WARNING):
        assert lalm.answer(asked) == expected
    assert "do not fit into the memory" in caplog.text
    first = len(sizes)
    assert lalm.answer(asked) == expected
    assert max(sizes[first:]) <= 2, "it forgot what did not fit"


def test_a_question_that_does_not_fit_alone_is_named(
    folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    lalm = open_lalm(folders("qwen2_audio"))

    def full(**inputs: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(lalm._model, "generate", full)
    with pytest.raises(LalmError, match=r"q: 30 s of audio do not fit .* cpu even alone"):
        lalm.answer([ask("q", 1.0)])


def test_other_errors_of_the_model_are_its_own(
    folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    lalm = open_lalm(folders("qwen2_audio"))

    def broken(**inputs: Any) -> Any:
        raise RuntimeError("a kernel failed")

    monkeypatch.setattr(lalm._model, "generate", broken)
    with pytest.raises(RuntimeError, match="a kernel failed"):
        lalm.answer([ask("q", 1.0)])


# Packing


def test_packing_keeps_every_question_once_within_its_limits() -> None:
    rng = np.random.default_rng(0)
    loads = [Load(seconds=float(s), length=1.0, alike=int(s) % 3) for s in rng.uniform(0, 60, size=200)]
    batches = pack(loads, seconds=120.0, most=7)
    assert sorted(i for batch in batches for i in batch) == list(range(200))
    for batch in batches:
        assert len({loads[i].alike for i in batch}) == 1
        assert len(batch) <= 7
        assert padded_seconds(batch, loads) <= 120.0
    longest = [loads[batch[0]].seconds for batch in batches]
    assert longest == sorted(longest, reverse=True)
    waste = sum(padded_seconds(batch, loads) for batch in batches) / sum(load.seconds for load in loads)
    assert waste < 1.2


def test_what_is_longer_than_a_batch_is_alone() -> None:
    loads = [Load(seconds=s, length=s, alike=None) for s in (500.0, 1.0, 2.0, 0.0)]
    assert pack(loads, seconds=100.0, most=8) == [[0], [2, 1, 3]]


def test_audio_of_similar_length_shares_a_batch_where_all_is_padded_alike() -> None:
    loads = [Load(seconds=30.0, length=float(s), alike=None) for s in (3, 29, 4, 28)]
    assert pack(loads, seconds=60.0, most=8) == [[1, 3], [2, 0]]


# Folders


def test_identity_is_the_folders_content_and_the_options(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    tiny_lalm.write_tiny_qwen2_audio(tmp_path)
    same = open_lalm(folders("qwen2_audio")).identity
    assert open_lalm(tmp_path, batch_seconds=7.0, max_batch=1).identity == same
    assert same["class"] == "Qwen2AudioForConditionalGeneration"
    seen = [same, open_lalm(tmp_path, max_new_tokens=5).identity, open_lalm(tmp_path, longer="crop").identity]
    template = tmp_path / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    seen.append(open_lalm(tmp_path).identity)
    weights = tmp_path / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    seen.append(open_lalm(tmp_path).identity)
    assert len({json.dumps(dict(each)) for each in seen}) == len(seen)
    assert seen[3]["weights"] == same["weights"] != seen[4]["weights"]


def test_the_revision_is_read_from_what_a_download_leaves(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0a1b"
    snapshot.mkdir(parents=True)
    tiny_lalm.write_tiny_qwen2_audio(snapshot)
    assert open_lalm(snapshot).identity["revision"] == "0a1b"
    notes = snapshot / ".cache" / "huggingface" / "download"
    notes.mkdir(parents=True)
    (notes / "config.json.metadata").write_text("c0ffee\netag\n1.0\n")
    assert open_lalm(snapshot).identity["revision"] == "c0ffee"


def test_missing_files_and_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(LalmMissingError, match=r"no config\.json"):
        open_lalm(tmp_path)
    tiny_lalm.write_tiny_qwen2_audio(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "elsewhere")
    with pytest.raises(LalmMissingError, match="its weights cannot be read"):
        open_lalm(tmp_path)
    from safetensors.torch import load_file, save_file

    kept = load_file(tmp_path / "elsewhere")
    lost = kept.pop(next(key for key in kept if "q_proj.weight" in key))
    assert lost.numel()
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(LalmError, match="lack 1 weights of Qwen2AudioForConditionalGeneration"):
        open_lalm(tmp_path)


def test_what_is_no_audio_language_model_is_said(tmp_path: Path, folders: Callable[[str], Path]) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "no_such_model"}')
    with pytest.raises(LalmError, match=r"cannot read its config\.json"):
        open_lalm(tmp_path)
    config = json.loads((folders("qwen2_audio") / "config.json").read_text())
    for path in folders("qwen2_audio").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": ["NoSuchModel"]}))
    with pytest.raises(LalmError, match=r"architecture 'NoSuchModel'.*update transformers"):
        open_lalm(tmp_path)


def test_a_language_model_without_ears_is_refused(tmp_path: Path) -> None:
    words = {**tiny_lalm.WORDS, "vocab_size": 300}
    transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**words)).save_pretrained(tmp_path)
    tiny_lalm.byte_tokenizer(("<s>", "</s>", "<pad>")).save_pretrained(tmp_path)
    with pytest.raises(LalmError, match=r"no audio-language model|no processor"):
        open_lalm(tmp_path)


@pytest.mark.parametrize(
    "option", [{"max_new_tokens": 0}, {"batch_seconds": 0.0}, {"longer": "cut"}, {"audios": "x"}]
)
def test_wrong_options_are_refused(option: dict[str, Any], folders: Callable[[str], Path]) -> None:
    with pytest.raises(LalmError):
        open_lalm(folders("qwen2_audio"), **option)


def test_voxtral_without_its_tokenizers_package_says_what_to_install(
    folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mistral_common", None)
    with pytest.raises(LalmError, match=r"pip install mistral-common"):
        open_lalm(folders("voxtral"))


# Front ends of our own


def test_omni_features_are_those_of_a_whole_padded_window(folders: Callable[[str], Path]) -> None:
    lalm = open_lalm(folders("qwen2_5_omni"))
    extractor = transformers.WhisperFeatureExtractor.from_pretrained(folders("qwen2_5_omni"))
    assert extractor.chunk_length == 300
    extractor.n_samples = 20 * RATE  # of 300 s, to be quick: zeros all the same
    waves = [sound(seconds, seed=i) for i, seconds in enumerate((3.01, 0.5, 1.2345))]
    made = extractor(
        waves, sampling_rate=RATE, padding="max_length", return_attention_mask=True, return_tensors="pt"
    )
    heard = [_heard(f"{i}", wave) for i, wave in enumerate(waves)]
    inputs = lalm._family.inputs(heard)
    frames = made["attention_mask"].sum(-1).tolist()
    assert inputs["feature_attention_mask"].sum(-1).tolist() == frames
    for ours, theirs, count in zip(inputs["input_features"], made["input_features"], frames):
        torch.testing.assert_close(ours[:, :count], theirs[:, :count], rtol=0, atol=1e-5)


def test_omni_counts_of_marks_are_those_of_the_encoders(folders: Callable[[str], Path]) -> None:
    from transformers.models.qwen3_omni_moe import modeling_qwen3_omni_moe as third

    tower = open_lalm(folders("qwen2_5_omni"))._model.model.audio_tower
    for frames in range(2, 1500):
        assert qwen2_5_omni_tokens(frames) == tower._get_feat_extract_output_lengths(frames)[1]
        assert qwen3_omni_tokens(frames) == third._get_feat_extract_output_lengths(frames)


def test_granites_mel_is_its_definition_in_numpy() -> None:
    wave = sound(0.3)
    ours = GraniteMel(sample_rate=RATE, n_fft=512, win_length=400, hop_length=160, n_mels=20)([wave])[0]
    window = np.zeros(512)
    window[56:456] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    padded = np.pad(wave.astype(np.float64), 256, mode="reflect")
    frames = np.stack([padded[at : at + 512] * window for at in range(0, len(wave) + 1, 160)])
    power = np.abs(np.fft.rfft(frames)) ** 2
    mels = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 22)
    edges = 700 * (10 ** (mels / 2595) - 1)
    bands = np.zeros((257, 20))
    for band, (low, mid, high) in enumerate(zip(edges, edges[1:], edges[2:])):
        for k, hertz in enumerate(np.linspace(0, 8000, 257)):
            bands[k, band] = max(0.0, min((hertz - low) / (mid - low), (high - hertz) / (high - mid)))
    logs = np.log10(np.maximum(power @ bands, 1e-10))
    scaled = np.maximum(logs, logs.max() - 8) / 4 + 1
    even = scaled[: len(scaled) // 2 * 2].reshape(-1, 40)
    assert len(scaled) % 2 == 1  # the odd frame is dropped
    np.testing.assert_allclose(ours.numpy(), even, atol=1e-5)


def test_granites_adapter_is_needed_and_used(folders: Callable[[str], Path], tmp_path: Path) -> None:
    for path in folders("granite_speech").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    from safetensors.torch import load_file, save_file

    asked = [ask("heard", 2.0), ask("text", prompt="Words alone, without sound")]
    with_adapter = open_lalm(tmp_path, max_new_tokens=8).answer(asked)
    adapter = tmp_path / "adapter_model.safetensors"
    save_file(
        {key: 3 * value for key, value in load_file(adapter).items()}, adapter, metadata={"format": "pt"}
    )
    other = open_lalm(tmp_path, max_new_tokens=8).answer(asked)
    assert other[0] != with_adapter[0]
    assert other[1] == with_adapter[1], "the adapter is for audio only"
    (tmp_path / "adapter_config.json").unlink()
    with pytest.raises(LalmMissingError, match=r"adapter_config\.json.*cannot hear"):
        open_lalm(tmp_path)


def _heard(name: str, wave: np.ndarray) -> Any:
    from core.answering.conversation import Heard

    return Heard(id=name, prompt="?", waveforms=(wave,))


def test_answer_is_an_answering_function(folders: Callable[[str], Path]) -> None:
    from core.answering.question import Answer

    answer: Answer = open_lalm(folders("qwen2_audio"), max_new_tokens=1).answer
    assert isinstance(answer.__self__, Lalm)  # type: ignore[attr-defined]


def test_nan_is_an_error_that_names_the_items_and_never_an_answer(folders: Callable[[str], Path]) -> None:
    model = open_lalm(folders("qwen2_audio"), device="cpu", max_new_tokens=3)
    with torch.no_grad():
        model._model.get_output_embeddings().weight.fill_(float("nan"))
    audios = (write_wav(sound(1.0), RATE),)
    asked = [
        Question(id=id, prompt="What?", question="What?", choices=(), audios=audios) for id in ("a", "b")
    ]
    with pytest.raises(NotFiniteError, match="not finite"):
        model.answer(asked)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"), (b"<html>Sign in", "a web page")],
)
def test_what_lies_in_place_of_weights_is_told(
    folders: Callable[[str], Path], tmp_path: Path, content: bytes, message: str
) -> None:
    shutil.copytree(folders("qwen2_audio"), tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(LalmError, match=message):
        open_lalm(tmp_path, device="cpu")
