"""Task rules: explicit, metadata, keyword, else the default."""

# ruff: noqa: RUF001  # letters of other scripts are what is tested

import pytest

from router.config.task import Match
from router.deciding.tasks import TaskRules

RULES = TaskRules(
    ("support", "support/billing", "code", "greek"),
    {
        "support/billing": Match(
            metadata={"queue": "billing", "lang": "en"}, keywords=("invoice", "late fee")
        ),
        "code": Match(keywords=("C++", "def")),
        "greek": Match(keywords=("τιμή", "straße")),
    },
)


@pytest.mark.parametrize(
    ("explicit", "metadata", "text", "task", "reason"),
    [
        ("code", {"queue": "billing", "lang": "en"}, "my invoice", "code", "explicit"),
        ("support/refund/late", {}, "", "support", "ancestor"),
        ("nobody", {}, "my invoice", "default", "default"),
        (None, {"queue": "billing", "lang": "en"}, "def f()", "support/billing", "metadata"),
        (None, {"queue": "billing"}, "", "default", "default"),
        (None, {}, "Where is my INVOICE?", "support/billing", "keyword"),
        (None, {}, "a late\n fee, again", "support/billing", "keyword"),
        (None, {}, "invoices and prefinvoice", "default", "default"),
        (None, {}, "write it in C++ please", "code", "keyword"),
        (None, {}, "undefined", "default", "default"),
        (None, {}, "Πόση ΤΙΜΉ έχει;", "greek", "keyword"),
        (None, {}, "", "default", "default"),
    ],
)
def test_the_first_rule_that_matches_names_the_task(
    explicit: str | None, metadata: dict[str, str], text: str, task: str, reason: str
) -> None:
    """The order is a promise: explicit, metadata, keywords as whole words in any case, the default."""
    found = RULES.find(explicit, metadata, text)
    assert (found.task, found.reason) == (task, reason)


def test_a_huge_text_is_searched_only_at_its_start() -> None:
    """A prompt of megabytes must not hold a worker."""
    assert RULES.find(None, {}, "x " * 100_000 + "invoice").task == "default"


@pytest.mark.parametrize(
    ("keyword", "text", "found"),
    [
        ("退款", "我想退款谢谢", True),
        ("返品", "この商品を返品したいです", True),
        ("คืนเงิน", "ขอคืนเงินค่ะ", True),
        ("환불", "환불은 언제 되나요?", True),
        ("退款 政策", "请问退款 政策是什么", True),
        ("invoice", "请看invoice谢谢", True),
        ("invoice", "請看ＩＮＶＯＩＣＥ謝謝", True),
        ("退款", "我想退货", False),
        ("रिफंड", "मुझे रिफंड चाहिए", True),
        ("रिफंड", "रिफंडों की सूची", False),
        ("возврат", "Нужен ВОЗВРАТ денег", True),
        ("возврат", "невозвратный билет", False),
        ("café", "un cafe\u0301 noir", True),
        ("C++退款", "关于C++退款的问题", True),
    ],
)
def test_keywords_are_found_as_words_of_their_own_script(keyword: str, text: str, found: bool) -> None:
    """Scripts without spaces have no word boundary to ask for; with it no Chinese keyword would ever match."""
    rules = TaskRules(("task",), {"task": Match(keywords=(keyword,))})
    assert (rules.find(None, {}, text).task == "task") == found


SCRIPTS = {
    "latin": ("straße", "In der STRASSE 5", "Hauptstraßenfest"),
    "latin, decomposed": ("résumé", "my re\u0301sume\u0301, please", "résumés"),
    "latin, turkish": ("istanbul", "İSTANBUL nerede?", "istanbullu"),
    "greek": ("τόπος", "Ο ΤΌΠΟΣ μου", "τόποσδε"),
    "cyrillic": ("счёт", "Где мой СЧЁТ?", "счёты"),
    "hebrew": ("חשבון", "איפה החשבון? חשבון!", "החשבונות"),
    "arabic": ("فاتورة", "أين فاتورة، من فضلك", "الفاتورة"),
    "devanagari": ("बिल", "मेरा बिल कहाँ है?", "बिल्कुल"),
    "tamil": ("பில்", "என் பில் எங்கே?", "பில்லும்"),
    "armenian": ("հաշիվ", "Որտե՞ղ է ՀԱՇԻՎ", "հաշիվներ"),
    "chinese": ("发票", "请给我开发票谢谢", "发出票据"),
    "japanese": ("請求書", "先月の請求書を送ってください", "請求の書類"),
    "thai": ("ใบแจ้งหนี้", "ขอใบแจ้งหนี้เดือนนี้", "ใบแจ้ง"),
    "korean": ("청구서", "청구서를 보내 주세요", "청구 서류"),
    "full width": ("invoice", "ＩＮＶＯＩＣＥ はどこ", "ｉｎｖｏｉｃｅｓ"),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_keywords_are_whole_words_in_any_script_and_case(script: str) -> None:
    """A word inside another is not meant, except where writing sets no spaces; spelling and case never matter."""
    keyword, meant, not_meant = SCRIPTS[script]
    rules = TaskRules(("found",), {"found": Match(keywords=(keyword,))})
    assert rules.find(None, {}, meant).task == "found"
    assert rules.find(None, {}, meant.upper()).task == "found"
    assert rules.find(None, {}, not_meant).task == "default"
