"""Countries and blocs by name, abbreviation and adjective: ISO 3166 from pycountry, the rest from a register."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files
from typing import Any, Dict, Mapping, Optional

import pycountry
import srsly

from . import registers


class CountryRegister:
    """Maps what releases call a country to its ISO 3166 alpha-2 code, and a bloc to the code in the register."""

    def __init__(self, aliases: Mapping[str, Any]) -> None:
        self.names: Dict[str, str] = {}
        self.best: Dict[str, str] = {}
        for country in pycountry.countries:
            self.best[country.alpha_2] = getattr(country, "common_name", country.name)
            for key in ("name", "official_name", "common_name", "alpha_3"):
                if hasattr(country, key):
                    self._add(getattr(country, key), country.alpha_2)
        for code, names in aliases.items():
            self.best[code] = names[0]
            for name in names:
                self._add(name, code)

    def _add(self, name: str, code: str) -> None:
        self.names[_key(name)] = code

    def code(self, name: str) -> Optional[str]:
        """The code of a name, or None. Case counts for abbreviations only ("US" is no "us")."""
        if name.islower() and len(name) <= 3:
            return None
        return self.names.get(_key(name))

    def name(self, code: str) -> Optional[str]:
        """The common English name of a code."""
        return self.best.get(code)


def _key(name: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"[.’']", "", name.lower()).replace("the ", "")).strip()


@lru_cache(maxsize=1)
def load_register() -> CountryRegister:
    """The register that comes with the package."""
    path = files(registers) / "countries.json"
    return CountryRegister(srsly.json_loads(path.read_text("utf8")))
