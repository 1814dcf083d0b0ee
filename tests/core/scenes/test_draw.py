from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from core.scenes.algebra import (
    Leaf,
    Node,
    always_false,
    always_true,
    holds,
    leaves,
    parse,
    swap_attributes,
)
from core.scenes.bank import Bank
from core.scenes.draw import (
    DrawError,
    SceneSource,
    attribute_trees,
    draw_tree,
    realise,
    voice_attributes,
)
from core.scenes.places import confused


def test_tree_sizes_follow_their_shares(noise_bank: Bank) -> None:
    rng = np.random.default_rng(0)
    trees = [draw_tree(noise_bank.labels(), rng=rng) for _ in range(1000)]
    counts = Counter(len(leaves(tree)) for tree in trees)
    assert set(counts) == {2, 3, 4}
    for size, share in zip((2, 3, 4), (0.3, 0.6, 0.1)):
        assert abs(counts[size] / 1000 - share) < 0.05
    assert all(len({leaf.label for leaf in leaves(tree)}) == len(leaves(tree)) for tree in trees)
    shapes = {type(tree.left) for tree in trees if isinstance(tree, Node) and len(leaves(tree)) == 3}
    assert shapes == {Leaf, Node}  # brackets on either side


def test_operators_follow_their_share(noise_bank: Bank) -> None:
    rng = np.random.default_rng(0)
    sequences = [draw_tree(noise_bank.labels(), rng=rng, sequence_share=1.0) for _ in range(50)]
    assert not any("*" in str(tree) for tree in sequences)


def test_too_few_labels_are_named() -> None:
    with pytest.raises(DrawError, match="need 4 labels, got 2"):
        draw_tree(["a", "b"], rng=np.random.default_rng(0), sizes=(0, 0, 1))


def test_what_sounds_within_another_sound_is_in_no_scene_with_it() -> None:
    """A violin is heard in classical music: a scene of both would not settle when a violin plays."""
    assert confused("violin", "classical_music")
    assert confused("jazz_music", "cymbals")
    assert not confused("violin", "jazz_music")
    assert not confused("jazz_music", "rock_music")
    labels = ["violin", "flute", "classical_music", "jazz_music", "drums", "cymbals", "dog_bark"]
    rng = np.random.default_rng(0)
    for _ in range(300):
        names = [leaf.label for leaf in leaves(draw_tree(labels, rng=rng))]
        assert not any(confused(a, b) for a in names for b in names)
    with pytest.raises(DrawError, match="sound within each other"):
        draw_tree(["drums", "cymbals"], rng=rng, sizes=(1,))


def test_every_realised_scene_is_true_and_fits(noise_bank: Bank) -> None:
    by_label = noise_bank.by_label()
    clear = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        tree = draw_tree(noise_bank.labels(), rng=rng)
        scene = realise(tree, bank=noise_bank, rng=rng, by_label=by_label)
        assert holds(tree, scene), str(tree)
        assert len(scene.events) == len(leaves(tree))
        assert all(noise_bank.clips[event.clip].label == event.label for event in scene.events)
        assert scene.duration == 5.12
        assert scene.noise_db is not None
        assert -35 <= scene.noise_db <= -15
        clear += always_true(tree, scene)
    assert clear > 0.85 * 400  # most captions are unambiguous


