"""The report of a proof: one file in HTML, with no script and nothing from elsewhere, fit to be handed on."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from ringfence.prove.proof import Proof
from ringfence.prove.verdict import Verdict

MARKS = {
    Verdict.HELD: "good", Verdict.ALLOWED: "allowed", Verdict.LEAK: "bad", Verdict.BLIND: "warn",
    Verdict.NOT_TRIED: "warn",
}  # fmt: skip


def report_html(proof: Proof) -> str:
    """The whole page."""
    pages = Environment(loader=PackageLoader("ringfence.prove"), autoescape=True, undefined=StrictUndefined)
    return pages.get_template("report.html").render(proof=proof, marks=MARKS)


def write_report(proof: Proof, path: Path) -> None:
    """Raises OSError."""
    path.write_text(report_html(proof), encoding="utf-8")
