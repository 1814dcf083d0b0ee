"""The cards of the sets and checkpoints that GAMA listens to, answers about and is made of."""

from __future__ import annotations

from collections.abc import Mapping

from core.data.card import Card, CheckpointCard, OfficialFile, hub_command

_GAMA = (
    "Ghosh et al., GAMA: A Large Audio-Language Model with Advanced Audio Understanding and Complex "
    "Reasoning Abilities, EMNLP 2024"
)
_DCASE = "Mesaros et al., DCASE 2017 Challenge Setup: Tasks, Datasets and Baseline System, DCASE 2017"
_NEAREST = "the model's caption takes the label with the nearest text embedding"

LISTENING: Mapping[str, Card] = {
    "dcase2017": Card(
        name="dcase2017",
        task="multi-label classification",
        counts={"test": 1103, "valid": 488, "train": 51172},
        licence="CC BY 4.0 (annotations, from AudioSet); audio under the terms of each YouTube video",
        citation=_DCASE,
        homepage=(
            "https://github.com/ankitshah009/"
            "Task-4-Large-scale-weakly-supervised-sound-event-detection-for-smart-cars"
        ),
        files=(
            OfficialFile(
                "groundtruth_weak_label_evaluation_set.csv"
                "|groundtruth_release/groundtruth_weak_label_evaluation_set.csv"
                "|metadata/groundtruth_weak_label_evaluation_set.csv"
            ),
            OfficialFile("evaluation/|evaluation_set_formatted_audio_segments/|audio/evaluation/"),
        ),
        protocol=f"{_NEAREST}; micro-F1 of that one label over the 17 classes",
        notes=(
            "Task 4, smart cars; test is the challenge's evaluation set. Audio files are "
            "Y<id>_<start>_<end>.wav. The publisher gives no checksum."
        ),
    ),
    "vocalsound": Card(
        name="vocalsound",
        task="classification",
        counts={"test": 3594, "valid": 1860, "train": 15570},
        licence="CC BY-SA 4.0",
        citation=(
            "Gong et al., VocalSound: A Dataset for Improving Human Vocal Sounds Recognition, ICASSP 2022"
        ),
        homepage="https://github.com/YuanGongND/vocalsound",
        files=(
            OfficialFile(
                "datafiles/te.json|data/datafiles/te.json|vs_release_16k/datafiles/te.json"
                "|vs_release_44k/datafiles/te.json"
            ),
            OfficialFile(
                "class_labels_indices_vs.csv|data/class_labels_indices_vs.csv"
                "|vs_release_16k/class_labels_indices_vs.csv|vs_release_44k/class_labels_indices_vs.csv"
            ),
            OfficialFile(
                "audio_16k/|audio_44k/|data/audio_16k/|data/audio_44k/|vs_release_16k/audio_16k/"
                "|vs_release_44k/audio_44k/"
            ),
        ),
        protocol=f"{_NEAREST} of the six",
        notes="21,024 recordings of 3,365 people. The publisher gives no checksum.",
    ),
    "tut2017": Card(
        name="tut2017",
        task="classification",
        counts={"test": 1620, "train": 4680},
        licence="Tampere University (non-commercial, attribution)",
        citation=_DCASE,
        homepage="https://zenodo.org/records/1040168",
        files=(
            OfficialFile("TUT-acoustic-scenes-2017-evaluation/meta.txt|evaluation/meta.txt|meta.txt"),
            OfficialFile("TUT-acoustic-scenes-2017-evaluation/audio/|evaluation/audio/|audio/"),
        ),
        protocol=f"{_NEAREST} of the 15 scenes",
        notes=(
            "TUT Acoustic Scenes 2017; the development part is https://zenodo.org/records/400515. Checksums "
            "are on those pages and not transcribed here."
        ),
    ),
    "beijing_opera": Card(
        name="beijing_opera",
        task="classification",
        counts={"test": 236},
        licence="each FreeSound clip's own Creative Commons licence",
        citation=(
            "Tian et al., A Study of Instrument-wise Onset Detection in Beijing Opera Percussion Ensembles, "
            "ICASSP 2014"
        ),
        homepage="https://compmusic.upf.edu/bo-perc-dataset",
        files=(OfficialFile("audios/|./"),),
        protocol=f"{_NEAREST} of the four instruments",
        notes=(
            "Strokes of bangu, naobo, daluo and xiaoluo, asked for in English words. Keep the FreeSound "
            "names, <id>__ajaysm__<instrument>-<number>.wav. The publisher gives no checksum."
        ),
    ),
    "nsynth": Card(
        name="nsynth",
        task="instrument and source of a note",
        counts={"test": 4096, "valid": 12678, "train": 289205},
        licence="CC BY 4.0",
        citation="Engel et al., Neural Audio Synthesis of Musical Notes with WaveNet Autoencoders, ICML 2017",
        homepage="https://magenta.tensorflow.org/datasets/nsynth",
        files=(
            OfficialFile("nsynth-test/examples.json|test/examples.json|examples.json"),
            OfficialFile("nsynth-test/audio/|test/audio/|audio/"),
        ),
        protocol=f"{_NEAREST}: of the families, and of acoustic, electronic and synthetic",
        notes="Take the json/wav archives. The publisher gives no checksum.",
    ),
    "gtzan": Card(
        name="gtzan",
        task="classification",
        counts={"test": 1000},
        licence="none stated",
        citation="Tzanetakis and Cook, Musical Genre Classification of Audio Signals, IEEE TSAP 2002",
        homepage="https://www.kaggle.com/datasets/andradaolteanu/gtzan-dataset-music-genre-classification",
        files=(
            OfficialFile("genres/|genres_original/|Data/genres_original/|gtzan_genre/genres/|gtzan/genres/"),
        ),
        archives={"genres.tar.gz": "5b3d6dddb579ab49814ab86dba69e7c7"},
        protocol=f"{_NEAREST} of the ten genres; all 1,000 tracks",
        notes=(
            "The publisher's server is gone; the checksum is that of its archive. In the mirror jazz.00054 "
            "is broken. GAMA does not say whether it tests on all tracks; we do."
        ),
    ),
    "medley_solos": Card(
        name="medley_solos",
        task="classification",
        counts={"test": 12236, "valid": 3494, "train": 5841},
        licence="CC BY 4.0",
        citation="Lostanlen and Cella, Deep Convolutional Networks on the Pitch Spiral, ISMIR 2016",
        homepage="https://zenodo.org/records/3464194",
        files=(
            OfficialFile("Medley-solos-DB_metadata.csv|annotation/Medley-solos-DB_metadata.csv"),
            OfficialFile("Medley-solos-DB/|audio/"),
        ),
        archives={
            "Medley-solos-DB.tar.gz": "f5facf398793ef5c1f80c013afdf3e5f",
            "Medley-solos-DB_metadata.csv": "fda6a589c56785f2195c9227809c521a",
        },
        protocol=f"{_NEAREST} of the eight instruments",
    ),
    "audioset": Card(
        name="audioset",
        task="multi-label classification",
        counts={"test": 20371, "train": 22160},
        licence="CC BY 4.0 (annotations); audio under the terms of each YouTube video",
        citation=(
            "Gemmeke et al., Audio Set: An Ontology and Human-labeled Dataset for Audio Events, ICASSP 2017"
        ),
        homepage="https://research.google.com/audioset/download.html",
        files=(
            OfficialFile("eval_segments.csv"),
            OfficialFile("class_labels_indices.csv"),
            OfficialFile("eval/|eval_segments/|audio/"),
        ),
        protocol="similarity of the model's caption to each of the 527 labels; macro mAP",
        notes="Rows of the lists; videos vanish, so papers differ in n. The publisher gives no checksum.",
    ),
    "clothoaqa": Card(
        name="clothoaqa",
        task="question answering",
        counts={"test": 2838, "valid": 2064},
        audio_files=1991,
        licence="questions and answers MIT (Tampere University); audio: each FreeSound clip's own",
        citation=(
            "Lipping et al., Clotho-AQA: A Crowdsourced Dataset for Audio Question Answering, EUSIPCO 2022"
        ),
        homepage="https://zenodo.org/records/6473207",
        files=(OfficialFile("clotho_aqa_test.csv"), OfficialFile("audio_files/")),
        protocol="unanimous yes/no questions, and any of the three answers for the rest, reported separately",
        notes=(
            "Six questions a clip, three answers a question; one row a question, 473 clips in test. "
            "clotho_aqa_metadata.csv beside it lets the contamination check use FreeSound ids: the clips are "
            "Clotho's. Checksums are on its page and not transcribed here."
        ),
    ),
    "openaqa": Card(
        name="openaqa",
        task="open-ended questions",
        counts={},
        licence="none stated for the questions; audio under the terms of each source data set",
        citation="Gong et al., Listen, Think, and Understand, ICLR 2024",
        homepage="https://github.com/YuanGongND/ltu",
        files=(
            OfficialFile(
                "openaqa_5.6M.json|openaqa.json|openaqa_toy.json|openaqa_toy_relative.json|openaqa_test.json"
            ),
            OfficialFile("audio/"),
        ),
        protocol="a judge scores the answers to questions held out by a person; no official test split",
        notes=(
            "5,681,708 question-answer pairs over the audio of eight data sets; nobody publishes how many "
            "files. For a test split hold items out in openaqa_test.json, in the same schema."
        ),
    ),
    "compa_r": Card(
        name="compa_r",
        task="reasoning questions",
        counts={"test": 500, "train": 62613},
        licence="repository Apache-2.0; audio from AudioSet-Strong under the terms of each YouTube video",
        citation=_GAMA,
        homepage="https://github.com/Sreyan88/GAMA",
        files=(OfficialFile("CompA-R-test.json"), OfficialFile("compa_r_test_audios/|audio/")),
        protocol=(
            "a judge scores clarity, correctness and engagement from 1 to 5 by events, caption and reference"
        ),
        notes=(
            "1,561 test and 200,234 training pairs (CompA-R.json, compa_r_train_audios/). By hand, from the "
            "links in its README, without checksums. One released test file lacks captions and events."
        ),
    ),
}

