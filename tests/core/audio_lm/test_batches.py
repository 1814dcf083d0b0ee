"""Batches of instructions: draws that a seed repeats, shares of processes, hints, errors before training."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from core.adapters.prefix_lm import IGNORED, AudioPrefixLM, ContextTooLong, encode_texts, text_lengths
from core.audio_lm.batches import Hints, Mix, MixError, check_lengths, instruction_batches, prompts, read_mix
from core.audio_lm.features import Store, open_store
from core.audio_lm.model import load_language_model
from core.audio_lm.turns import alpaca as form
from core.audio_lm.turns import asked, turns_of
from core.data.instructions import Instruction, InstructionError, alpaca, write_instructions

LABELS = ("dog_bark", "rain", "siren", "church_bell")


def item(audio: str, task: str = "t", output: str = "A dog.") -> Instruction:
    return Instruction(audio_id=audio, instruction="What is heard?", output=output, task=task)


MIX = Mix(
    (
        tuple(item(f"scenes:sc{i}", "small") for i in range(2)),
        tuple(item(f"scenes:sc{i % 6}", f"large{i}") for i in range(60)),
    ),
    (3.0, 1.0),
)


@pytest.fixture
def store(fresh: Path) -> Store:
    folder = fresh / "projects" / "gama" / "data" / "mini" / "features" / "train"
    return open_store(folder, ("scenes",), ("ast", "listener", "tags"))


@pytest.fixture
def tokenizer(fresh: Path) -> Any:
    return load_language_model(fresh / "shared_data" / "foundations" / "mini" / "language_model")[1]


def batches(store: Store, tokenizer: Any, *, step: int = 0, **how: Any) -> Any:
    options: dict[str, Any] = {
        "branches": ("ast_linear",),
        "batch_size": 4,
        "max_tokens": 100,
        "loss_on": "answer",
        "hints": None,
        "labels": LABELS,
        "seed": 5,
    }
    return instruction_batches(MIX, store, tokenizer, **(options | how))(step)


def test_draws_are_a_function_of_seed_and_step() -> None:
    drawn = [MIX.draw(seed=0, step=step, n=8) for step in range(5)]
    assert drawn == [MIX.draw(seed=0, step=step, n=8) for step in range(5)]
    assert len({tuple(each) for each in drawn}) == 5
    assert drawn[0] != MIX.draw(seed=1, step=0, n=8)


def test_processes_share_a_step_between_them() -> None:
    whole = MIX.draw(seed=0, step=3, n=12)
    parts = [MIX.draw(seed=0, step=3, n=12, rank=rank, world=3) for rank in range(3)]
    assert list(itertools.chain(*parts)) == whole
    assert {len(part) for part in parts} == {4}
    with pytest.raises(MixError, match="multiple of 5"):
        MIX.draw(seed=0, step=3, n=12, rank=0, world=5)


def test_files_come_by_weight_and_items_alike() -> None:
    assert MIX.size == 62
    drawn = [one.task for step in range(40) for one in MIX.draw(seed=0, step=step, n=100)]
    assert drawn.count("small") / len(drawn) == pytest.approx(0.75, abs=0.03)
    large = Counter(task for task in drawn if task != "small")
    assert len(large) == 60
    assert max(large.values()) < 3 * len(drawn) / 4 / 60


def test_an_epoch_has_every_item_as_often_as_its_weight_says() -> None:
    files = (tuple(item("a", f"a{i}") for i in range(5)), tuple(item("b", f"b{i}") for i in range(7)))
    mix = Mix(files, (1.0, 2.0), epochs=True)
    assert mix.size == 19
    drawn = [one.task for step in range(19) for one in mix.draw(seed=3, step=step, n=4)]  # four epochs
    for epoch in range(4):
        seen = Counter(drawn[19 * epoch : 19 * (epoch + 1)])
        assert seen == {f"a{i}": 1 for i in range(5)} | {f"b{i}": 2 for i in range(7)}
    assert drawn[:19] != drawn[19:38]
    parts = [mix.draw(seed=3, step=4, n=6, rank=rank, world=2) for rank in range(2)]
    assert [*parts[0], *parts[1]] == mix.draw(seed=3, step=4, n=6)
    with pytest.raises(MixError, match="whole number"):
        Mix(files, (1.0, 0.5), epochs=True)


def test_a_mix_that_cannot_be_drawn_from(tmp_path: Path) -> None:
    write_instructions(tmp_path / "closed.json", [item("scenes:sc0"), item("scenes:gone")])
    write_instructions(tmp_path / "empty.json", [])
    mix = read_mix(tmp_path, {"closed": 2.0}, known=lambda _: True)
    assert mix.weights == (2.0,)
    assert [one.audio_id for one in mix.files[0]] == ["scenes:sc0", "scenes:gone"]
    with pytest.raises(MixError, match=r"closed.json: 1 audios have no features \(scenes:gone"):
        read_mix(tmp_path, {"closed": 1.0}, known=lambda audio: audio == "scenes:sc0")
    with pytest.raises(MixError, match=r"weight 0"):
        read_mix(tmp_path, {"closed": 0.0}, known=lambda _: True)
    for name in ("empty", "absent"):
        with pytest.raises(InstructionError, match=f"{name}.json"):
            read_mix(tmp_path, {name: 1.0}, known=lambda _: True)


def test_texts_that_do_not_fit_are_named_before_training(tokenizer: Any) -> None:
    mix = Mix(((item("scenes:a"), item("scenes:b", "open", "rain and " * 60)),), (1.0,))
    check_lengths(mix, tokenizer, max_tokens=600)
    with pytest.raises(ContextTooLong, match=r"1 of 2 texts .*scenes:b \(open"):
        check_lengths(mix, tokenizer, max_tokens=100)
    found = check_lengths(mix, tokenizer, max_tokens=100, long_texts="cut")
    assert str(found) == "1 of 2 texts are cut"
    within = check_lengths(mix, tokenizer, max_tokens=8, long_texts="cut")
    assert (within.texts, within.cut, within.unanswered) == (2, 2, 2)
    assert "2 of them within the question" in str(within)


def test_lengths_count_the_hint_sentence(store: Store, tokenizer: Any) -> None:
    mix = Mix((tuple(item(f"scenes:sc{i}") for i in range(3)),), (1.0,))
    told: dict[str, Any] = {"hints": Hints(threshold=0.0), "tag_logits": store.tag_logits, "labels": LABELS}
    longest = max(
        whole
        for _, whole in text_lengths(
            tokenizer, [form(turns_of(one))[0] for one in mix.files[0]], [one.output for one in mix.files[0]]
        )
    )
    assert check_lengths(mix, tokenizer, max_tokens=longest).cut == 0
    with pytest.raises(ContextTooLong, match=r"3 of 3 texts .*hint sentence"):
        check_lengths(mix, tokenizer, max_tokens=longest, **told)
    with pytest.raises(MixError, match="tagger"):
        check_lengths(mix, tokenizer, max_tokens=longest, hints=Hints())


def test_a_batch_without_a_label_teaches_nothing(fresh: Path) -> None:
    lm, tokenizer = load_language_model(fresh / "shared_data" / "foundations" / "mini" / "language_model")
    limits: dict[str, Any] = {"max_tokens": 8, "long_texts": "cut"}
    text = encode_texts(
        tokenizer, ["What is heard in this room?"] * 2, ["A.", "B."], ids=["a", "b"], **limits
    )
    assert (text.labels == IGNORED).all()
    loss = AudioPrefixLM(lm, {})({}, text)["loss"]
    loss.backward()
    assert loss == 0
    assert all(not p.grad.any() for p in lm.parameters() if p.grad is not None)


def test_texts_are_cut_as_in_the_release(tokenizer: Any) -> None:
    """LTU's and GAMA's tokenize(): the first cutoff_len tokens, with </s> where there is room for it."""
    prompt, answers = "What is heard?", ["Rain.", "rain and " * 40]
    whole = [
        [*tokenizer(prompt)["input_ids"], *tokenizer(answer, add_special_tokens=False)["input_ids"]]
        for answer in answers
    ]
    for limit in range(3, len(whole[1]) + 3):
        made = encode_texts(
            tokenizer, [prompt] * 2, answers, ids=["a", "b"], max_tokens=limit, long_texts="cut"
        )
        for row, ids in enumerate(whole):
            wanted = ids[:limit] if len(ids) >= limit else [*ids, tokenizer.eos_token_id]
            assert made.input_ids[row][made.attention_mask[row].bool()].tolist() == wanted
            head = min(len(tokenizer(prompt)["input_ids"]), limit)
            assert int((made.labels[row] != IGNORED).sum()) == len(wanted) - head


def test_a_batch_holds_texts_and_the_features_of_their_audios(store: Store, tokenizer: Any) -> None:
    batch = next(batches(store, tokenizer))
    items = MIX.draw(seed=5, step=0, n=4)
    assert batch["ids"] == [f"{one.audio_id} ({one.task})" for one in items]
    wanted = store.read("ast", [one.audio_id for one in items])
    assert list(batch["features"]) == ["ast_linear"]
    assert torch.equal(batch["features"]["ast_linear"].values, wanted.values)
    text = batch["text"]
    for row, one in enumerate(items):
        said = text.labels[row] != IGNORED
        assert tokenizer.decode(text.input_ids[row][said]) == f"{one.output}</s>"
        valid = text.input_ids[row][text.attention_mask[row].bool()]
        assert tokenizer.decode(valid, skip_special_tokens=True) == alpaca(one.instruction) + one.output
    everything = next(batches(store, tokenizer, loss_on="all"))["text"]
    assert torch.equal(
        (everything.labels != IGNORED).sum(dim=1), everything.attention_mask.sum(dim=1) - 1
    )  # all but the first token, which nothing predicts


@pytest.mark.parametrize("accumulation", [1, 2])
def test_batches_of_a_later_step_are_those_of_an_unbroken_run(
    store: Store, tokenizer: Any, accumulation: int
) -> None:
    unbroken = batches(store, tokenizer, accumulation=accumulation)
    ids = [batch["ids"] for batch in itertools.islice(unbroken, 4 * accumulation)]
    resumed = batches(store, tokenizer, step=3, accumulation=accumulation)
    assert [batch["ids"] for batch in itertools.islice(resumed, accumulation)] == ids[3 * accumulation :]
    assert len(set(map(tuple, ids))) == len(ids)


def hinted(store: Store, **how: Any) -> list[str]:
    said = [asked("Why?", f"scenes:sc{i}") for i in range(6)]
    gold = how.pop("gold", {})
    return prompts(said, Hints(**how), store.tag_logits, labels=LABELS, gold=gold)


def tags_of(prompt: str) -> list[str]:
    sentence = prompt.partition("following tags: ")[2].partition(". Why?")[0]
    return sentence.split(", ") if sentence else []


def test_hints_tell_what_the_tagger_heard(store: Store) -> None:
    assert prompts(
        [asked("Why?", "scenes:sc0", more="x")], None, store.tag_logits, labels=LABELS, gold={}
    ) == [alpaca("Why?", "x")]
    logits = store.read("tags", [f"scenes:sc{i}" for i in range(6)]).values[:, 0]
    wanted = [
        [LABELS[place].replace("_", " ") for place in row.argsort(descending=True) if row[place] >= 0][:2]
        for row in logits
    ]
    made = hinted(store, source="predicted", threshold=0.5, limit=2)
    assert [tags_of(prompt) for prompt in made] == wanted
    assert any(len(tags) == 2 for tags in wanted)
    assert all(("<hint>" in prompt) == bool(tags) for prompt, tags in zip(made, wanted))
    assert hinted(store, threshold=1.0) == [alpaca("Why?")] * 6  # no tag, no sentence


def test_the_other_sources_of_tags(store: Store) -> None:
    assert hinted(store, source="none") == [alpaca("Why?")] * 6
    truth = {f"scenes:sc{i}": ("church_bell",) for i in range(6)}
    assert all(tags_of(prompt) == ["church bell"] for prompt in hinted(store, source="gold", gold=truth))
    with pytest.raises(MixError, match=r"no true tags .*scenes:sc5"):
        hinted(store, source="gold", gold={f"scenes:sc{i}": () for i in range(5)})
    predicted, chance = hinted(store), hinted(store, source="random")
    assert [len(tags_of(one)) for one in chance] == [len(tags_of(one)) for one in predicted]
    assert chance == hinted(store, source="random")
    assert chance != predicted
    assert chance != hinted(store, source="random", seed=1)
