"""What the platform team sets, and what cannot be set."""

from __future__ import annotations

import pytest

from sihl_operator.settings import read_settings


def test_settings_are_read_from_the_environment() -> None:
    settings = read_settings(
        {
            "SIHL_OPERATOR_RETRY_BACKOFF": "1m30s",
            "SIHL_OPERATOR_ALLOW_CPU": "true",
            "SIHL_OPERATOR_IMAGE_PULL_SECRETS": "a, b",
            "SIHL_OPERATOR_RUNNER_ARCHITECTURES": "amd64,arm64",
            "SIHL_OPERATOR_DEFAULT_NODE_SELECTOR": '{"pool": "training"}',
            "SIHL_OPERATOR_DEFAULT_TOLERATIONS": '[{"key": "dedicated", "operator": "Exists"}]',
            "HOME": "/",
        }
    )
    assert (settings.retry_backoff, settings.allow_cpu) == (90.0, True)
    assert settings.image_pull_secrets == ("a", "b")
    assert settings.runner_architectures == ("amd64", "arm64")
    assert settings.default_node_selector == {"pool": "training"}
    assert settings.default_tolerations == ({"key": "dedicated", "operator": "Exists"},)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("NONSENSE", "1"),
        ("TRAINER_IMAGE", ""),
        ("TRAINER_IMAGE", "https://registry.example.com/trainer"),
        ("IMAGE_PULL_POLICY", "Sometimes"),
        ("IMAGE_PULL_SECRETS", "My Secret"),
        ("GPU_RESOURCE", "gpu"),
        ("RUNNER_ARCHITECTURES", "x86_64"),
        ("RUNNER_ARCHITECTURES", ""),
        ("AUTOSCALER_MAX_GPUS", "-1"),
        ("AUTOSCALER_MAX_CPUS", "many"),
        ("ALLOW_CPU", "yes"),
        ("DEFAULT_CPU", "1.5 cores"),
        ("DEFAULT_CPU", "0"),
        ("DEFAULT_MEMORY", "2GB"),
        ("DEFAULT_MEMORY", "2"),
        ("DEFAULT_MEMORY", ""),
        ("DEFAULT_MEMORY", "-2Gi"),
        ("DEFAULT_MEMORY", "NaN"),
        ("DEFAULT_CPU_LIMIT", "two"),
        ("DEFAULT_MEMORY_LIMIT", "8"),
        ("SERVICE_ACCOUNTS", "runner"),
        ("SERVICE_ACCOUNTS", '["runner"]'),
        ("SERVICE_ACCOUNTS", '{"Team A": "runner"}'),
        ("SERVICE_ACCOUNTS", '{"team": "Runner"}'),
        ("STORE_TOKEN_AUDIENCES", '{"team": 1}'),
        ("DEFAULT_NODE_SELECTOR", "pool=training"),
        ("DEFAULT_NODE_SELECTOR", '{"pool": 1}'),
        ("DEFAULT_NODE_SELECTOR", '{"a b": "c"}'),
        ("DEFAULT_TOLERATIONS", '{"key": "a"}'),
        ("DEFAULT_TOLERATIONS", '[{"key": "a", "operator": "Equals"}]'),
        ("DEFAULT_TOLERATIONS", '[{"value": "a"}]'),
        ("DEFAULT_TOLERATIONS", "["),
        ("SHARED_MEMORY", "0"),
        ("SCRATCH_SIZE", "much"),
        ("RUNNER_USER", "0"),
        ("DEFAULT_RUNTIME_CLASS", "g visor"),
        ("LIVENESS_ADDRESS", "localhost"),
        ("WATCH_NAMESPACES", "Team A"),
        ("LOG_LEVEL", "LOUD"),
        ("LEASE_NAME", "The Lease"),
        ("METRICS_PORT", "70000"),
        ("METRICS_PORT", "8080"),
        ("LEASE_DURATION", "15"),
        ("LEASE_DURATION", "0s"),
        ("LEASE_DURATION", "5s"),
        ("LEASE_RENEWAL", "20s"),
        ("LEASE_RENEWAL", "8s"),
        ("RETRY_BACKOFF", "soon"),
        ("RETRY_BACKOFF", "1h"),
        ("RELIST_INTERVAL", "0s"),
        ("RELIST_INTERVAL", "9999999h"),
        ("DEFAULT_MEMORY_LIMIT", "1Gi"),
        ("DEFAULT_CPU_LIMIT", "500m"),
    ],
)
def test_what_is_no_setting_or_contradicts_another_is_refused_by_its_name(
    name: str, text: str
) -> None:
    with pytest.raises(ValueError, match=f"SIHL_OPERATOR_{name}"):
        read_settings({f"SIHL_OPERATOR_{name}": text})


def test_what_stops_the_operator_is_one_line_that_names_the_remedy() -> None:
    with pytest.raises(ValueError) as refused:
        read_settings({"SIHL_OPERATOR_LEASE_RENEWAL": "20s"})
    assert str(refused.value) == (
        "SIHL_OPERATOR_LEASE_RENEWAL (20s) must be at most half of SIHL_OPERATOR_LEASE_DURATION "
        "(15s): lower the first, or raise the second"
    )
