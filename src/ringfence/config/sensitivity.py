"""The settings of what keeps a request from leaving this machine."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict, model_validator

from ringfence.config.section import Section, setting
from ringfence.config.values import Seconds, Text, refused


class PresidioSettings(Section):
    """Microsoft Presidio as a further reader, in a process of its own; it needs the extra `ringfence[presidio]`."""

    languages: tuple[Text, ...] = setting(("en",), "hot", "Languages whose recognisers read the text.")
    entities: tuple[Text, ...] = setting(
        (
            "CREDIT_CARD", "CRYPTO", "EMAIL_ADDRESS", "IBAN_CODE", "MEDICAL_LICENSE", "PHONE_NUMBER", "UK_NHS",
            "US_ITIN", "US_PASSPORT", "US_SSN",
        ),
        "hot", "What is looked for, by Presidio's names; names of persons and places need a model.",
    )  # fmt: skip
    models: dict[Text, Text] = setting(
        {}, "hot", "By language, an installed spaCy pipeline or its folder; without one, patterns and checksums alone."
    )
    score: Annotated[float, Strict(), Field(ge=0, le=1)] = setting(0.4, "hot", "From which score on a find counts.")
    wait_s: Seconds = setting(2, "hot", "Seconds that a request waits to be read; then it stays on this machine.")

    @model_validator(mode="after")
    def _has_something_to_do(self) -> PresidioSettings:
        for name in ("languages", "entities"):
            if not getattr(self, name):
                raise refused("at least one is needed; to switch it off, write presidio: null", at=name)
        for language in self.models:
            if language not in self.languages:
                raise refused(f"'{language}' is not among the languages", at=("models", language))
        return self


SensitiveKind = Literal["secret", "card", "iban", "id_number", "email", "phone", "image", "audio", "video"]


class SensitivitySettings(Section):
    """What keeps a request that could leave this machine from leaving it. It only ever tightens."""

    kinds: tuple[SensitiveKind, ...] = setting(
        ("secret", "card", "iban", "id_number"), "hot", "What is looked for: kinds of text, and media in chats."
    )
    patterns: dict[Text, Text] = setting({}, "hot", "Own labels and the regular expressions that find them.")
    labels: tuple[Text, ...] = setting((), "hot", "Labels that callers may set in the header x-ringfence-label.")
    boundaries: dict[Text, Literal["host", "mesh"]] = setting(
        {}, "hot", "How far text of a kind, a label or an entity may travel; host where nothing is said."
    )
    presidio: PresidioSettings | None = setting(
        None, "hot", "Presidio as a further reader, with these settings ({} for the defaults); null: not used."
    )

    @model_validator(mode="after")
    def _can_be_used(self) -> SensitivitySettings:
        known = {*self.kinds, "audio", *self.patterns, *self.labels, *(self.presidio.entities if self.presidio else ())}
        for name in self.boundaries:
            if name not in known:
                raise refused(f"'{name}' is no kind, pattern, label or entity here", at=("boundaries", name))
        return self
