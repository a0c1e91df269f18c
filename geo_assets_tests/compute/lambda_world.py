"""AWS on loopback: Lambda of ours, S3 of moto, and settings of ``compute`` that use them in two regions."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from geo_assets.testing.lambda_cloud import LambdaCloud
from geo_assets_tests.stores.s3 import moto_server

ONE, OTHER = "us-west-2", "eu-central-1"
HANDLER = "geo_assets.doors.lambda_worker.handler"


@dataclass(frozen=True)
class World:
    """What runs.

    Attributes:
        cloud: Lambda.
        s3_url: S3.
        role: Part of the buckets' names.
    """

    cloud: LambdaCloud
    s3_url: str
    role: str

    def settings(self, **more: Any) -> dict[str, Any]:
        """For ``ComputeRecipe``: what reads ``dem`` runs in the other region."""
        functions = {
            "execution_role": f"arn:aws:iam::123456789012:role/{self.role}",
            "runtime": f"geo-assets-{self.role}:latest",
        }
        config = {
            "lithops": {"backend": "aws_lambda", "monitoring_interval": 0.1},
            "aws_lambda": {**functions, **more.pop("aws_lambda", {})},
            "aws_s3": {"storage_bucket": f"{self.role}-{{region}}"},
        }
        return {
            "backend": "lithops", "workers": 2, "memory_mb": 1024, "region": ONE, "regions": {"dem": OTHER}, "config": config, **more,
        }  # fmt: skip

    def s3(self, region: str) -> Any:
        """A client."""
        return boto3.client("s3", region_name=region, endpoint_url=self.s3_url)

    def objects(self) -> list[str]:
        """All that lies in the buckets of both regions."""
        found = []
        for region in (ONE, OTHER):
            found += [
                o["Key"] for o in self.s3(region).list_objects_v2(Bucket=f"{self.role}-{region}").get("Contents", [])
            ]
        return found


@contextlib.contextmanager
def running(folder: Path, **environment: str) -> Iterator[World]:
    """AWS, for everything in this process that uses boto3, and for the sandboxes."""
    with moto_server() as s3_url, pytest.MonkeyPatch.context() as patch:
        for name in [k for k in os.environ if k.startswith("AWS_")]:
            patch.delenv(name)

        def put(region: str, bucket: str, key: str, body: bytes) -> None:
            boto3.client("s3", region_name=region, endpoint_url=s3_url).put_object(Bucket=bucket, Key=key, Body=body)

        with LambdaCloud(HANDLER, folder, put, environment={"AWS_ENDPOINT_URL_S3": s3_url, **environment}) as cloud:
            services = {f"AWS_ENDPOINT_URL_{name}": cloud.url for name in ("LAMBDA", "STS", "ECR")}
            for name, value in {**services, "AWS_ENDPOINT_URL_S3": s3_url}.items():
                patch.setenv(name, value)
            patch.setenv("AWS_ACCESS_KEY_ID", "driver")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "driver")
            yield World(cloud, s3_url, f"w{uuid.uuid4().hex[:8]}")
