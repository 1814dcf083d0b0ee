"""What every data set and checkpoint is: task, official counts, licence, citation, where to get it, where it
goes.

Official files are put by a person under `shared_data/raw/<folder>`: most of them cannot be downloaded by a
program, and all have terms that a person must accept. Checksums stand here where the publisher gives them.
"""

from __future__ import annotations

from collections.abc import Mapping

from core.data.card import RAW, Card, CheckpointCard, OfficialFile, hub_command
from core.data.cards_listening import LISTENING, LISTENING_CHECKPOINTS
from core.data.cards_wheels import WHEEL_CHECKPOINTS

_COMPA = (
    "Ghosh et al., CompA: Addressing the Gap in Compositional Reasoning in Audio-Language Models, ICLR 2024"
)
_WAVCAPS = (
    "Mei et al., WavCaps: A ChatGPT-Assisted Weakly-Labelled Audio Captioning Dataset, IEEE/ACM TASLP 2024"
)
_AUDIOSET_STRONG = (
    "Hershey et al., The Benefit of Temporally-Strong Labels in Audio Event Classification, ICASSP 2021"
)
_ZERO_SHOT = 'zero-shot, prompt "This is a sound of {label}"'
_RETRIEVAL = "text-to-audio: every caption is a query; audio-to-text: best rank among the clip's captions"


def _manifest(
    name: str,
    *,
    rows: int,
    licence: str,
    citation: str,
    homepage: str,
    notes: str = "",
    task: str = "captions",
    more: tuple[str, ...] = (),
) -> Card:
    return Card(
        name=name,
        task=task,
        counts={"train": rows},
        licence=licence,
        citation=citation,
        homepage=homepage,
        files=(
            OfficialFile("manifest.parquet|manifest.csv"),
            OfficialFile("audio/"),
            *map(OfficialFile, more),
        ),
        manifest=True,
        protocol="training pairs of CompA-661k",
        notes=notes,
    )


