"""The page of an audit stands by itself, puts errors first, and escapes what tables hold."""

import numpy as np

from fedmetaalign.fleet.audit.fleet import audit_tables
from fedmetaalign.report.audit_page import audit_page


def test_page(tmp_path):
    random = np.random.default_rng(2)
    for name in ("a", "<b>"):
        y = random.integers(0, 2, 80)
        leak = y if name == "<b>" else random.integers(0, 2, 80)
        rows = [
            f"{x!r},{z},{'ok' if not label else 'leak'}"
            for x, z, label in zip(random.normal(size=80).tolist(), leak, y, strict=True)
        ]
        (tmp_path / f"{name}.csv").write_text("x,<i>,state\n" + "\n".join(rows) + "\n", encoding="utf-8")
    (tmp_path / "bad.csv").write_text("a\n", encoding="utf-8")
    page = audit_page(audit_tables(sorted(tmp_path.iterdir())))
    assert "Mend the errors below" in page
    assert "Cannot be audited" in page and "bad.csv has a header but no rows" in page
    assert "&lt;b&gt;.csv" in page and "<b>.csv" not in page and "<i>" not in page
    assert page.index("gives the label away") < page.index("/a.csv</h3>")
    assert "<script" not in page and "http" not in page


def test_nothing_wrong(tmp_path):
    random = np.random.default_rng(3)
    y = random.integers(0, 2, 200)
    rows = [f"{x!r},{label}" for x, label in zip((random.normal(size=200) + y).tolist(), y, strict=True)]
    (tmp_path / "t.csv").write_text("x,fault\n" + "\n".join(rows) + "\n", encoding="utf-8")
    assert "Nothing speaks against training" in audit_page(audit_tables([tmp_path / "t.csv"]))