# What the tables of GAMA are measured on
GAMA_TESTS = (
    "esc50",
    "dcase2017",
    "vocalsound",
    "tut2017",
    "beijing_opera",
    "vggsound",
    "fsd50k",
    "nsynth",
    "gtzan",
    "medley_solos",
    "audioset",
    "audiocaps",
    "clotho",
    "clothoaqa",
    "openaqa",
    "compa_r",
)

_AST = "f826b80d28226b62986cc218e5cec390b1096902"
_LLAMA = "01c7f73d771dfac7d292323805ebc428287df4f9"
_BERT = "86b5e0934494bd15c9632b12f734a8a67f723594"
_MPNET = "e8c3b32edf5434bc2275fc9bab85f82640a19130"
_WHISPER = "ae4642769ce2ad8fc292556ccea8e901f1530655"

LISTENING_CHECKPOINTS: Mapping[str, CheckpointCard] = {
    "MIT/ast-finetuned-audioset-10-10-0.4593": CheckpointCard(
        name="MIT/ast-finetuned-audioset-10-10-0.4593",
        what="AST fine-tuned on AudioSet (86.6 M parameters, 527 labels): GAMA's encoder and event tags",
        licence="BSD-3-Clause",
        homepage="https://huggingface.co/MIT/ast-finetuned-audioset-10-10-0.4593",
        revision=_AST,
        size="0.35 GB",
        files=("config.json", "model.safetensors|pytorch_model.bin", "preprocessor_config.json"),
        command=hub_command("MIT/ast-finetuned-audioset-10-10-0.4593", _AST),
        citation="Gong et al., AST: Audio Spectrogram Transformer, Interspeech 2021",
    ),
    "meta-llama/Llama-2-7b-hf": CheckpointCard(
        name="meta-llama/Llama-2-7b-hf",
        what="LLaMA-2-7B (6.7 B parameters): GAMA's language model",
        licence="Llama 2 Community License; accept it on its page for access, then `hf auth login`",
        homepage="https://huggingface.co/meta-llama/Llama-2-7b-hf",
        revision=_LLAMA,
        size="13.5 GB",
        files=(
            "config.json",
            "model-00001-of-00002.safetensors|pytorch_model-00001-of-00002.bin|model.safetensors",
            "model-00002-of-00002.safetensors|pytorch_model-00002-of-00002.bin|model.safetensors",
            "tokenizer.json|tokenizer.model",
        ),
        command=hub_command(
            "meta-llama/Llama-2-7b-hf",
            _LLAMA,
            "config.json",
            "generation_config.json",
            "model.safetensors.index.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "special_tokens_map.json",
            "tokenizer.json",
            "tokenizer.model",
            "tokenizer_config.json",
        ),
        citation="Touvron et al., Llama 2: Open Foundation and Fine-Tuned Chat Models, 2023",
        notes="The paper says LLaMA-2-7B; the released code loads the chat version.",
    ),
    "google-bert/bert-base-uncased": CheckpointCard(
        name="google-bert/bert-base-uncased",
        what="BERT-base (110 M parameters): the start of the audio Q-Former",
        licence="Apache-2.0",
        homepage="https://huggingface.co/google-bert/bert-base-uncased",
        revision=_BERT,
        size="0.44 GB",
        files=("config.json", "model.safetensors|pytorch_model.bin", "tokenizer.json|vocab.txt"),
        command=hub_command(
            "google-bert/bert-base-uncased",
            _BERT,
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
            "vocab.txt",
        ),
        citation="Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers, NAACL 2019",
    ),
    "sentence-transformers/all-mpnet-base-v2": CheckpointCard(
        name="sentence-transformers/all-mpnet-base-v2",
        what="Sentence-BERT on MPNet-base (109 M parameters): maps answers to labels",
        licence="Apache-2.0",
        homepage="https://huggingface.co/sentence-transformers/all-mpnet-base-v2",
        revision=_MPNET,
        size="0.44 GB",
        files=("config.json", "model.safetensors|pytorch_model.bin", "tokenizer.json|vocab.txt"),
        command=hub_command(
            "sentence-transformers/all-mpnet-base-v2",
            _MPNET,
            "config.json",
            "model.safetensors",
            "special_tokens_map.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "vocab.txt",
        ),
        citation="Reimers and Gurevych, Sentence-BERT, EMNLP 2019",
        notes="GAMA says Sentence-BERT and names no model; this one is our choice.",
    ),
    "openai/whisper-large-v2": CheckpointCard(
        name="openai/whisper-large-v2",
        what="Whisper large-v2 (1.5 B parameters); its encoder is the second listener of SALMONN",
        licence="Apache-2.0",
        homepage="https://huggingface.co/openai/whisper-large-v2",
        revision=_WHISPER,
        size="6.2 GB",
        files=("config.json", "model.safetensors|pytorch_model.bin", "preprocessor_config.json"),
        command=hub_command(
            "openai/whisper-large-v2",
            _WHISPER,
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "preprocessor_config.json",
        ),
        citation="Radford et al., Robust Speech Recognition via Large-Scale Weak Supervision, ICML 2023",
    ),
}
