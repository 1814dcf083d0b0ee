"""Answers that were read wrongly once, by kind."""

from __future__ import annotations

import pytest

from core.metrics.choice import read
from core.metrics.choice_latex import plain_latex
from core.metrics.choice_spelling import tight

WHO, KEY, YES = ["Man", "Woman", "Child", "Robot"], ["G", "A#", "D", "E"], ["Yes", "No"]
HERTZ, COUNTS = ["10", "100", "1000", "10,000"], ["2", "3", "5", "7"]
PAIRS = ["morning,late", "a, minute", "green,leaf", "river,stone"]
TIMES = ["0:05 - 0:10", "0:10-0:20", "00:30 to 00:40", "1:00 / 2:00"]
CHORDS = ["C,G,Am,F", "C, F, G", "D - A - Bm", "A/E"]
THOUSANDS = ["one thousand ninety", "one thousand ninety-one", "two hundred", "two"]
MANY, NONE = "ambiguous", "unparsed"

# thoughts
THOUGHTS_SAID = [
    (WHO, "[THINK]A[/THINK]B", 1),
    (WHO, "[think]A it is[/think]\n\nB", 1),
    (WHO, "<seed:think>A</seed:think>B", 1),
    (WHO, "◁think▷A◁/think▷B", 1),
    (WHO, "<|begin_of_thought|>A<|end_of_thought|><|begin_of_solution|>B<|end_of_solution|>", 1),
    (WHO, "<|START_THINKING|>A<|END_THINKING|><|START_RESPONSE|>B<|END_RESPONSE|>", 1),
    (
        WHO,
        "<|channel|>analysis<|message|>A?<|end|><|start|>assistant<|channel|>final<|message|>B<|return|>",
        1,
    ),
    (WHO, "<|channel|>analysis<|message|>The answer is A.", NONE),
    (WHO, "analysisThe voice is low, A?assistantfinalB", 1),
    (WHO, "Thinking...\nIt is A.\n...done thinking.\n\nB", 1),
    (WHO, "&lt;think&gt;A&lt;/think&gt;B", 1),
    (WHO, "[THINK]The answer is A", NONE),
    (WHO, "<thought_process>A</thought_process>B", 1),
    (WHO, "<unused94>thought\nA<unused95>B", 1),
    (WHO, "【思考】A【/思考】B", 1),
    (WHO, "{think}A{/think}B", 1),
    (WHO, '<think foo="1">A</think>B', 1),
    (WHO, "<reflection>A</reflection><answer>B</answer>", 1),
    (
        WHO,
        "<SUMMARY>s</SUMMARY><CAPTION>A man</CAPTION><REASONING>A</REASONING><CONCLUSION>B</CONCLUSION>",
        1,
    ),
    (WHO, "<think/>B", 1),
    (WHO, "<think></think>B", 1),
    (WHO, "<think>A</think><think>C</think>B", 1),
    (WHO, "[REASONING]A[/REASONING]B", 1),
    (WHO, "[Reasoning] low voice. [Answer] B", 1),
    (WHO, "[ANSWER]B[/ANSWER]", 1),
]
# languages
LANGUAGES_SAID = [
    (WHO, "正確答案是 B", 1),
    (WHO, "答案應為B。", 1),
    (WHO, "我认为是B。", 1),
    (WHO, "选项B", 1),
    (WHO, "選項 B 正確", 1),
    (WHO, "不选A，选B", 1),
    (WHO, "B 是正确的", 1),
    (WHO, "A 是错误的，B 是正确的。", 1),
    (WHO, "正解はBです。", 1),
    (WHO, "Bを選びます", 1),
    (WHO, "正解は選択肢Bです", 1),
    (WHO, "答えはAではなくBです", 1),
    (WHO, "답은 B입니다.", 1),
    (WHO, "정답: B", 1),
    (WHO, "저는 B를 선택합니다.", 1),
    (WHO, "B가 정답입니다", 1),
    (WHO, "정답은 B번입니다", 1),
    (WHO, "La réponse est B.", 1),
    (WHO, "La réponse correcte est la lettre B", 1),
    (WHO, "La respuesta correcta es B", 1),
    (WHO, "La respuesta es la opción B.", 1),
    (WHO, "A resposta correta é B.", 1),
    (WHO, "A resposta é a opção B", 1),
    (WHO, "La risposta è B", 1),
    (WHO, "Die Antwort ist B.", 1),
    (WHO, "Die richtige Antwort lautet: B", 1),
    (WHO, "Правильный ответ: B", 1),
    (WHO, "Правильный ответ — B.", 1),
    (WHO, "Ответ B", 1),
    (WHO, "Odpowiedź: B", 1),
    (WHO, "Het antwoord is B", 1),
    (WHO, "Svaret är B", 1),
    (WHO, "Doğru cevap B", 1),
    (WHO, "Đáp án là B", 1),
    (WHO, "Jawaban: B", 1),
    (WHO, "คำตอบคือ B", 1),
    (WHO, "الإجابة هي B", 1),
    (WHO, "सही उत्तर B है", 1),
    (WHO, "Ich wähle B", 1),
    (WHO, "Je choisis B", 1),
    (WHO, "Elijo la opción B", 1),
    (WHO, "Die Antwort ist A oder B", MANY),
    (WHO, "La respuesta es A o B", MANY),
    (WHO, "答案是A和B", MANY),
    (WHO, "Die Antwort ist nicht A, sondern B", 1),
    (["Mann", "Frau"], "Es ist eine Frau, kein Mann", 1),
    (["男性", "女性"], "女性です。男性ではありません。", 1),
]
# latex
LATEX_SAID = [
    (WHO, r"\boxed{\begin{array}{c} B \end{array}}", 1),
    (WHO, r"$$\boxed{\begin{aligned} B \end{aligned}}$$", 1),
    (WHO, r"\boxed{\text{\textbf{B}}}", 1),
    (WHO, r"\boxed{\begin{tabular}{|l|c|} B \\ \end{tabular}}", 1),
    (WHO, r"\boxed{\begin{matrix} B \end{matrix}}", 1),
    (WHO, r"\boxed{\textcolor{red}{B}}", 1),
    (WHO, r"\boxed{\color{red}{B}}", 1),
    (WHO, r"\boxed{\mathbf{B}}", 1),
    (WHO, r"\boxed{\left(B\right)}", 1),
    (WHO, r"\boxed{B.}", 1),
    (WHO, r"\boxed{\mathrm{(B)\ Woman}}", 1),
    (WHO, r"\[\boxed{B}\]", 1),
    (WHO, r"\(\boxed{B}\)", 1),
    (WHO, r"The answer is \(B\).", 1),
    (WHO, r"\fbox{B}", 1),
    (WHO, r"\boxed B", 1),
    (WHO, r"\boxed{}", NONE),
    (WHO, r"\boxed{\begin{cases} B \end{cases}}", 1),
    (WHO, r"\boxed{\Large B}", 1),
    (WHO, r"\boxed{\quad B \quad}", 1),
    (WHO, r"\boxed{\begin{array}{c@{\hspace{1em}}c} B \end{array}}", 1),
    (WHO, r"\boxed{\boxed{B}}", 1),
    (WHO, r"\boxed{\text{B}: \text{Woman}}", 1),
    (HERTZ, r"\boxed{10{,}000}", 3),
    (HERTZ, r"\boxed{10\,000}", 3),
    (HERTZ, "$10,000$", 3),
    (["1/2", "3/4"], r"\boxed{\frac{3}{4}}", 1),
    (WHO, r"\boxed{\underline{B}}", 1),
    (WHO, r"\\boxed{B}", 1),
    (WHO, r"\begin{equation} \boxed{B} \end{equation}", 1),
    (WHO, r"\begin{minipage}{c} B \end{minipage}", 1),
]
# numbers
NUMBERS_SAID = [
    (HERTZ, "10 000", 3),
    (HERTZ, "10\u202f000", 3),
    (HERTZ, "10'000", 3),
    (HERTZ, "10000", 3),
    (HERTZ, "1,000", 2),
    (HERTZ, "1 000", 2),
    (HERTZ, "It is 10 000 Hz", 3),
    (HERTZ, "10 thousand", NONE),
    (HERTZ, "10 million", NONE),
    (HERTZ, "10³", NONE),
    (HERTZ, "10^3", NONE),
    (HERTZ, "2 100", NONE),
    (HERTZ, "> 10", NONE),
    (HERTZ, "-> 10", 0),
    (HERTZ, "10½", NONE),
    (HERTZ, "10", 0),
    (HERTZ, "It is 10.", 0),
    (HERTZ, "10 Hz", 0),
    (HERTZ, "10, 000", 3),
    (["two", "twenty", "one hundred", "five"], "twenty two", NONE),
    (["two", "twenty", "one hundred", "five"], "one hundred and five", NONE),
    (["two", "twenty", "one hundred", "five"], "two hundred", NONE),
    (["two", "twenty", "one hundred", "five"], "There are two.", 0),
    (THOUSANDS, "one thousand ninety one", 1),
    (THOUSANDS, "two hundred", 2),
]
# blanks
BLANKS_SAID = [
    (PAIRS, "morning , late", 0),
    (PAIRS, "a,minute", 1),
    (PAIRS, "The answer is a , minute.", 1),
    (PAIRS, "(B) a,minute", 1),
    (PAIRS, "**river, stone**", 3),
    (TIMES, "0:05-0:10", 0),
    (TIMES, "0:05–0:10", 0),
    (TIMES, "It is 0:10 - 0:20.", 1),
    (TIMES, "1:00/2:00", 3),
    (CHORDS, "C, G, Am, F", 0),
    (CHORDS, "C,F,G", 1),
    (CHORDS, "D-A-Bm", 2),
    (CHORDS, "The progression is C, G, Am, F.", 0),
    (CHORDS, "A / E", 3),
    (["a,b", "a, b"], "a, b", 1),
    (["a,b", "a, b"], "It is a,b.", 0),
]
# emphasis
EMPHASIS_SAID = [
    (KEY, "**D**", 2),
    (KEY, "__D__", 2),
    (KEY, "***D***", 2),
    (KEY, "*D*", 2),
    (KEY, "**D.**", 2),
    (KEY, "**(D)**", MANY),
    (KEY, "<b>D</b>", 2),
    (KEY, "I believe **D** is right.", 2),
    (KEY, "**B**", 1),
    (KEY, r"$\textbf{D}$", 2),
    (KEY, r"\boxed{D}", 2),
    (WHO, "I believe **B** is right.", 1),
]
# no
NO_SAID = [
    (YES, "I have no idea.", NONE),
    (YES, "I have no clue", NONE),
    (YES, "There is no way to tell.", NONE),
    (YES, "No.", 1),
    (YES, "no", 1),
    (YES, "No, there is not.", 1),
    (YES, "No because it is quiet", 1),
    (YES, "No it is not", 1),
    (YES, "The answer is no", 1),
    (YES, "I'd say no.", 1),
    (YES, "No dog barks", NONE),
    (YES, "No lo sé", NONE),
    (YES, "Yes, no doubt.", 0),
    (YES, "There is no doubt: yes", 0),
    (YES, "I don't know.", NONE),
    (YES, "No one knows.", NONE),
    (YES, "No. It is quiet.", 1),
    (YES, "No - it is quiet", 1),
    (YES, "**No**", 1),
    (YES, "no idea", NONE),
    (YES, "No. 5", NONE),
    (YES, "Idk", NONE),
    (YES, "None of these.", NONE),
    (YES, "No!", 1),
    (["one", "two", "three", "four"], "I don't know which one", NONE),
    (["one", "two", "three", "four"], "No one", NONE),
    (["one", "two", "three", "four"], "There is one.", 0),
    (["one", "two", "three", "four"], "One of them", NONE),
]
# brackets
BRACKETS_SAID = [
    (COUNTS, "5 (2 dogs + 3 cats)", 2),
    (COUNTS, "5 = 2 + 3", 2),
    (COUNTS, "2 + 3 = 5", 2),
    (COUNTS, "There are 5 (2 dogs + 3 cats).", 2),
    (COUNTS, "There are 5 dogs (2 big and 3 small).", 2),
    (COUNTS, "5 (two dogs, 3 cats)", 2),
    (COUNTS, "5: 2 dogs and 3 cats", 2),
    (COUNTS, "2 dogs and 3 cats, so 5.", 2),
    (COUNTS, "5 (or 7)", MANY),
    (WHO, "Woman (the man is silent)", 1),
    (WHO, "A dog (or a man)", 0),
    (WHO, "Man (or woman)", MANY),
    (WHO, "Man (Woman)", MANY),
    (WHO, "Woman (B)", 1),
    (WHO, "Woman (rather than man)", 1),
    (WHO, "(A man speaks.) B", 1),
]


