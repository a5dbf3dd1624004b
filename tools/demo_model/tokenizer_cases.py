"""Mixed strings that the token-id cases are made of: languages, accents, emoji, odd spaces, controls."""

from __future__ import annotations

import random

from assorted_text import CHINESE, ENGLISH
from captions import caption
from scene import all_triples, random_scene

FIXED: tuple[str, ...] = (
    "", " ", "   ", "\t", "\n", "\r\n", "\u3000", "\u00a0", "\u200b", "\ufeff", "a", "A", "1", ".", "。", "的",
    " a", "a ", "  a  b  ", "a\tb", "a\nb", "a\r\nb", "a\u00a0b", "a\u3000b", "a\u2003b", "a\u2028b", "a\u0085b",
    "a\u200bb", "a\u200db", "a\u200cb", "\ufeffa", "a\u00adb", "a\u2060b", "a\u0000b", "a\u0001b", "a\u007fb",
    "a\u0080b", "a\ufffdb", "\ue000private", "tab\tand\vvertical\fform", "bell\aback\bspace", "esc\x1b[0m",
    "café", "cafe\u0301", "naïve", "Ångström", "A\u030angstro\u0308m", "ÉCOLE", "straße", "STRASSE", "ﬁne ﬂow",
    "İstanbul", "ıI", "Ǆ ǅ ǆ", "ñandú", "Čeština", "Žluťoučký kůň", "Łódź", "fiancée's résumé", "Zoë", "smørrebrød",
    "e\u0301\u0323", "q\u0307\u0323", "a\u0300\u0301\u0302", "\u0301", "\u0301a", "Å \u212b", "Ω \u2126", "K \u212a",
    "ｆｕｌｌ ｗｉｄｔｈ", "ＡＢＣ１２３", "！？，。", "（红色）", "ｱｲｳｴｵ", "ﾊﾟﾋﾟ", "①②③", "½ ¼ ¾", "x² + y³", "™ ® ©", "№5",
    "Ⅳ ⅳ", "㎏ ㎡", "㍻", "…", "—–-", "‘quotes’ “double”", "«guillemets»", "„unten“", "don't", "it's", "rock'n'roll",
    "state-of-the-art", "e-mail@example.org", "https://example.org/a?b=c&d=%20#e", "C:\\path\\file.txt", "a/b/c",
    "snake_case camelCase", "3.14159", "1,000,000", "-42", "+7", "1e-5", "0x1F", "12:34:56", "2024-09-17", "$9.99",
    "€5", "£3", "¥100", "￥100", "50%", "#tag", "@name", "a*b", "a^b", "~", "`code`", "<b>", "</s>", "<s>", "<unk>",
    "<0x41>", "[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]", "[cls]", "a [SEP] b", "[MASK]ed", "##ing", "## ing", "▁",
    "▁a", "a▁b", "{}", "()", "[]", "|", "\\", "\"", "'", "''", "...", "?!", "!!!", "a.b.c", ",a,", "::",
    "😀", "😀😀", "a😀b", "👍🏽", "👨‍👩‍👧", "❤️", "☺", "✓", "★☆", "🇨🇳", "🟥 red 🔵 blue", "→ right", "↗", "⬆️ up", "∑∫√∞",
    "한국어", "안녕하세요 세계", "빨간 원이 오른쪽으로", "\u1112\u1161\u11ab", "日本語", "赤い丸が右へ動く", "ひらがな", "カタカナ",
    "が", "か\u3099", "東京タワー", "مرحبا بالعالم", "دائرة حمراء", "שלום", "שָׁלוֹם", "नमस्ते", "สวัสดี", "Привет, мир",
    "красный круг движется вправо", "ЁЖ ёж", "й и\u0306", "Γειά σου", "ΣΊΣΥΦΟΣ σς", "Հայերեն", "ქართული",
    "Tiếng Việt", "Türkçe", "Xin chào", "አማርኛ", "བོད་", "ᚠᚢᚦ", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "𝟙𝟚𝟛", "𠀀𠀁", "\U0002a700", "龘", "〇", "々",
    "㐀", "豈", "\uf900", "丽", "⺀", "㊗️", "繁體中文", "红色圆形circle向右move", "a红b蓝c", "红 色 圆", "圆，圆。圆！",
    "3个red圆", "第１章", "Ｒｅｄ　ｃｉｒｃｌｅ", "一個紅色的圓形向右移動", "red\u3000circle", "ABCdef", "RED CIRCLE", "rEd CiRcLe",
    "movingmovingmoving", "unbelievable", "antidisestablishmentarianism", "pneumonoultramicroscopic", "xyzzy", "qqq",
    "zzzzzzzz", "aaaaaaaaaaaaaaaaaaaaaaaa", "supercalifragilisticexpialidocious", "0123456789" * 5,
    "a" * 99, "a" * 100, "a" * 101, "ab" * 150, "红" * 90, "! " * 60, "word " * 100, "-" * 80, "é" * 100, "é" * 101,
    "\u0301" * 10, "a" + "\u0301" * 30, "x" * 200 + " red circle", "  leading and trailing  ", "many     spaces",
    "line one\nline two\n\nline four", "mixed\t \n whitespace", "nul\0in\0side", "soft\u00adhyphen", "zero\u200bwidth",
    "word\u2060joiner", "rtl \u202eoverride", "bidi \u2066isolate\u2069", "variation \ufe0f selector", "tag \U000e0041",
)

ATOMS: tuple[str, ...] = (
    "red", "Circle", "moving", "left", "红色", "圆形", "向右", "三角", "é", "Ü", "ñ", "ß", "😀", "🔵", "１２", "Ａ", "。", "，",
    "!", "?", "-", "'", "\"", "(", ")", "42", "7", "한", "글", "か", "ナ", "م", "я", "Ж", "ω", "e\u0301", "o\u0308",
    "\u200b", "\u200d", "\u00a0", "\u3000", "\t", "\n", " ", "  ", "\x01", "\u00ad", "ﬁ", "½", "™", "龘", "𠀀", "[SEP]", "##a", "▁",
    "_", "/", "qux", "ing", "triangle", "背景", "ZZ",
)


def case_strings(seed: int = 11, captions: int = 80, mixtures: int = 160) -> list[str]:
    """The fixed strings, the assorted lines, random captions, and random mixtures of awkward atoms."""
    rng = random.Random(seed)
    texts = list(FIXED) + list(ENGLISH) + list(CHINESE)
    for index in range(captions):
        text = caption(random_scene(rng, all_triples()), "en" if index % 2 else "zh", rng)
        texts.append(text.upper() if index % 10 == 1 else text)
    for _ in range(mixtures):
        glue = rng.choice(["", "", " ", " "])
        texts.append(glue.join(rng.choice(ATOMS) for _ in range(rng.randint(2, 14))))
    return list(dict.fromkeys(texts))
