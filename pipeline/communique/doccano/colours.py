"""Colours and keys of the labels on Doccano's page, derived from the label scheme."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import Iterator, List, Optional, Tuple

from ..schema import Schema
from .options import ColourOptions


@dataclass(frozen=True)
class LabelType:
    """A label or relation type as Doccano has it. kind: ``span`` or ``relation``; colours as ``#rrggbb``."""

    kind: str
    text: str
    background_color: str
    text_color: str
    suffix_key: Optional[str] = None


def label_types(schema: Schema, options: ColourOptions) -> List[LabelType]:
    """All labels, then all relation types of a scheme, in its order, the same every time."""
    keys = [*options.keys, *[None] * len(schema.labels)]
    lightness = [options.entity_lightness] * len(schema.entities) + [options.span_lightness] * len(schema.spans)
    out = [
        LabelType("span", text, *_colours(text, hue, light, options), suffix_key=key)
        for (text, hue), light, key in zip(_hues(schema.labels, options), lightness, keys)
    ]
    light = options.relation_lightness
    out += [
        LabelType("relation", text, *_colours(text, hue, light, options))
        for text, hue in _hues(schema.relation_names, options)
    ]
    return out


def _hues(names: Tuple[str, ...], options: ColourOptions) -> Iterator[Tuple[str, float]]:
    for i, name in enumerate(names):
        yield name, (options.hue / 360 + i / len(names)) % 1.0


def _colours(text: str, hue: float, lightness: float, options: ColourOptions) -> Tuple[str, str]:
    """Background and text colour."""
    fixed = options.fixed.get(text)
    if fixed is not None:
        lightness = colorsys.rgb_to_hls(*(int(fixed[i : i + 2], 16) / 255 for i in (1, 3, 5)))[1]
        background = fixed
    else:
        parts = colorsys.hls_to_rgb(hue, lightness, options.saturation)
        background = "#" + "".join(f"{round(part * 255):02x}" for part in parts)
    return background, options.dark if lightness > options.dark_text else options.light