def test_realise_is_a_function_of_the_generator(noise_bank: Bank) -> None:
    tree = parse("((dog_bark+rain)*bell)")
    first, again, other = (
        realise(tree, bank=noise_bank, rng=np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    assert first == again != other


def test_events_are_cut_or_repeated_but_keep_true_times(noise_bank: Bank) -> None:
    cut = repeated = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        scene = realise(parse("(((dog_bark+rain)+bell)*saw)"), bank=noise_bank, rng=rng)
        for event in scene.events:
            whole = len(noise_bank.waveforms[event.clip]) / noise_bank.sample_rate
            length = event.end - event.start
            cut += length < whole - 1e-3
            if length > whole + 1e-3:
                repeated += 1
                assert event.label == "saw"  # only what lies beside something longer
                assert abs(length / whole - round(length / whole)) < 0.01  # whole times
    assert cut > 0
    assert repeated > 0


def test_clean_scenes_and_options(noise_bank: Bank) -> None:
    scene = realise(
        parse("(dog_bark+rain)"),
        bank=noise_bank,
        rng=np.random.default_rng(0),
        noise_db=None,
        gain_db=(-3, -3),
        gap=(0.3, 0.3),
    )
    assert scene.noise_db is None
    assert [event.gain_db for event in scene.events] == [-3, -3]
    assert scene.events[1].start - scene.events[0].end == pytest.approx(0.3, abs=1e-3)


@pytest.mark.parametrize(
    ("text", "duration", "message"),
    [
        ("(dog_bark+unicorn)", 5.12, "no clip of .'unicorn'"),
        ("(dog_bark+dog_bark)", 5.12, "uses a label twice"),
        ("((dog_bark+rain)+bell)", 0.4, "does not fit"),
    ],
)
def test_what_cannot_be_realised_is_an_error(
    noise_bank: Bank, text: str, duration: float, message: str
) -> None:
    with pytest.raises(DrawError, match=message):
        realise(parse(text), bank=noise_bank, rng=np.random.default_rng(0), duration=duration)


def test_attribute_trees_have_twins(noise_bank: Bank, noise_bank_without_voices: Bank) -> None:
    voices = voice_attributes(noise_bank)
    assert voices["baby_cry"] == ("baby", "cry")
    assert "rain" not in voices
    trees = attribute_trees(noise_bank, kind="voices")
    assert len(trees) == 9 * 4  # any voice with one of another agent and another action
    for tree in trees:
        twin = swap_attributes(tree, attributes=voices)
        assert twin in trees or (isinstance(twin, Node) and Node(twin.op, twin.right, twin.left) in trees)
    loud = attribute_trees(noise_bank, kind="loudness")
    assert len(loud) == 8 * 7 * 2
    assert not any(leaf.label in voices for tree in loud for leaf in leaves(tree))
    with pytest.raises(DrawError, match="two agents that share two actions"):
        attribute_trees(noise_bank_without_voices, kind="voices")


def test_quiet_is_quieter_in_gain_and_in_power(noise_bank: Bank) -> None:
    for seed in range(100):
        tree = parse("(loud:dog_bark+quiet:rain)") if seed % 2 else parse("(quiet:bell*loud:saw)")
        scene = realise(tree, bank=noise_bank, rng=np.random.default_rng(seed))
        assert holds(tree, scene)
        assert always_false(swap_attributes(tree) or tree, scene)
        level = {
            event.label: event.gain_db + 10 * np.log10(np.mean(np.square(noise_bank.waveforms[event.clip])))
            for event in scene.events
        }
        loud, quiet = ("dog_bark", "rain") if seed % 2 else ("saw", "bell")
        assert level[loud] - level[quiet] >= 15


def test_a_source_repeats_itself_and_never_a_step(noise_bank: Bank) -> None:
    source, again = (SceneSource(bank=noise_bank, seed=5) for _ in range(2))
    assert source.draw(7, 8) == again.draw(7, 8)
    assert source.draw(7, 4) == again.draw(7, 8)[:4]
    assert source.draw(7, 8) != source.draw(8, 8)
    assert source.draw(7, 8) != SceneSource(bank=noise_bank, seed=6).draw(7, 8)
    ids = [scene.id for step in range(3) for scene, _ in source.draw(step, 8)]
    assert len(set(ids)) == len(ids)


def test_captions_of_a_source_are_unambiguous(noise_bank: Bank) -> None:
    source = SceneSource(bank=noise_bank, seed=0)
    assert all(always_true(tree, scene) for step in range(5) for scene, tree in source.draw(step, 32))


@pytest.mark.parametrize("twins", [False, True])
def test_processes_share_the_batch_of_one(noise_bank: Bank, twins: bool) -> None:
    whole = SceneSource(bank=noise_bank, seed=1, twins=twins).draw(3, 16)
    shares = [
        SceneSource(bank=noise_bank, seed=1, twins=twins, rank=rank, world=4).draw(3, 16) for rank in range(4)
    ]
    assert [pair for share in shares for pair in share] == whole


@pytest.mark.parametrize("attribute_share", [0.0, 1.0])
def test_twins_contradict_each_other(noise_bank: Bank, attribute_share: float) -> None:
    pairs = SceneSource(bank=noise_bank, seed=2, twins=True, attribute_share=attribute_share).draw(0, 200)
    for (scene, tree), (other, twin) in zip(pairs[::2], pairs[1::2]):
        assert always_true(tree, scene)
        assert always_true(twin, other)
        assert always_false(tree, other)
        assert always_false(twin, scene)
        if not attribute_share:
            assert {e.label for e in scene.events} == {e.label for e in other.events}
        else:
            assert swap_attributes(tree, attributes=voice_attributes(noise_bank)) == twin


def test_loudness_twins_swap_the_gains(noise_bank: Bank) -> None:
    source = SceneSource(bank=noise_bank, seed=2, twins=True, attribute_share=1.0, attribute_kind="loudness")
    (scene, tree), (_, twin) = source.draw(0, 2)
    assert swap_attributes(tree) == twin
    gains = sorted(event.gain_db for event in scene.events)
    assert gains[1] - gains[0] >= 15


def test_a_batch_that_cannot_be_shared_is_an_error(noise_bank: Bank) -> None:
    with pytest.raises(DrawError, match="multiple of 6"):
        SceneSource(bank=noise_bank, seed=0, twins=True, world=3).draw(0, 9)


def test_labels_can_be_restricted(noise_bank: Bank) -> None:
    source = SceneSource(bank=noise_bank, seed=0, labels=("rain", "bell"), sizes=(1.0,))
    assert {leaf.label for _, tree in source.draw(0, 10) for leaf in leaves(tree)} == {"rain", "bell"}
