"""Personal data in texts: which texts hold a number or an account that is somebody's, and of what kind. Never which.

texts ─▶ find ─▶ (row, kind): mobile, id_card, email, messenger, bank_card

All texts are looked through at once for what any kind has; what that finds is looked at with care. Captions are full of
numbers that are nobody's: prices, years, models, orders, ISBN. So each kind asks for what only it has: a date and a
checksum, the prefix of an issuer, or the word that an account is announced with.

Each expression is linear in the text: repeats are bounded, or possessive, and none begins inside a run of its own.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator, Sequence

from .alphabet import rows_at

# Full-width letters, digits and blanks as the plain ones that NFKC makes of them: one for one, unlike NFKC.
_PLAIN = {0xFF01 + place: 0x21 + place for place in range(94)} | {0x3000: 0x20}
# What every kind has one of: nine digits with at most two others between them, an @, or the name of a messenger.
# One class comes first, which is skipped to: alternatives are tried at each character.
_SUSPECT = re.compile(
    r"[\d@＠微薇企扣QqVvWwLlＱｑＶｖＷｗ](?:(?<=\d)(?:[ \-\u3000－]?\d){8}|(?<=[@＠])|(?<=[微薇VvＶｖ])信|(?<=企)[鹅鵝]"
    r"|(?<=扣)扣|(?<=[QqＱｑ])[QqＱｑ群裙]|(?<=[VvWwＶｖＷｗ])[XxＸｘ]|(?<=[Ll])[Ii][Nn][Ee])"
)
_START, _END = r"(?<![A-Za-z\d_])(?<!\d[-.+ ])", r"(?![A-Za-z\d_]|[-.]\d)"
# Mainland: 11 digits, whole or 3-4-4. Of Hong Kong, Macau and Taiwan only with the code of the country, or Taiwan's
# 4-3-3: eight digits, or ten in a row, are models and prices more often than telephones.
_MOBILE = re.compile(
    rf"{_START}(?:tel|phone)?(?:(?:\(?(?:\+|00)?86\)?[- ]?)?1[3-9]\d([- ]?)\d{{4}}\1\d{{4}}"
    r"|(?:\+|00)(?:852|853)[- ]?[569]\d{3}[- ]?\d{4}|(?:\+|00)886[- ]?9\d{2}([- ]?)\d{3}\2\d{3}"
    rf"|09\d{{2}}-\d{{3}}-\d{{3}}){_END}",
    re.I,
)
_ID_CARD = re.compile(r"(?<![A-Za-z\d])[1-9]\d{16}[\dX](?![A-Za-z\d])", re.I)
_WEIGHTS, _CHECKS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2), "10X98765432"
_BANK_CARD = re.compile(
    r"(?<![A-Za-z\d.])(?<!\d[- ])(?:\d{15,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|3\d{3}([ -])\d{6}\2\d{5})"
    r"(?![A-Za-z\d]|[-.]\d| \d{3})"
)
# UnionPay, Visa, Mastercard, American Express, JCB and the first cards of ICBC, each with its lengths. Not the 13
# digits that Visa gave up: they are EANs of Japan and Germany; nor Diners', which look like dates and times.
_ISSUER = re.compile(
    r"62\d{14}(?:\d{3})?|4\d{15}(?:\d{3})?|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"
    r"|3[47]\d{13}|35(?:2[89]|[3-8]\d)\d{12}|9558\d{15}"
)
# The name behind @ is what tells; icon@2x.png is a file.
_EMAIL = re.compile(
    r"(?<=[A-Za-z\d_%+-])@(?!\dx\.)(?:[a-z\d][a-z\d-]{0,62}+\.){1,6}[a-z]{2,24}+(?![a-z\d-])",
    re.I,
)
_ACCOUNT = r"(?:[a-z](?=[a-z_-]{0,18}+\d|[a-z-]{0,18}+_)[a-z\d_-]{5,19}|[1-9]\d{4,10})(?![a-z\d_-])"
_NUMBER = r"[1-9]\d{4,10}(?![a-z\d_-])"
_SAID = r" {0,2}(?:[:：是为為]| ?id ?[:：]?) {0,2}"
_MESSENGER = re.compile(
    # 微信号 and a colon tell by themselves, so that letters alone are an account
    rf"微信(?:客服)?(?:[号號][码碼]?|[账帳][号號]){_SAID}[a-z][a-z\d_-]{{5,19}}(?![a-z\d_-])"
    rf"|微信(?:客服)?(?:[号號][码碼]?|[账帳][号號])? {{0,2}}(?:{_SAID}|(?<=[号號码碼])){_ACCOUNT}"
    rf"|[加+](?:我|老师|客服)?微信(?:[号號])? {{0,2}}{_ACCOUNT}"
    rf"|(?:薇信|(?<![a-z\d])v信)(?:[号號])?(?:{_SAID}| {{0,2}}){_ACCOUNT}"
    rf"|(?<![a-z\d])(?:[vw]x|wechat)(?:[号號]|{_SAID}|[号號]{_SAID}){_ACCOUNT}"
    rf"|(?<![a-z\d])(?:qq|扣扣|企[鹅鵝])(?:[号號][码碼]?|咨询|客服|在线|交流|技术|粉丝)?[群裙]?(?:[号號])?{_SAID}{_NUMBER}"
    rf"|(?<![a-z\d])(?:qq(?:交流|技术|粉丝)?|q|扣扣)(?:[群裙][号號]?|[号號]) {{0,2}}{_NUMBER}"
    # without a colon or 号, QQ 2024 and QQ20240501 are years and days
    r"|(?<![a-z\d])qq {0,2}(?!(?:19|20)\d\d[01]\d[0-3]\d(?!\d))[1-9]\d{7,9}(?![a-z\d_-])"
    rf"|(?<![a-z\d])line ?id{_SAID}@?[a-z\d][a-z\d._-]{{3,19}}",
    re.I,
)


def find(texts: Sequence[str]) -> list[tuple[int, str]]:
    """The rows of texts that hold personal data, ascending, and the kind of it: each row and kind once."""
    places = [hit.start() for hit in _SUSPECT.finditer("\n".join(texts))]
    suspects = dict.fromkeys(rows_at(texts, places).tolist())
    return [(row, kind) for row in suspects for kind in _kinds(texts[row].translate(_PLAIN))]


def _kinds(text: str) -> Iterator[str]:
    """The kinds of personal data in a text of plain letters and digits."""
    for kind, pattern, holds in _KINDS:
        if any(holds(hit[0]) for hit in pattern.finditer(text)):
            yield kind


def _is_id_card(number: str) -> bool:
    """Whether 18 digits are an identity card: a day that was, and the checksum of ISO 7064 MOD 11-2."""
    try:
        born = datetime.date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    total = sum(int(digit) * weight for digit, weight in zip(number, _WEIGHTS, strict=False))
    return 1900 <= born.year < 2100 and number[17].upper() == _CHECKS[total % 11]


def _is_bank_card(number: str) -> bool:
    """Whether digits have the prefix and length of an issuer's, and the checksum of Luhn."""
    digits = re.sub("[ -]", "", number)
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return bool(_ISSUER.fullmatch(digits)) and (sum(map(int, digits[::-2])) + sum(doubled)) % 10 == 0


_KINDS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    ("mobile", _MOBILE, bool),
    ("id_card", _ID_CARD, _is_id_card),
    ("email", _EMAIL, bool),
    ("messenger", _MESSENGER, bool),
    ("bank_card", _BANK_CARD, _is_bank_card),
)
