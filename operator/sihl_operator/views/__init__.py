"""Small typed views of what the API server sends: jobs, pods, nodes."""

from sihl_operator.views.job import JobView
from sihl_operator.views.node import (
    NodeView,
    Resources,
    Usage,
    node_view,
    pod_requests,
    resources,
    usage_view,
)
from sihl_operator.views.pod import (
    ATTEMPT_LABEL,
    JOB_LABEL,
    JOB_UID_LABEL,
    OURS,
    PROJECT_LABEL,
    QUEUE_LABEL,
    ContainerView,
    PodView,
    pod_name,
    pod_of,
    pod_view,
    queue_of,
    serves_a_job,
)
from sihl_operator.views.raw import Key, Raw, lean, parse

__all__ = [
    "ATTEMPT_LABEL", "JOB_LABEL", "JOB_UID_LABEL", "OURS", "PROJECT_LABEL", "QUEUE_LABEL",
    "ContainerView", "JobView", "Key", "NodeView", "PodView", "Raw", "Resources", "Usage",
    "lean", "node_view", "parse", "pod_name", "pod_of", "pod_requests", "pod_view", "queue_of",
    "resources", "serves_a_job", "usage_view",
]  # fmt: skip
