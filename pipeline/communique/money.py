"""Amounts of money to ISO 4217 code and number: "KRW 112 billion" is "KRW 112000000000"."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from importlib.resources import files
from typing import Any, Dict, Optional

import pycountry
import srsly

from . import registers

NUMBER = r"(?P<number>\d[\d,. ]*\d|\d)"


class MoneyRegister:
    """Currency signs, words and scales from the register, ISO codes from pycountry."""

    def __init__(self, data: Dict[str, Any]) -> None:
        self.currencies: Dict[str, str] = {c.alpha_3.lower(): c.alpha_3 for c in pycountry.currencies}
        for code, names in data["currencies"].items():
            self.currencies.update({name.lower(): code for name in names})
        self.scales: Dict[str, Decimal] = {name: Decimal(v) for v, names in data["scales"].items() for name in names}
        currency = "|".join(re.escape(n) for n in sorted(self.currencies, key=len, reverse=True))
        scale = "|".join(re.escape(n) for n in sorted(self.scales, key=len, reverse=True))
        before = rf"(?P<before>{currency})\s*{NUMBER}\s*-?(?P<scale1>{scale})?(?P<stop1>\.)?"
        behind = rf"{NUMBER}\s*-?(?P<scale2>{scale})?(?:\s+(?:of\s+)?|-)?(?P<behind>{currency})"
        self.patterns = [re.compile(before, re.I), re.compile(behind.replace("<number>", "<number2>"), re.I)]

    def normalise(self, text: str) -> Optional[str]:
        """``"CODE amount"`` with all digits written out, or None where currency or number can't be told."""
        cleaned = re.sub(r"\s+", " ", text).strip()
        for pattern in self.patterns:
            match = pattern.fullmatch(cleaned)
            if match:
                found = match.groupdict()
                number = _number(found.get("number") or found.get("number2") or "")
                scale = found.get("scale1") or found.get("scale2")
                code = self.currencies[(found.get("before") or found.get("behind") or "").lower()]
                if number is None:
                    return None
                amount = number * (self.scales[scale.lower()] if scale else 1)
                return f"{code} {format(amount.normalize(), 'f')}"
        return None


def _number(text: str) -> Optional[Decimal]:
    """A number with "," or blanks between thousands and "." before decimals, or a decimal comma."""
    text = text.replace(" ", "")
    if re.fullmatch(r"\d{1,3}(\.\d{3}){2,}", text) or re.fullmatch(r"\d+,\d{1,2}", text):
        text = text.replace(".", "").replace(",", ".")
    try:
        return Decimal(text.replace(",", ""))
    except InvalidOperation:
        return None


@lru_cache(maxsize=1)
def load_register() -> MoneyRegister:
    """The register that comes with the package."""
    path = files(registers) / "money.json"
    return MoneyRegister(srsly.json_loads(path.read_text("utf8")))