CARDS: Mapping[str, Card] = {
    "compa_order": Card(
        name="compa_order",
        task="compositional choice",
        counts={"test": 400},
        audio_files=900,
        licence="none stated by the authors; audio from AudioSet-Strong (YouTube)",
        citation=_COMPA,
        homepage="https://github.com/Sreyan88/CompA",
        files=(OfficialFile("CompA_order_benchmark.csv"), OfficialFile("CompA_order_files/")),
        protocol=(
            "text, audio and group score; triplets count three-way (paper) or not at all (released script)"
        ),
        notes=(
            "400 instances, 100 of them triplets, 900 audio-caption pairs. By hand, from the links in "
            "its README."
        ),
    ),
    "compa_attribute": Card(
        name="compa_attribute",
        task="compositional choice",
        counts={"test": 200},
        audio_files=400,
        licence="none stated by the authors; audio largely synthetic (WavJourney)",
        citation=_COMPA,
        homepage="https://github.com/Sreyan88/CompA",
        files=(
            OfficialFile("CompA_attribute/Compa-Attribute.csv|Compa-Attribute.csv"),
            OfficialFile("CompA_attribute_files/|CompA_attribute/CompA_attribute_files/"),
        ),
        protocol="text, audio and group score over pairs",
        notes=(
            "The .1 columns name the wav files; the plain ones hold YouTube ids that are not in the archive."
        ),
    ),
    "audiocaps": Card(
        name="audiocaps",
        task="captions",
        counts={"test": 975, "valid": 495, "train": 49838},
        licence="captions MIT; audio under the terms of each YouTube video",
        citation="Kim et al., AudioCaps: Generating Captions for Audios in The Wild, NAACL 2019",
        homepage="https://github.com/cdjkim/audiocaps",
        files=(OfficialFile("test.csv"), OfficialFile("audio/|test/|audio/test/")),
        protocol=_RETRIEVAL,
        notes=(
            "Version 1 counts; videos vanish, so papers differ in n (LAION-CLAP has 960). Five "
            "captions per clip."
        ),
    ),
    "clotho": Card(
        name="clotho",
        task="captions",
        counts={"test": 1045, "valid": 1045, "train": 3839},
        licence=(
            "captions: Tampere University (non-commercial, attribution); audio: each FreeSound clip's own"
        ),
        citation="Drossos et al., Clotho: An Audio Captioning Dataset, ICASSP 2020",
        homepage="https://zenodo.org/records/4783391",
        files=(
            OfficialFile("clotho_captions_evaluation.csv", md5="1b16b9e57cf7bdb7f13a13802aeb57e2"),
            OfficialFile("evaluation/"),
        ),
        archives={
            "clotho_audio_evaluation.7z": "4569624ccadf96223f19cb59fe4f849f",
            "clotho_audio_validation.7z": "7dba730be08bada48bd15dc4e668df59",
            "clotho_captions_development.csv": "d4090b39ce9f2491908eebf4d5b09bae",
            "clotho_captions_validation.csv": "5879e023032b22a2c930aaa0528bead4",
        },
        protocol=_RETRIEVAL,
        notes=(
            "Version 2.1. clotho_metadata_evaluation.csv beside it lets the contamination check use "
            "FreeSound ids."
        ),
    ),
    "esc50": Card(
        name="esc50",
        task="classification",
        counts={"test": 2000},
        licence="CC BY-NC 3.0",
        citation="Piczak, ESC: Dataset for Environmental Sound Classification, ACM Multimedia 2015",
        homepage="https://github.com/karolpiczak/ESC-50",
        files=(
            OfficialFile("ESC-50-master/meta/esc50.csv|meta/esc50.csv"),
            OfficialFile("ESC-50-master/audio/|audio/"),
        ),
        protocol=_ZERO_SHOT,
        notes=(
            "For MD5 of every clip put soundata's esc50_index_2.0.json beside meta/, or download it "
            "with soundata."
        ),
    ),
    "urbansound8k": Card(
        name="urbansound8k",
        task="classification",
        counts={"test": 8732},
        licence="CC BY-NC 3.0",
        citation="Salamon et al., A Dataset and Taxonomy for Urban Sound Research, ACM Multimedia 2014",
        homepage="https://zenodo.org/records/1203745",
        files=(
            OfficialFile("UrbanSound8K/metadata/UrbanSound8K.csv|metadata/UrbanSound8K.csv"),
            OfficialFile("UrbanSound8K/audio/|audio/"),
        ),
        archives={"UrbanSound8K.tar.gz": "9aa69802bbf37fb986f71ec1483a196e"},
        protocol=_ZERO_SHOT,
        notes="For MD5 of every clip put soundata's urbansound8k_index_1.0.json beside metadata/.",
    ),
    "vggsound": Card(
        name="vggsound",
        task="classification",
        counts={"test": 15496},
        licence="CC BY 4.0 (annotations); audio under the terms of each YouTube video",
        citation="Chen et al., VGGSound: A Large-scale Audio-Visual Dataset, ICASSP 2020",
        homepage="https://www.robots.ox.ac.uk/~vgg/data/vggsound/",
        files=(OfficialFile("vggsound.csv"), OfficialFile("test/|audio/")),
        protocol=_ZERO_SHOT,
        notes=(
            "Rows of the CSV's test split, 309 classes; papers report n between 15,2xx and 15,446: "
            "videos vanish."
        ),
    ),
    "fsd50k": Card(
        name="fsd50k",
        task="multi-label classification",
        counts={"test": 10231, "valid": 4170, "train": 36796},
        licence="CC BY 4.0 (collection); each clip its own Creative Commons licence",
        citation="Fonseca et al., FSD50K: An Open Dataset of Human-Labeled Sound Events, IEEE/ACM TASLP 2022",
        homepage="https://zenodo.org/records/4060432",
        files=(
            OfficialFile("FSD50K.ground_truth/eval.csv"),
            OfficialFile("FSD50K.ground_truth/vocabulary.csv"),
            OfficialFile("FSD50K.eval_audio/"),
        ),
        archives={
            "FSD50K.eval_audio.zip": "6fa47636c3a3ad5c7dfeba99f2637982",
            "FSD50K.eval_audio.z01": "3090670eaeecc013ca1ff84fe4442aeb",
            "FSD50K.ground_truth.zip": "ca27382c195e37d2269c4c866dd73485",
        },
        protocol="zero-shot, macro mAP over the 200 classes of raw cosine scores",
        notes="The released script cannot produce the published FSD50K number; mAP is our reading of it.",
    ),
    **LISTENING,
    # CompA-661k. Its exact composition is not published outside the paper's appendix; the parts and their
    # sizes are those of the authors' later table (GAMA, Table 3), whose sum is 690,039. Each is a training
    # manifest.
    "wavcaps_freesound": _manifest(
        "wavcaps_freesound",
        rows=259020,
        licence="captions CC BY 4.0, academic use; audio: each FreeSound clip's own",
        citation=_WAVCAPS,
        homepage="https://huggingface.co/datasets/cvssp/WavCaps",
        notes=(
            "WavCaps has 262,300. It holds FreeSound clips of Clotho, ESC-50, UrbanSound8K and FSD50K: "
            "give its "
            "rows clips `freesound:<id>`, so that the contamination check finds them."
        ),
    ),
    "vggsound_train": _manifest(
        "vggsound_train",
        rows=185161,
        licence="CC BY 4.0 (annotations)",
        citation="Chen et al., VGGSound: A Large-scale Audio-Visual Dataset, ICASSP 2020",
        homepage="https://www.robots.ox.ac.uk/~vgg/data/vggsound/",
    ),
    "audioset_strong": _manifest(
        "audioset_strong",
        rows=108311,
        licence="CC BY 4.0 (annotations); audio under the terms of each YouTube video",
        citation=_AUDIOSET_STRONG,
        homepage="https://research.google.com/audioset/download_strong.html",
        more=("audioset_train_strong.tsv", "mid_to_display_name.tsv"),
        notes=(
            "The bank of profile paper is cut from it: put the two official lists beside the manifest and "
            "the annotated ten seconds of each video into audio/ as <YouTube id>_<start in ms>.wav or .flac. "
            "CompA-order's clips come from here too; the authors state no disjointness."
        ),
    ),
    "audiocaps_train": _manifest(
        "audiocaps_train",
        rows=48649,
        licence="captions MIT",
        citation="Kim et al., AudioCaps: Generating Captions for Audios in The Wild, NAACL 2019",
        homepage="https://github.com/cdjkim/audiocaps",
    ),
    "wavcaps_bbc": _manifest(
        "wavcaps_bbc",
        rows=31201,
        licence="BBC RemArc (non-commercial), captions CC BY 4.0",
        citation=_WAVCAPS,
        homepage="https://huggingface.co/datasets/cvssp/WavCaps",
    ),
    "clotho_train": _manifest(
        "clotho_train",
        rows=18735,
        licence="Tampere University (non-commercial, attribution)",
        citation="Drossos et al., Clotho: An Audio Captioning Dataset, ICASSP 2020",
        homepage="https://zenodo.org/records/4783391",
    ),
    "macs": _manifest(
        "macs",
        rows=14400,
        licence="Tampere University (non-commercial, attribution)",
        citation=(
            "Martin-Morato and Mesaros, What is the Ground Truth? Reliability of Multi-Annotator Data, "
            "EUSIPCO 2021"
        ),
        homepage="https://zenodo.org/records/5114771",
    ),
    "musical_instrument": _manifest(
        "musical_instrument",
        rows=7990,
        licence="see its source",
        citation="Musical Instrument data set as listed in GAMA, Table 3",
        homepage="https://github.com/Sreyan88/GAMA",
    ),
    "gtzan_train": _manifest(
        "gtzan_train",
        rows=6014,
        licence="none stated",
        citation="Tzanetakis and Cook, Musical Genre Classification of Audio Signals, IEEE TSAP 2002",
        homepage="https://www.kaggle.com/datasets/andradaolteanu/gtzan-dataset-music-genre-classification",
    ),
    "wavtext5k": _manifest(
        "wavtext5k",
        rows=4347,
        licence="audio: BigSoundBank and SoundBible terms",
        citation="Deshmukh et al., Audio Retrieval with WavText5K and CLAP Training, Interspeech 2023",
        homepage="https://github.com/microsoft/WavText5K",
    ),
    "musiccaps": _manifest(
        "musiccaps",
        rows=2645,
        licence="CC BY-SA 4.0 (captions)",
        citation="Agostinelli et al., MusicLM: Generating Music From Text, 2023",
        homepage="https://huggingface.co/datasets/google/MusicCaps",
    ),
    "soniss": _manifest(
        "soniss",
        rows=1602,
        licence="Sonniss GDC bundle licence (royalty free)",
        citation="Sonniss Game Audio GDC bundles",
        homepage="https://sonniss.com/gameaudiogdc",
    ),
    "wavcaps_soundbible": _manifest(
        "wavcaps_soundbible",
        rows=1232,
        licence="CC BY or public domain per clip; captions CC BY 4.0",
        citation=_WAVCAPS,
        homepage="https://huggingface.co/datasets/cvssp/WavCaps",
    ),
    "medley_solos_train": _manifest(
        "medley_solos_train",
        rows=732,
        licence="CC BY 4.0",
        citation="Lostanlen and Cella, Deep Convolutional Networks on the Pitch Spiral, ISMIR 2016",
        homepage="https://zenodo.org/records/3464194",
    ),
    "audioset_compa": _manifest(
        "audioset_compa",
        rows=110000,
        licence="none stated by the authors; annotations of AudioSet-Strong CC BY 4.0",
        citation=_COMPA,
        homepage="https://github.com/Sreyan88/CompA",
        notes=(
            "Stage 2: about 110k pairs of at least two events, each with K = 3 hard negatives in the "
            "caption field."
        ),
    ),
}

