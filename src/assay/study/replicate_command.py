"""`assay replicate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assay.study.request import RunRequest


def replicate_command(asked: RunRequest) -> None:
    """Run the study of a finished run again, in a folder of its own."""
    from assay.store.folder import find_run, require_writable, working_in
    from assay.study.command import run_command
    from assay.study.replicate import SEEDS, replication
    from assay.study.replication import keep_earlier

    settled, first = replication(find_run(asked.spec, asked.out), asked.out, asked.seeds or SEEDS)
    require_writable(settled.root)
    if not asked.dry_run:
        with working_in(settled.root):
            keep_earlier(settled.root, first)
    run_command(asked, settled)
