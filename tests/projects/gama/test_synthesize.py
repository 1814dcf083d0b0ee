"""CompA-R synthesis: the checks, a run against a scripted model, and the stage as a command."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from core.data.instructions import read_audio_instructions, read_instructions
from core.language.client import Message, Options, Reply, ReplyError
from core.language.http import Endpoint
from core.language.prompts import read_prompt
from core.run import tracking
from core.run.stage import Context
from projects.gama import synthesize as stage
from projects.gama.experts import Item, SynthesisError, read_exemplars, read_items, read_rejected
from projects.gama.pair_checks import Vocabulary, fault_of, stems
from projects.gama.synthesize import PROMPTS, Config, Materials, write_pairs

ROOT = Path(__file__).parents[3]
NAMES = Vocabulary.of(
    ["dog_bark", "rain", "siren", "Vehicle horn, car horn, honking", "Speech", "Cat (domestic)"],
    generic=["speech"],
)
GOOD = [
    {"Instruction": question, "Answer": answer, "Knowledge topic": topic}
    for question, answer, topic in (
        ("Why is the dog upset?", "A siren started before it barked.", "Animals"),
        ("Where could this be?", "Near a road, where a siren passes.", "Places"),
        ("Explain the mood.", "Alarm, for a siren makes dogs bark.", "Mood"),
    )
]
LINE = {
    "audio_id": "a.wav",
    "experts": {"tagger": ["Dog", "Siren"], "captioner": "a siren passes"},
    "events": [
        {"label": "siren", "onset": 0, "offset": 2.5},
        {"label": "dog_bark", "onset": 3.0, "offset": 4.0},
    ],
}


@pytest.mark.parametrize(
    ("instruction", "answer", "fault"),
    [
        ("Why?", "The dog barks at the siren.", ""),
        ("Why?", "Speech is generic.", ""),
        ("", "Yes.", "empty"),
        ("Why?", "  ", "empty"),
        ("Why?", "word " * 29, ""),
        ("Why?", "word " * 30, "answer too long"),
        ("According to the caption, why?", "It is.", "refers to what cannot be heard"),
        ("Why?", "The timestamps say so.", "refers to what cannot be heard"),
        ("What is in the picture?", "A dog.", "refers to what cannot be heard"),
        ("Is the speaker male or female?", "Male.", "trivial"),
        ("How loud is it?", "Very.", "trivial"),
        ("Why?", "Rain falls.", "mentions a sound that is not there"),
        ("Why is it raining?", "Clouds.", "mentions a sound that is not there"),
        ("Why?", "A driver is honking.", "mentions a sound that is not there"),
        ("Is a cat there?", "No.", "mentions a sound that is not there"),
    ],
)
def test_rules(instruction: str, answer: str, fault: str) -> None:
    assert fault_of(instruction, answer, given=["dog_bark", "siren"], vocabulary=NAMES) == fault


def test_what_experts_noted_may_be_mentioned() -> None:
    assert NAMES.strangers("rain and a siren", ["it is raining"]) == ["siren"]


@pytest.mark.parametrize(
    ("one", "other"), [("dog_bark", "dogs barking"), ("horses", "Horse"), ("Church Bell", "church bells")]
)
def test_stems_join_forms_of_a_word(one: str, other: str) -> None:
    assert stems(one) == stems(other)


def test_names_that_only_share_letters_stay_apart() -> None:
    assert Vocabulary.of(["rain"]).strangers("a train on its track", []) == []


def test_own_examples_keep_the_rules() -> None:
    lines = [json.loads(line) for line in (PROMPTS / "exemplars.jsonl").read_text().splitlines()]
    vocabulary = Vocabulary.of(
        label for line in lines for label in re.findall(r"\((.+?)-[\d.]+-[\d.]+\)", line["events"])
    )
    for line in lines:
        for pair in line["pairs"]:
            fault = fault_of(
                pair["Instruction"], pair["Answer"], given=[line["events"]], vocabulary=vocabulary
            )
            assert not fault, (pair, fault)
    assert all(len(line["pairs"]) == 3 for line in lines)
    assert len(read_exemplars(PROMPTS / "exemplars.jsonl", at_least=3)) == len(lines) >= 8


class Model:
    """Answers descriptions with `caption`, pairs with the script."""

    identity: dict[str, Any] = {"model": "m"}  # noqa: RUF012

    def __init__(self, *script: str, caption: str | Exception = "A siren passes and a dog barks.") -> None:
        self.script, self.caption = list(script), caption
        self.asked: list[str] = []

    def complete(self, messages: Sequence[Message], *, options: Options | None = None) -> Reply:
        self.asked.append(str(messages[1].content))
        if options is not None and options.schema is None:
            if isinstance(self.caption, Exception):
                raise self.caption
            return Reply(text=self.caption)
        return Reply(text=self.script.pop(0))


@pytest.fixture
def item(tmp_path: Path) -> Item:
    path = tmp_path / "one.jsonl"
    path.write_text(json.dumps(LINE) + "\n")
    return read_items(path)[0]


@pytest.fixture
def materials() -> Materials:
    return Materials(
        prompts={name: read_prompt(PROMPTS / f"{name}.txt") for name in ("caption", "synthesize")},
        exemplars=read_exemplars(PROMPTS / "exemplars.jsonl"),
        vocabulary=NAMES,
    )


def test_pairs_of_one_audio(item: Item, materials: Materials) -> None:
    model = Model(json.dumps(GOOD))
    written = write_pairs(model, item, config=Config(), materials=materials)
    assert [pair["instruction"] for pair in written.pairs] == [pair["Instruction"] for pair in GOOD]
    assert written.dropped == ()
    describe, ask = model.asked
    assert "tagger: Dog, Siren" in describe
    assert "(siren-0-2.5), (dog_bark-3-4)" in describe
    assert "A siren passes and a dog barks." in ask
    assert ask.count('"Knowledge topic": ') == 9  # three examples of three pairs


def test_faulty_pairs_are_dropped_and_the_others_kept(item: Item, materials: Materials) -> None:
    pairs = [GOOD[0], {**GOOD[1], "Answer": "Rain drums on a roof."}, {**GOOD[0], "Answer": "Again."}]
    written = write_pairs(Model(json.dumps(pairs)), item, config=Config(), materials=materials)
    assert len(written.pairs) == 1
    assert [drop["reason"] for drop in written.dropped] == [
        "mentions a sound that is not there",
        "asked twice",
    ]


@pytest.mark.parametrize("bad", ["no json", json.dumps(GOOD[:2]), json.dumps([*GOOD[:2], {"Question": "?"}])])
def test_unreadable_pairs_are_asked_again_once_then_dropped(
    item: Item, materials: Materials, bad: str
) -> None:
    repaired = write_pairs(Model(bad, json.dumps(GOOD)), item, config=Config(), materials=materials)
    assert len(repaired.pairs) == 3
    assert len(repaired.replies) == 3
    failed = write_pairs(Model(bad, bad), item, config=Config(), materials=materials)
    assert (failed.pairs, [drop["reason"] for drop in failed.dropped]) == ((), ["no readable pairs"])


@pytest.mark.parametrize("caption", [ReplyError("content"), "", " \n "])
def test_audio_without_description_is_dropped(
    item: Item, materials: Materials, caption: str | Exception
) -> None:
    written = write_pairs(Model(caption=caption), item, config=Config(), materials=materials)
    assert [drop["reason"] for drop in written.dropped] == ["no caption"]


def test_people_can_reject_a_pair_or_an_audio(item: Item, materials: Materials, tmp_path: Path) -> None:
    path = tmp_path / "rejected.tsv"
    for text, left in (("a.wav\tExplain the mood.\n", 2), ("a.wav\n", 0), ("b.wav\n\n", 3)):
        path.write_text(text)
        some = Materials(**{**vars(materials), "rejected": read_rejected(path)})
        assert len(write_pairs(Model(json.dumps(GOOD)), item, config=Config(), materials=some).pairs) == left


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2 is cut or damaged"),
        ('{"audio_id": "b", "experts": {}}', "line 2: .*'events' is a required"),
        ('{"audio_id": "b", "experts": {}, "events": []}', r"line 2: \$\.events"),
        (json.dumps({**LINE, "audio_id": "b", "experts": {"x": 1}}), r"line 2: \$\.experts"),
        (
            json.dumps({**LINE, "audio_id": "b", "events": [{"label": "a", "onset": 2, "offset": 1}]}),
            "line 2: an event ends before it begins",
        ),
        (json.dumps(LINE), r"line 2: a\.wav again"),
    ],
)
def test_unusable_inputs_are_named(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "inputs.jsonl"
    path.write_text(json.dumps(LINE) + "\n" + line + "\n")
    with pytest.raises(SynthesisError, match=says):
        read_items(path)


def test_missing_and_empty_inputs(tmp_path: Path) -> None:
    with pytest.raises(SynthesisError, match="no such file"):
        read_items(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(SynthesisError, match="unusable"):
        read_items(tmp_path / "empty.jsonl")
    with pytest.raises(SynthesisError, match="examples"):
        read_exemplars(PROMPTS / "exemplars.jsonl", at_least=1000)


@pytest.mark.parametrize(
    ("caption", "detail"),
    [(ReplyError("400"), "refused: 400"), ("", "empty"), ("<think>A siren, a dog", "empty")],
)
def test_why_there_is_no_description_is_named(
    item: Item, materials: Materials, caption: str | Exception, detail: str
) -> None:
    written = write_pairs(Model(caption=caption), item, config=Config(), materials=materials)
    assert [drop["detail"] for drop in written.dropped] == [detail]


def test_thoughts_are_no_description(item: Item, materials: Materials) -> None:
    model = Model(json.dumps(GOOD), caption="<think>A dog? A cat.</think>\nA siren passes.")
    written = write_pairs(model, item, config=Config(), materials=materials)
    assert written.caption == "A siren passes."
    assert "A cat" not in model.asked[1]


@pytest.mark.parametrize("line", ["[" * 100_000, '{"audio_id": "a", "experts": {}, "events": [1e999]}'])
def test_hostile_inputs_are_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "in.jsonl").write_text(line + "\n")
    with pytest.raises(SynthesisError, match="line 1"):
        read_items(tmp_path / "in.jsonl")


class Server:
    """Answers by the kind of request; can be told to break down or to hang."""

    def __init__(self) -> None:
        self.asked = 0
        self.down_after: int | None = None
        self.hang = threading.Event()
        self.arrived = threading.Event()
        self.end = threading.Event()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.arrived.set()
                if server.hang.is_set():
                    server.end.wait(60)
                    return
                server.asked += 1
                if server.down_after is not None and server.asked > server.down_after:
                    self.send_error(503)
                    return
                asks = "JSON list" in request["messages"][1]["content"]
                text = json.dumps(GOOD) if asks else "A siren passes and a dog barks."
                choice = {"message": {"content": text}, "finish_reason": "stop"}
                body = {"choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 10}}
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.end.set()
    running.http.shutdown()
    running.http.server_close()


def context_in(root: Path) -> Context:
    return Context(
        paper="gama",
        stage="synthesize",
        variant=None,
        profile="mini",
        root=root,
        tracker=tracking.off(),
        seed=0,
    )


def write_inputs(root: Path, n: int) -> str:
    lines = [json.dumps({**LINE, "audio_id": f"{number}.wav"}) for number in range(n)]
    (root / "inputs.jsonl").write_text("\n".join(lines) + "\n")
    return "inputs.jsonl"


def test_stage_writes_the_official_schemas(tmp_path: Path, server: Server) -> None:
    endpoint = Endpoint(url=server.url, model="m", prices=(1.0, 1.0))
    stage.synthesize(
        Config(endpoint=endpoint, inputs=write_inputs(tmp_path, 3)), context=context_in(tmp_path)
    )
    out = tmp_path / "projects" / "gama" / "data" / "mini" / "compa_r"
    flat = read_instructions(out / "instructions.json")
    assert [one.audio_id for one in flat] == [f"{number}.wav" for number in range(3) for _ in range(3)]
    assert flat[0].output == GOOD[0]["Answer"]
    by_audio = read_audio_instructions(out / "by_audio.json")
    assert by_audio[1].caption == "A siren passes and a dog barks."
    assert by_audio[1].timestamp_events == "(siren-0-2.5), (dog_bark-3-4)"
    assert json.loads((out / "dropped.json").read_text()) == {"counts": {}, "items": []}
    record = json.loads((out / "record.json").read_text())
    assert record["counts"] == {"audios": 3, "audios_used": 3, "pairs": 9, "dropped": 0}
    assert set(record["prompts"]) == {"caption", "synthesize"}
    assert not (out / "not_run.txt").exists()


def test_an_endpoint_that_refuses_everything_is_an_error_and_no_empty_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing:
        identity: dict[str, Any] = {"model": "m"}  # noqa: RUF012

        def complete(self, messages: Sequence[Message], *, options: Options | None = None) -> Reply:
            raise ReplyError("the server answered 400: use max_completion_tokens")

    @contextlib.contextmanager
    def connect(endpoint: Endpoint) -> Iterator[Any]:
        yield Refusing()

    monkeypatch.setattr(stage, "connect", connect)
    endpoint = Endpoint(url="http://127.0.0.1:1/v1", model="m")
    config = Config(endpoint=endpoint, inputs=write_inputs(tmp_path, 3))
    with pytest.raises(
        SynthesisError, match=r"none of 3 audios; the first: refused: .*max_completion_tokens"
    ):
        stage.synthesize(config, context=context_in(tmp_path))
    assert not list(tmp_path.rglob("instructions.json"))


def test_stage_goes_on_where_the_endpoint_broke_down(tmp_path: Path, server: Server) -> None:
    inputs = write_inputs(tmp_path, 4)
    endpoint = Endpoint(url=server.url, model="m", retries=0, concurrency=1)
    config = Config(endpoint=endpoint, inputs=inputs)
    server.down_after = 3
    with pytest.raises(OSError, match="run the same command again"):
        stage.synthesize(config, context=context_in(tmp_path))
    out = tmp_path / "projects" / "gama" / "data" / "mini" / "compa_r"
    assert not (out / "instructions.json").exists()
    server.down_after = None
    server.asked = 0
    stage.synthesize(config, context=context_in(tmp_path))
    # the captions of equal scenes are one request, and so are pairs with the same examples
    kept = len(list((out.parent / "language_cache").rglob("*.json")))
    assert server.asked == kept - 3
    first = (out / "instructions.json").read_bytes()
    server.asked = 0
    stage.synthesize(config, context=context_in(tmp_path))
    assert server.asked == 0
    assert (out / "instructions.json").read_bytes() == first


def test_stage_without_endpoint_says_why_and_leaves_no_old_result(tmp_path: Path, server: Server) -> None:
    context = context_in(tmp_path)
    endpoint = Endpoint(url=server.url, model="m")
    stage.synthesize(Config(endpoint=endpoint, inputs=write_inputs(tmp_path, 1)), context=context)
    stage.synthesize(Config(inputs="inputs.jsonl"), context=context)
    out = tmp_path / "projects" / "gama" / "data" / "mini" / "compa_r"
    assert [path.name for path in out.iterdir()] == ["not_run.txt"]
    assert "no language model is configured" in (out / "not_run.txt").read_text()


def test_ctrl_c_ends_the_command_although_the_server_hangs(tmp_path: Path, server: Server) -> None:
    server.hang.set()
    inputs = write_inputs(tmp_path, 2)
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from core import stage, tracking\nfrom core.language.http import Endpoint\n"
        "from projects.gama.synthesize import Config, synthesize\n"
        f"context = stage.Context(paper='gama', stage='synthesize', variant=None, profile='mini', seed=0,\n"
        f"    root=Path({str(tmp_path)!r}), tracker=tracking.off())\n"
        f"endpoint = Endpoint(url={server.url!r}, model='m', timeout=600.0)\n"
        "try:\n"
        f"    synthesize(Config(endpoint=endpoint, inputs={inputs!r}), context=context)\n"
        "except KeyboardInterrupt:\n    sys.exit(130)\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=environment)
    try:
        assert server.arrived.wait(60)
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=30) == 130
    finally:
        running.kill()
