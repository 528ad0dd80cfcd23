"""`assay register`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assay.study.request import RunRequest


def register_command(asked: RunRequest, receipt: str) -> None:
    """Register a study whose data a run would accept, and print its file and its hash."""
    from assay.execution.progress import reading_shown
    from assay.study.registration import register, registration_file
    from assay.study.run import check_data

    settled = asked.settled()
    with reading_shown(quietly=asked.as_json) as notify:
        check_data(settled.spec, settled.root, skip_bad_rows=asked.skip_bad_rows, notify=notify)
    made = register(settled.root, settled.spec, receipt)
    file = registration_file(settled.root)
    if asked.as_json:
        more = {key: made.content.get(key, "") for key in ("time", "commit")}
        print(json.dumps({"file": str(file), "sha256": made.sha256, **more, "receipt": made.receipt}))
        return
    commit = f", commit {made.content['commit']}" if made.content.get("commit") else ""
    print(f"registered: {file}, {made.content['time']}{commit}\nSHA-256: {made.sha256}")
    if not made.receipt:
        print("deposit the hash elsewhere (a commit, an e-mail, a registry), and name the place with --receipt")
