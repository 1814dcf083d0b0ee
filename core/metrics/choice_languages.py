"""Words by which answers in other languages than English announce, name, deny and join options: patterns."""

from __future__ import annotations

import unicodedata

_ANSWER = (
    r"réponse|reponse|respuesta|resposta|risposta|antwort|lösung|antwoord|svar|svaret|vastaus|odpowied[źz]|"
    r"odpověď|odpoveď|válasz|răspuns|răspunsul|ответ|відповідь|отговор|отговорът|одговор|απάντηση|cevap|yanıt|"
    r"opción|opcion|opção|opzione|alternativa|вариант|תשובה|jawaban|jawabannya|đáp án|câu trả lời|"
    r"उत्तर|উত্তর|الإجابة|الجواب|התשובה|پاسخ"
)
_IS = (
    r"est|es|é|è|ist|lautet|wäre|is|luidt|är|er|on|to|je|jest|este|это|είναι|là|adalah|ialah|"
    r"है|হল|هي|هو|היא|است"
)
_ANSWER_CJK = r"答案|回答|答え|解答|正解|选择|選擇|选项|選項|選択|답변|정답|답|선택|คำตอบ(?:ที่ถูกต้อง)?"
# Behind these an answer follows; every text has been through plain_text.
CUES = unicodedata.normalize(
    "NFKC",
    rf"\b(?:{_ANSWER})(?:\s+\w+){{0,2}}?\s*(?:\s(?:{_IS})\b|:|=|\s-)\s*:?"
    rf"|(?:{_ANSWER_CJK})\s*(?:应该是|應該是|应为|應為|是|为|為|は|が|은|는|이|가|คือ|:|=)\s*:?"
    r"|我(?:认为|認為)(?:答案)?(?:应该|應該)?是\s*:?|(?<!\w)答\s*:"
    r"|(?:(?<=[我应應故该該就会會以此要题題])|(?<!\w))(?:选择|選擇|选|選)(?![项項択])\s*:?"
    r"|\b(?:ich (?:wähle|nehme)|je (?:choisis|prends|dirais)|elijo|escojo|selecciono|escolho|scelgo|выбираю|"
    r"wybieram|ik kies|jag väljer|tôi chọn|saya memilih)\b\s*:?",
)
# A capital behind these is an option's letter; their languages have no article that is one.
NAMED = (
    rf"(?:\b(?i:opción|opcion|opção|opzione|lettre|letra|lettera|alternativa|buchstabe|вариант|буква|optie|"
    rf"seçenek|pilihan|{_ANSWER})\s+[\"'(\[]*|(?:选项|選項|選択肢|オプション|보기|옵션|선택지)\s*[\"'(\[「]*)"
)
# A capital before these, between scripts that have none.
JUDGED = (
    r"(?:项|項|选项|選項|が正|が最|を選|です|だと思|是正|是对|是對|正确|正確|为正|為正|最符合|最合[适適]|"
    r"(?:이|가)\s*(?:정답|맞)|번|입니다|이다|예요|이에요|(?:를|을)\s*선택|"
    r"\s(?:ist|est|es|é|è)\s(?:die |la |el |a )?(?:richtig|korrekt|corre[ct]|juste|bonne|exact))"
)
NOT = r"nicht|kein|keine|keinen|keiner|pas|não|нет|не|nie|inte|ikke|niet|geen|ni|non"
NOT_CJK = r"不是|並非|并非|而非|不选择|不選擇|不选|不選|排除"
CONTRAST = r"es|c'est|sondern|nicht|mais|pas|sino|mas|но|не|oder|ou|или"
BESIDE_NOT = (
    r"es|est|ist|é|è|un|une|una|uno|le|la|les|el|los|las|um|uma|il|lo|ein|eine|einen|der|die|das|den|c'est"
)
WRONG = (
    r"\s*(?:是|為|为)?(?:错|錯|不对|不對|不正[确確])|\s*(?:では|じゃ)(?:な|あり)|\s*(?:은|는|이|가)?\s*아[니닙]"
    r"|\s+(?:ist|est|es|é|è|это)?\s*(?:falsch|faux|fausse|falso|falsa|errad[oa]|sbagliat[oa]|неверно|"
    r"неправильно)\b"
)
JOINED = r"\b(?:y|e|o|und|oder|et|ou|и|или|lub|en|och|eller)\b" + (
    r"|それとも|または|还是|還是|또는|和|或|与|與|及|と|와|과"
)
