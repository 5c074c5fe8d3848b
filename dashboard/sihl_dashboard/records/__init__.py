"""The one way to read run records, for the server, the command line and notebooks alike.

    records = Records(FolderPlace(Path("runs")))
    jobs = records.jobs("team-a", "cells", Query(columns=("spec.training.seed",)))
    curves = records.curves([row.ref for row in jobs.rows], buckets=300)

A record may be of any release, torn, or hostile: what can be read of it is answered, and what
cannot is told beside, as `Trouble`. Errors are for what nothing can be answered to.
"""