@pytest.mark.parametrize(
    ("choices", "output", "expected"),
    [
        *THOUGHTS_SAID,
        *LANGUAGES_SAID,
        *LATEX_SAID,
        *NUMBERS_SAID,
        *BLANKS_SAID,
        *EMPHASIS_SAID,
        *NO_SAID,
        *BRACKETS_SAID,
    ],
)
def test_readings(choices: list[str], output: str, expected: int | str) -> None:
    reading = read(output, choices, rule="letter_aware")
    assert (reading.status if reading.option is None else reading.option) == expected


def test_the_other_rules_read_none_of_this() -> None:
    assert read("morning, late", PAIRS, rule="option_exact").status == NONE
    assert read("I have no idea.", YES, rule="official_2025").option == 1
    assert read("[THINK]Man[/THINK]Woman", WHO, rule="official_2025").status == NONE


@pytest.mark.timeout(30)  # patterns that backtrack without end would take years
@pytest.mark.parametrize(
    "piece",
    [
        *(
            "[THINK]",
            "[/THINK]",
            "<|channel|>analysis<|message|>",
            "analysis",
            "◁think▷",
            "[Answer]",
            "&lt;think",
        ),
        *(
            "\\boxed{",
            "\\boxed{B}",
            "\\begin{array}{c",
            "{{",
            "\\frac{1}{",
            "\\text{",
            "$",
            "\\\\",
            "\\left(",
        ),
        *(
            "10 000 ",
            "one hundred and ",
            "twenty ",
            "5 (2 dogs ",
            "(2 + 3 = ",
            "2 + ",
            "no ",
            "which one ",
            ">",
        ),
        *("La réponse ", "我选", "答え", "정답은 ", "nicht ", "A oder ", "morning , ", "morning,", " , "),
    ],
)
def test_what_a_model_repeats_is_read_in_time(piece: str) -> None:
    for choices in (WHO, HERTZ, YES, COUNTS, PAIRS, THOUSANDS):
        read(piece * 1500 + "zzz", choices, rule="letter_aware")


def test_latex_as_plain_text() -> None:
    assert plain_latex(r"$\boxed{\text{$5}}$").strip() == "Final answer: $5"
    assert plain_latex(r"R\&B in \textit{C}\sharp") == "R&B in C#"
    assert plain_latex("It costs $5 & more") == "It costs $5 & more"
    assert plain_latex(r"\boxed{A} or \boxed{B}") == "\nFinal answer: A\n or \nFinal answer: B\n"
    assert plain_latex(r"\boxed{never ends") == r"\boxed{never ends"


def test_blanks_that_do_not_matter() -> None:
    assert tight("a , b: 10 000 - c d") == tight("a,b:10,000-c d") == "a,b:10000-c d"