COMPA_661K = (
    "wavcaps_freesound",
    "vggsound_train",
    "audioset_strong",
    "audiocaps_train",
    "wavcaps_bbc",
    "clotho_train",
    "macs",
    "musical_instrument",
    "gtzan_train",
    "wavtext5k",
    "musiccaps",
    "soniss",
    "wavcaps_soundbible",
    "medley_solos_train",
)

_LAION = "Wu et al., Large-Scale Contrastive Language-Audio Pretraining with Feature Fusion, ICASSP 2023"

CHECKPOINTS: Mapping[str, CheckpointCard] = {
    "laion/clap-htsat-fused": CheckpointCard(
        name="laion/clap-htsat-fused",
        what="CLAP: HTS-AT tiny with feature fusion, RoBERTa-base text tower (153.5 M parameters)",
        licence="Apache-2.0",
        homepage="https://huggingface.co/laion/clap-htsat-fused",
        revision="cca9e288ab447cee67d9ada1f85ddb46500f1401",
        size="0.6 GB",
        files=("config.json", "model.safetensors|pytorch_model.bin", "tokenizer.json"),
        command=hub_command("laion/clap-htsat-fused", "cca9e288ab447cee67d9ada1f85ddb46500f1401"),
        citation=_LAION,
    ),
    "laion/clap-htsat-unfused": CheckpointCard(
        name="laion/clap-htsat-unfused",
        what="CLAP: HTS-AT tiny without fusion, RoBERTa-base text tower (153.5 M parameters)",
        licence="Apache-2.0",
        homepage="https://huggingface.co/laion/clap-htsat-unfused",
        revision="8fa0f1c6d0433df6e97c127f64b2a1d6c0dcda8a",
        size="0.6 GB",
        files=("config.json", "model.safetensors|pytorch_model.bin", "tokenizer.json"),
        command=hub_command("laion/clap-htsat-unfused", "8fa0f1c6d0433df6e97c127f64b2a1d6c0dcda8a"),
        citation=_LAION,
    ),
    "google/flan-t5-large": CheckpointCard(
        name="google/flan-t5-large",
        what="Flan-T5-large; its encoder (about 340 M parameters) is CompA's text tower",
        licence="Apache-2.0",
        homepage="https://huggingface.co/google/flan-t5-large",
        revision="0613663d0d48ea86ba8cb3d7a44f0f65dc596a2a",
        size="3.1 GB",
        files=("config.json", "model.safetensors|pytorch_model.bin", "tokenizer.json"),
        command=hub_command("google/flan-t5-large", "0613663d0d48ea86ba8cb3d7a44f0f65dc596a2a"),
        citation="Chung et al., Scaling Instruction-Finetuned Language Models, 2022",
    ),
    "htsat-audioset": CheckpointCard(
        name="htsat-audioset",
        what=(
            "HTS-AT tiny trained on AudioSet (30 M parameters): CompA's audio tower before contrastive "
            "training"
        ),
        licence="MIT",
        homepage="https://github.com/RetroCirce/HTS-Audio-Transformer",
        revision="HTSAT_AudioSet_Saved_1",
        size="0.4 GB",
        files=("HTSAT_AudioSet_Saved_1.ckpt",),
        command=(
            "download HTSAT_AudioSet_Saved_1.ckpt by hand (link in the README of "
            f"https://github.com/RetroCirce/HTS-Audio-Transformer) into {RAW}/checkpoints/htsat-audioset"
        ),
        citation="Chen et al., HTS-AT: A Hierarchical Token-Semantic Audio Transformer, ICASSP 2022",
        notes="The publisher gives no checksum.",
    ),
    **LISTENING_CHECKPOINTS,
    **WHEEL_CHECKPOINTS,
}
