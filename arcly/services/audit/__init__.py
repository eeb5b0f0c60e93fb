"""A record of who did what, for people who have to answer for it.

    pipeline = AuditPipeline(FileAuditSink("/var/log/arcly/audit.jsonl"))
    authenticator = Audited(SignedToken(secret), pipeline)
    async with arcly.Engine(pipeline, arcly.RtmpHandler(), authenticator=authenticator):
        ...

Give the pipeline to the engine first: it is then stopped last, and records how everything ended.
"""

from arcly.contract import AuditSink
from arcly.services.audit.file import FileAuditSink
from arcly.services.audit.pipeline import AuditPipeline
from arcly.services.audit.record import AuditAction, AuditRecord
from arcly.services.audit.refusals import Audited

__all__ = ["AuditAction", "AuditPipeline", "AuditRecord", "AuditSink", "Audited", "FileAuditSink"]
